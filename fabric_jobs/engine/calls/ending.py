"""Stops a program and waits until it is over."""

from __future__ import annotations

import time

from fabric_jobs.executors.base import AttemptExit, Executor

LOOK_SECONDS = 0.02  # between two checks
FORCED_SECONDS = 15.0  # a forced stop takes no longer


def end(executor: Executor, handle: str, grace: float) -> AttemptExit | None:
    """Stop an attempt and return how it ended, or None if it does not. Blocks for the grace period and some seconds."""
    executor.stop(handle, grace)
    deadline = time.monotonic() + grace + FORCED_SECONDS
    while (ended := executor.poll(handle)) is None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return ended
