"""Bytes per second of content, up or down, against uvicorn that receives to a file, and serves a file, without any checks.

Ours hashes what arrives, syncs it to the disk before it answers, and checks every byte that it sends. The client is the same.
`rss` is the growth of the owner's memory over all pairs.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import arguments, measure, owner, owner_rss, report, workspace
from fabric_jobs.state_dir import read_address

PART = os.urandom(1 << 20)
PATH = "/fabric/v4/projects/local/content/benchmark"
BARE = f"""
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

async def receive(request):
    with open(sys.argv[2], "wb") as file:
        async for part in request.stream():
            file.write(part)
    return JSONResponse({{"success": True}})

async def serve(request):
    return FileResponse(sys.argv[2])

app = Starlette(routes=[Route("{PATH}", receive, methods=["POST"]), Route("{PATH}", serve)])
uvicorn.run(app, fd=int(sys.argv[1]), loop="asyncio", http="httptools", access_log=False, log_level="error", lifespan="off")
"""


@dataclass(frozen=True)
class Server:
    """A server to measure."""

    port: int
    token: str = ""

    def up(self, size: int) -> float:
        """Upload `size` bytes; return MB/s."""
        return self._rate("POST", size)

    def down(self, size: int) -> float:
        """Download what was uploaded; return MB/s."""
        return self._rate("GET", size)

    def _rate(self, method: str, size: int) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Length": str(size if method == "POST" else 0)}
        body = (PART for _ in range(size // len(PART))) if method == "POST" else None
        began = time.monotonic()
        connection.request(method, PATH, body, headers)
        answer = connection.getresponse()
        received, buffer = 0, bytearray(1 << 20)
        while count := answer.readinto(buffer):
            received += count
        seconds = time.monotonic() - began
        connection.close()
        if answer.status != 200 or (method == "GET" and received != size):
            raise RuntimeError(f"{method}: {answer.status}, {received} bytes")
        return size / seconds / 1e6


@contextmanager
def bare_server(root: Path) -> Iterator[Server]:
    """Serve the bare routes in a process of their own."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = bound.fileno()
        process = subprocess.Popen([sys.executable, "-c", BARE, str(number), str(root / "file")], pass_fds=[number])
        try:
            yield Server(bound.getsockname()[1])
        finally:
            process.terminate()
            with suppress(KeyboardInterrupt):
                process.wait()


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", mebibytes=1024, way=("up", "down"))
    size = wanted.mebibytes << 20
    with workspace() as root, bare_server(root) as bare, owner(root) as gateway:
        gateway.get("/content")
        address = read_address(root / ".fabric-jobs")
        assert address is not None
        ours = Server(int(address.url.rpartition(":")[2]), address.token)
        for server in (ours, bare):
            server.up(64 << 20)
            server.down(64 << 20)
            server.up(size)  # of the length that is downloaded
        before = owner_rss(root)
        if wanted.way == "up":
            pairs = measure(wanted.pairs, lambda: ours.up(size), lambda: bare.up(size))
        else:
            pairs = measure(wanted.pairs, lambda: ours.down(size), lambda: bare.down(size))
        grown = owner_rss(root) - before
        title = f"content {wanted.way}"
        report(
            title, "MB/s", pairs, "wanted >= 0.5", as_json=wanted.json, mebibytes=wanted.mebibytes, rss=f"{grown} KiB"
        )


if __name__ == "__main__":
    main()
