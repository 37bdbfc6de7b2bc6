"""One record at a time: from `send_message(wait=True)` to the next skill's `messages()`.

Against the sum of one HTTP keep-alive round trip (`http.client`) to a no-op Starlette route and one FULL SQLite commit of the
same size, both measured in the same run.
"""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import RECORDS_FILE, Pair, arguments, measure, owner, report, workspace, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

SENDER = """
import gzip, json, time
from itertools import islice
from fabric_skill import message, send_message
wanted = message()["payload"]
with gzip.open(wanted["file"]) as lines:
    flights = [json.loads(line) for line in islice(lines, wanted["records"])]
time.sleep(0.5)  # the receiver is there
for flight in flights:
    flight["sent"] = time.monotonic()
    send_message(flight, wait=True)
    time.sleep(0.002)
"""
RECEIVER = """
import json, time
from fabric_skill import messages
print(json.dumps([time.monotonic() - flight["sent"] for flight in messages()]))
"""
SERVER = """
import socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
async def noop(request):
    await request.body()
    return Response(b"{}")
app = Starlette(routes=[Route("/", noop, methods=["POST"])])
config = uvicorn.Config(app, log_config=None, access_log=False, loop="asyncio", http="httptools", lifespan="off")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


def ours(root: Path, gateway: Gateway, records: int) -> list[float]:
    """Return the seconds of each record."""
    target = verbs.save_agent(gateway, Workspace(root), "latency", None)
    payload = {"file": str(RECORDS_FILE), "records": records}
    activation_id = verbs.start(gateway, target, {"payload": payload}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    activations.check_ended_well(record)
    found: list[float] = record["response"]
    return found


def round_trips(count: int, body: bytes) -> list[float]:
    """Return the seconds of HTTP round trips to a no-op route."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", SERVER, str(bound.fileno())], pass_fds=[bound.fileno()]) as server:
        try:
            connection = _connected(port)
            found = []
            for _ in range(count):
                started = time.perf_counter()
                connection.request("POST", "/", body)
                connection.getresponse().read()
                found.append(time.perf_counter() - started)
                time.sleep(0.002)
            return found
        finally:
            server.terminate()
            bound.close()


def _connected(port: int) -> http.client.HTTPConnection:
    for _ in range(500):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("POST", "/", b"{}")
            connection.getresponse().read()
            return connection
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("the no-op server did not start")


def commits(path: Path, count: int, body: bytes) -> list[float]:
    """Return the seconds of FULL commits of one row."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table if not exists records (bytes blob)")
    found = []
    for _ in range(count):
        started = time.perf_counter()
        connection.execute("begin immediate")
        connection.execute("insert into records values (?)", (body,))
        connection.execute("commit")
        found.append(time.perf_counter() - started)
        time.sleep(0.002)
    connection.close()
    return found


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=1000)
    tails: list[Pair] = []
    with workspace() as root:
        write_skill(root, "sender", SENDER)
        write_skill(root, "receiver", RECEIVER, receives="stream")
        write_agent(root, "latency", "sender", "receiver")
        body = json.dumps({"record": "x" * 300}).encode()
        with owner(root) as gateway:
            high: dict[str, float] = {}

            def mine() -> float:
                found = ours(root, gateway, wanted.records)
                high["ours"] = _p99(found) * 1e6
                return statistics.median(found) * 1e6

            def sum_of_both() -> float:
                trips, stored = round_trips(wanted.records, body), commits(root / "base.db", wanted.records, body)
                high["baseline"] = (_p99(trips) + _p99(stored)) * 1e6
                return (statistics.median(trips) + statistics.median(stored)) * 1e6

            pairs = []
            for _ in range(wanted.pairs):
                pairs += measure(1, mine, sum_of_both)
                tails.append(Pair(high["ours"], high["baseline"]))
    p99 = {
        "ratio": statistics.median(pair.ratio for pair in tails),
        "ours": statistics.median(pair.ours for pair in tails),
        "baseline": statistics.median(pair.baseline for pair in tails),
    }
    report("latency p50", "µs", pairs, "wanted <= 1.5", as_json=wanted.json, records=wanted.records, p99=p99)


if __name__ == "__main__":
    main()
