"""Batches per second through an HTTP worker, against a client that keeps no state and posts the same bodies to the same server.

The server does nothing. Ours are leased and finished in the store with `synchronous=FULL`, 8 in flight: from the first batch that
the server gets to its call of /on-job-complete, which comes after the last batch is committed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from benchmarks.common import RECORDS_FILE, arguments, measure, owner, report, workspace
from benchmarks.daemon import CONNECTIONS, Server, free_port, post_all
from benchmarks.jobs import Jobs, deploy

API = "noop"
SERVER = """
import json, os, time, uvicorn

TIMES = os.environ.get("TIMES")
began = None

async def app(scope, receive, send):
    global began
    body, more = b"", True
    while more:
        part = await receive()
        body += part.get("body", b"")
        more = part.get("more_body", False)
    if TIMES and began is None:
        began = time.monotonic()
    if TIMES and scope["path"] == "/on-job-complete":
        with open(TIMES, "w") as file:
            json.dump([began, time.monotonic()], file)
        began = None
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

uvicorn.run(app, port=int(os.environ["PORT"]), log_config=None, access_log=False, loop="asyncio", http="httptools", lifespan="off")
"""


def api(root: Path) -> dict[str, object]:
    """Return the definition of the API: one worker with one container, and several batches at a time."""
    container = {
        "name": "api",
        "image": "noop",
        "command": [sys.executable, str(root / "server.py")],
        "env": {"TIMES": str(root / "times.json")},
    }
    pod = {"port": 8080, "max_concurrency": CONNECTIONS, "containers": [container]}
    return {"name": API, "kind": "BatchAPI", "pod": pod}


def items(count: int) -> list[object]:
    """Return flights."""
    import gzip
    from itertools import cycle, islice

    with gzip.open(RECORDS_FILE) as lines:
        first = [json.loads(line) for line in islice(lines, min(count, 5000))]
    return list(islice(cycle(first), count))


def ours(root: Path, jobs: Jobs, submission: bytes, batches: int) -> float:
    """Return batches per second."""
    times = root / "times.json"
    times.unlink(missing_ok=True)
    job_id = jobs.submit(submission)
    jobs.wait([job_id])
    if jobs.status(job_id)["batch_metrics"]["succeeded"] != batches:
        raise RuntimeError("not every batch succeeded")
    began, ended = json.loads(times.read_text())
    return batches / float(ended - began)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", batches=10_000, size=10)
    given = items(wanted.batches * wanted.size)
    posts = [json.dumps(given[at : at + wanted.size]).encode() for at in range(0, len(given), wanted.size)]
    block = {"items": given, "batch_size": wanted.size}
    submission = json.dumps({"workers": 1, "item_list": block}).encode()
    limit = str(len(submission) + (1 << 20))
    with workspace() as root, owner(root, FABRIC_JOBS_SUBMISSION_BYTES=limit):
        (root / "server.py").write_text(SERVER)
        deploy(root, api(root))
        server = Server(root / "server.py", free_port())
        jobs = Jobs(root, API)
        try:
            pairs = measure(
                wanted.pairs,
                lambda: ours(root, jobs, submission, wanted.batches),
                lambda: asyncio.run(post_all(server.url, posts)),
            )
        finally:
            jobs.close()
            server.close()
    report("batch", "batches/s", pairs, "wanted >= 0.4", as_json=wanted.json, batches=wanted.batches, size=wanted.size)


if __name__ == "__main__":
    main()
