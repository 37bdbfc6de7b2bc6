"""Records per second through a daemon, against a client that keeps no state and posts the same bodies to the same server.

From the first record that is sent to the last answer: ours are stored, each in one transaction with its acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.common import (
    RECORDS_FILE,
    arguments,
    environment,
    measure,
    owner,
    report,
    workspace,
    write_agent,
    write_daemon,
    write_skill,
)
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

CONNECTIONS = 8
LOAD = (
    f"FILE = {str(RECORDS_FILE)!r}\n"
    """
import gzip, json
from itertools import cycle, islice

def flights(count):
    with gzip.open(FILE) as lines:
        first = [json.loads(line) for line in islice(lines, min(count, 20_000))]
    return islice(cycle(first), count)
"""
)
SOURCE = (
    LOAD
    + """
import time
from fabric_skill import message, send_message
wanted = message()["payload"]
records = list(flights(wanted["records"]))
with open(wanted["started"], "w") as file:
    file.write(repr(time.monotonic()))
for record in records:
    send_message(record)
"""
)
SINK = """
import json, time
from fabric_skill import messages
count = 0
for record in messages():
    count += 1
print(json.dumps({"count": count, "ended": time.monotonic()}))
"""
SERVER = """
import json, os, socket, uvicorn

async def app(scope, receive, send):
    body, more = b"", True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)
    flight = json.loads(body)["payload"]
    answer = json.dumps({"payload": {"flight": flight["flight"], "late": (flight["dep_delay"] or 0) > 15}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

uvicorn.run(app, port=int(os.environ["PORT"]), log_config=None, access_log=False, loop="asyncio", http="httptools", lifespan="off")
"""


def ours(root: Path, gateway: Gateway, records: int) -> float:
    """Return records per second that are sent, handled by the daemon, stored, and received by the next skill."""
    target = verbs.save_agent(gateway, Workspace(root), "calls", None)
    started = root / "started"
    activation_id = verbs.start(gateway, target, {"payload": {"records": records, "started": str(started)}}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    activations.check_ended_well(record)
    if record["response"]["count"] != records:
        raise RuntimeError(f"{record['response']['count']} of {records} answers arrived")
    ended: float = record["response"]["ended"]
    return records / (ended - float(started.read_text()))


class Server:
    """The same server, on its own."""

    def __init__(self, program: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/invoke"
        variables = {**environment(), "PORT": str(port)}
        self._process = subprocess.Popen([sys.executable, str(program)], env=variables, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()


def bodies(records: int) -> list[bytes]:
    """Return the bodies to post: messages as the daemon gets them."""
    found: dict[str, list[object]] = {}
    exec(compile(LOAD + f"found = list(flights({records}))", "flights", "exec"), found)  # the source's own code
    common = {
        "activationId": "x" * 24,
        "channelId": "x" * 24,
        "token": "x" * 300,
        "properties": {},
        "headers": {},
        "apiEndpoint": "http://127.0.0.1:8000/px",
    }
    return [json.dumps({**common, "payload": flight}).encode() for flight in found["found"]]


async def post_all(url: str, posts: list[bytes]) -> float:
    """Return answers per second over CONNECTIONS connections."""
    headers = {"content-type": "application/json"}
    waiting = iter(posts)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await _first_answer(session, url, posts[0])

        async def worker() -> None:
            for body in waiting:
                async with session.post(url, data=body) as answer:
                    json.loads(await answer.read())

        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
        return len(posts) / (time.perf_counter() - started)


async def _first_answer(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    for _ in range(500):
        try:
            async with session.post(url, data=body) as answer:
                await answer.read()
                return
        except aiohttp.ClientError:
            await asyncio.sleep(0.02)
    raise RuntimeError("the server did not start")


def free_port() -> int:
    """Return a free port."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=20_000)
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        write_daemon(root, "server", SERVER, concurrency=CONNECTIONS)
        write_skill(root, "sink", SINK, receives="stream")
        write_agent(root, "calls", "source", "server", "sink")
        posts = bodies(wanted.records)
        server = Server(root / "skills" / "server" / "actions" / "server" / "main.py", free_port())
        try:
            with owner(root) as gateway:
                ours(root, gateway, 8)  # start the daemon
                pairs = measure(
                    wanted.pairs,
                    lambda: ours(root, gateway, wanted.records),
                    lambda: asyncio.run(post_all(server.url, posts)),
                )
        finally:
            server.close()
    report("daemon", "records/s", pairs, "wanted >= 0.6", as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()
