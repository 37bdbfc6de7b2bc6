"""What a personal token adds to a small request: the list of a project without skills, over TCP, one request at a time.

Against the same request with the token of the owner's user, which is compared as a text. Requests of both kinds alternate, so that
other load hits both. `fresh` is what a JWT adds that the gateway has not seen before, since its signature is verified then.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.common import Pair, arguments, owner, report, workspace
from fabric_jobs.client.access import create_token
from fabric_jobs.runtime.fabric_skill.http import Connection
from fabric_jobs.state_dir import read_address

FRESH = 300
PATH = "/fabric/v4/projects/local/skills"


def timed(connection: Connection) -> float:
    """Return the seconds of one request."""
    started = time.perf_counter()
    answer = connection.request("GET", PATH)
    seconds = time.perf_counter() - started
    assert answer.status == 200, answer
    return seconds


def both(count: int, one: Connection, other: Connection) -> Pair:
    """Return the median seconds of requests on two connections, in turn."""
    found: tuple[list[float], list[float]] = [], []
    for _ in range(count):
        found[0].append(timed(one))
        found[1].append(timed(other))
    return Pair(*map(statistics.median, found))


def main() -> None:
    """Run it from the command line."""
    given = arguments(__doc__ or "", requests=3000)
    with workspace() as root, owner(root) as gateway:
        made, _ = create_token(gateway, "benchmark", "read", None, None)
        address = read_address(root / ".fabric-jobs")
        assert address is not None
        host, _, port = address.url.removeprefix("http://").partition(":")

        place = (host, int(port))
        plain, personal = Connection(place, address.token), Connection(place, made.sign(time.time() + 3600))
        pairs = [both(given.requests, personal, plain) for _ in range(given.pairs)]
        fresh = [timed(Connection(place, made.sign(time.time() + 3600 + number))) for number in range(FRESH)]
        opened = [timed(Connection(place, address.token)) for _ in range(FRESH)]
    added = statistics.median(fresh) - statistics.median(opened)
    report(
        "a request with a personal token",
        "s",
        pairs,
        "<= 1.1",
        as_json=given.json,
        fresh=f"a JWT that is new to the gateway takes {added * 1e6:,.0f} µs more, once",
    )


if __name__ == "__main__":
    main()
