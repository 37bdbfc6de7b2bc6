"""Reads the worker file, and becomes the worker that it describes."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

WORKER_FILE = "FABRIC_JOBS_WORKER_FILE"
FORMS = {"class": "class_worker", "containers": "dequeuer"}  # modules; `run(wanted)` returns the exit code


def main() -> None:
    """Run the worker. The exit code of the process is that of the worker."""
    wanted = _wanted()
    worker = __import__(f"cortex_worker.{FORMS[wanted['form']]}", fromlist=["run"])  # late: only one of them is needed
    sys.exit(worker.run(wanted))


def _wanted() -> dict[str, Any]:
    path = os.environ.get(WORKER_FILE, "")
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"cortex_worker: the file that {WORKER_FILE} names cannot be read: {error}")
    return found


if __name__ == "__main__":  # not in a process that `multiprocessing` spawns
    main()
