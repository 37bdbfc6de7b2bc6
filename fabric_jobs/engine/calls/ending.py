"""Stops a program and waits until it is over."""

from __future__ import annotations

import time

from fabric_jobs.executors.base import AttemptExit, Executor

LOOK_SECONDS = 0.02  # between two looks
FORCED_SECONDS = 15.0  # what is forced is over by then


def end(executor: Executor, handle: str, grace: float) -> AttemptExit | None:
    """Stop an attempt and return how it ended; None when it does not end. Blocks up to the grace period and some seconds."""
    executor.stop(handle, grace)
    deadline = time.monotonic() + grace + FORCED_SECONDS
    while (ended := executor.poll(handle)) is None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return ended
