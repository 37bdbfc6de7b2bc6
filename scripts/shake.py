"""Runs the suite as it should never be run: in random order, while busy loops hold every core. `make shake`.

A test that fails here has a race, or depends on an order. The seed is printed first; `make shake SEED=…` repeats the order.
Tests that need a cluster are left out; `make shake ARGS='-m kubernetes'` runs only those.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = (
    "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"  # ends with this process
)


@contextmanager
def load(loops: int) -> Iterator[None]:
    """Keep `loops` cores busy during the block."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> int:
    """Run the suite; return pytest's exit code."""
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"shake: SEED={seed}", flush=True)
    order = ["--random-order", "--random-order-bucket=global", f"--random-order-seed={seed}"]
    command = [sys.executable, "-m", "pytest", "-n", "auto", "-m", "not kubernetes", *order, *sys.argv[1:]]
    with load(os.cpu_count() or 1):
        code = subprocess.run(command, env={"FABRIC_JOBS_CRASH_SEED": seed, **os.environ}, check=False).returncode
    print(f"shake: SEED={seed} ended with {code}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
