"""Several jobs at once, each with its workers and all of its items in the request: batches per second, and the owner's memory.

The ratio is the most memory in the last third of the time, against the most in the first third.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.common import arguments, owner, owner_rss, workspace
from benchmarks.jobs import Jobs, deploy

API = "load"
SAMPLE_SECONDS = 0.1
PAD = "x" * 60  # so that 100,000 items are 7 MB
HANDLER = """
class Handler:
    def __init__(self, config):
        pass

    def handle_batch(self, payload):
        pass
"""


class Memory(threading.Thread):
    """What the owner holds, while jobs run."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._ended = threading.Event()
        self._samples: list[int] = []  # KiB, at equal intervals

    def run(self) -> None:
        """Take samples until the end."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self._samples.append(owner_rss(self._root))

    def end(self) -> tuple[int, int]:
        """Return the most KiB in the first third of the time, and in the last."""
        self._ended.set()
        self.join()
        third = max(1, len(self._samples) // 3)
        return max(self._samples[:third]), max(self._samples[-third:])


def show(jobs: list[dict[str, Any]]) -> None:
    """Print how far jobs are."""
    finished, total = (sum(counts) for counts in zip(*map(_finished, jobs), strict=True))
    print(f"  {finished:,} of {total:,} batches", file=sys.stderr)


def _finished(job: dict[str, Any]) -> tuple[int, int]:
    return job["batch_metrics"]["succeeded"], job["total_batch_count"]


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", jobs=10, workers=10, items=100_000, size=20)
    block = {"items": [f"{number:06}{PAD}" for number in range(wanted.items)], "batch_size": wanted.size}
    submission = json.dumps({"workers": wanted.workers, "item_list": block}).encode()
    batches = wanted.jobs * -(-wanted.items // wanted.size)
    with workspace() as root, owner(root):
        (root / "handler.py").write_text(HANDLER)
        deploy(root, {"name": API, "kind": "BatchAPI", "handler": {"type": "python", "path": "handler.py"}})
        jobs, memory = Jobs(root, API), Memory(root)
        before, started = owner_rss(root), time.perf_counter()
        job_ids = [jobs.submit(submission) for _ in range(wanted.jobs)]
        submitted = time.perf_counter() - started
        memory.start()
        jobs.wait(job_ids, show)
        took = time.perf_counter() - started
        first, last = memory.end()
        counts = {jobs.status(job_id)["batch_metrics"]["succeeded"] for job_id in job_ids}
        jobs.close()
    if counts != {batches // wanted.jobs}:
        raise RuntimeError(f"the jobs have {counts} batches")
    found = {
        "ratio": last / first,
        "ours": last,
        "baseline": first,
        "unit": "KiB",
        "batches_per_second": round(batches / took),
        "seconds": round(took, 1),
        "submission_seconds": round(submitted, 2),
        "submission_bytes": len(submission),
        "before": before,
    }
    if wanted.json:
        print(json.dumps(found))
        return
    print(f"batch_load: {batches:,} batches of {wanted.jobs} jobs in {took:.1f} s: {batches / took:,.0f} batches/s")
    print(
        f"  memory: {last / first:.2f} x ({last:,} KiB in the last third against {first:,} in the first; wanted <= 1.1)"
    )


if __name__ == "__main__":
    main()
