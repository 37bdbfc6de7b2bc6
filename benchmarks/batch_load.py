"""Several jobs at once, each with its workers and all of its items in the request: batches per second, and the owner's memory.

The ratio is the most memory while the last third of the batches is handled, against the most while the first third is.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import arguments, owner, owner_rss, workspace
from benchmarks.jobs import Jobs, deploy

API = "load"
PAD = "x" * 60  # so that 100,000 items are 7 MB
HANDLER = """
class Handler:
    def __init__(self, config):
        pass

    def handle_batch(self, payload):
        pass
"""


class Memory:
    """What the owner holds, over the part of the batches that are finished."""

    def __init__(self, root: Path, batches: int) -> None:
        self._root = root
        self._batches = batches
        self.samples: list[tuple[float, int]] = []  # part, KiB

    def look(self, jobs: list[dict[str, Any]]) -> None:
        """Take a sample."""
        finished = sum(job["batch_metrics"]["succeeded"] for job in jobs)
        self.samples.append((finished / self._batches, owner_rss(self._root)))
        print(f"  {finished:,} of {self._batches:,} batches, {self.samples[-1][1]:,} KiB", file=sys.stderr)

    def most(self, begin: float, end: float) -> int:
        """Return the most KiB between two parts."""
        return max((size for part, size in self.samples if begin <= part <= end), default=0)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", jobs=10, workers=10, items=100_000, size=20)
    block = {"items": [f"{number:06}{PAD}" for number in range(wanted.items)], "batch_size": wanted.size}
    submission = json.dumps({"workers": wanted.workers, "item_list": block}).encode()
    batches = wanted.jobs * -(-wanted.items // wanted.size)
    with workspace() as root, owner(root):
        (root / "handler.py").write_text(HANDLER)
        deploy(root, {"name": API, "kind": "BatchAPI", "handler": {"type": "python", "path": "handler.py"}})
        jobs, memory = Jobs(root, API), Memory(root, batches)
        before, started = owner_rss(root), time.perf_counter()
        job_ids = [jobs.submit(submission) for _ in range(wanted.jobs)]
        submitted = time.perf_counter() - started
        jobs.wait(job_ids, memory.look)
        took = time.perf_counter() - started
        counts = {jobs.status(job_id)["batch_metrics"]["succeeded"] for job_id in job_ids}
        jobs.close()
    if counts != {batches // wanted.jobs}:
        raise RuntimeError(f"the jobs have {counts} batches")
    first, last = memory.most(0.0, 1 / 3), memory.most(2 / 3, 1.0)
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
