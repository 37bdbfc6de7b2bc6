"""Records per second that a loop of cortex-python's `send_message` sends, against the same loop and a route that stores nothing.

The client is 6.3.3, unmodified. Ours is durable (synchronous=FULL): each call is answered once its record is on the disk. The
baseline is a bare Starlette route in a uvicorn of its own. In both cases the program measures the time from its first call to the
last answer.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.common import arguments, environment, measure, owner, report, workspace, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace
from tests.clients.places import missing, python_of

VERSION = "6.3.3"
PROGRAM = """
import json, sys, time
from pathlib import Path
from cortex import Cortex

params = json.loads(sys.argv[-1])
skills = Cortex.from_message(params).skills
started = time.monotonic()
for number in range(params["payload"]):
    record = {"n": number, "name": "a record of some length", "amounts": [number, number + 1, number + 2]}
    skills.send_message(params["activationId"], params["channelId"], "response", record)
Path("seconds").write_text(str(time.monotonic() - started))
"""
BARE = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def take(request):
    await request.json()
    return JSONResponse({"success": True})

app = Starlette(routes=[Route("/px/internal/messages/{activation}/{channel}/{output}", take, methods=["POST"])])
uvicorn.run(app, fd=int(sys.argv[1]), loop="asyncio", http="httptools", access_log=False, log_level="error", lifespan="off")
"""


def ours(root: Path, gateway: Gateway, records: int) -> float:
    """Return records per second through the gateway."""
    target = verbs.save_skill(gateway, Workspace(root), "sends", None)
    record = activations.follow(gateway, verbs.start(gateway, target, {"payload": records}, root), lambda nodes: 30.0)
    activations.check_ended_well(record)
    response = record["response"]
    count = response["count"] if isinstance(response, dict) else len(response)
    if count != records:
        raise RuntimeError(f"{count} of {records} records arrived")
    return records / float((action_of(root) / "seconds").read_text())


def bare(root: Path, url: str, records: int) -> float:
    """Return records per second to the bare route."""
    claims = {"sub": "nobody", "aud": "cortex", "exp": int(time.time()) + 3600}
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    )
    message = {
        "apiEndpoint": f"{url}/px",
        "token": f"{token}.",
        "projectId": "local",
        "activationId": "a",
        "channelId": "1",
    }
    command = [str(python_of(VERSION)), "main.py", json.dumps({**message, "payload": records})]
    subprocess.run(command, cwd=action_of(root), env=environment(), check=True)
    return records / float((action_of(root) / "seconds").read_text())


@contextmanager
def bare_server() -> Iterator[str]:
    """Serve the bare route in a process of its own; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = bound.fileno()
        process = subprocess.Popen([sys.executable, "-c", BARE, str(number)], pass_fds=[number])
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            process.terminate()
            with suppress(KeyboardInterrupt):
                process.wait()


def action_of(root: Path) -> Path:
    """Return the directory of the program."""
    return root / "skills" / "sends" / "actions" / "sends"


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=2_000)
    if reason := missing(VERSION):
        sys.exit(f"cortex-python {VERSION} cannot be installed: {reason}")
    with workspace() as root, bare_server() as url, owner(root) as gateway:
        write_skill(root, "sends", PROGRAM, command=[str(python_of(VERSION)), "main.py"])
        bare(root, url, 10)
        pairs = measure(
            wanted.pairs, lambda: ours(root, gateway, wanted.records), lambda: bare(root, url, wanted.records)
        )
        report("fabric_http", "records/s", pairs, "wanted >= 0.7", as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()
