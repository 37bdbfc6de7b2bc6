"""A stream that rejects every hundredth record, against the same one that rejects none: records per second.

From the first record that the program is given until all that it sent and rejected is committed.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import arguments, measure, owner, report, workspace, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

EVERY = 100
SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message({"n": n, "name": "a record of some length", "amounts": [n, n + 1, n + 2]})
"""
EACH = """
import time
from pathlib import Path
from fabric_skill import flush, messages, reject, send_message
every, started = int(Path("every").read_text()), None
for record in messages():
    started = started or time.monotonic()
    send_message(record)
    if every and record["n"] % every == every - 1:
        reject(record, "it cannot be handled", n=record["n"])
flush()
Path("seconds").write_text(str(time.monotonic() - started))
"""


def run(root: Path, gateway: Gateway, records: int, every: int) -> float:
    """Return records per second."""
    action = root / "skills" / "each" / "actions" / "each"
    (action / "every").write_text(str(every))
    target = verbs.save_agent(gateway, Workspace(root), "rejecting", None)
    activation_id = verbs.start(gateway, target, {"payload": records}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    activations.check_ended_well(record)
    dead = record.get("deadLetters", 0)
    if dead != (records // every if every else 0) or record["response"]["count"] != records - dead:
        raise RuntimeError(f"{dead} dead letters, and the response is {record['response']}")
    return records / float((action / "seconds").read_text())


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=200_000)
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        write_skill(root, "each", EACH, receives="stream", onError="complete")
        write_agent(root, "rejecting", "source", "each")
        with owner(root) as gateway:
            pairs = measure(
                wanted.pairs,
                lambda: run(root, gateway, wanted.records, EVERY),
                lambda: run(root, gateway, wanted.records, 0),
            )
            report("rejects", "records/s", pairs, "wanted >= 0.9", as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()
