"""The settings of pools (docs/reference/settings.md#kubernetes)."""

from __future__ import annotations

import os

from fabric_jobs.errors import InvalidInput

MOST_PODS, IDLE_SECONDS = "FABRIC_JOBS_KUBERNETES_POOL_PODS", "FABRIC_JOBS_KUBERNETES_POOL_SECONDS"


def most_pods() -> int:
    """Return how many pods a pool may have. Raise InvalidInput for a wrong setting."""
    return _number(MOST_PODS, "20")


def idle_seconds() -> int:
    """Return after how many seconds without an attempt a pod is deleted. Raise InvalidInput for a wrong setting."""
    return _number(IDLE_SECONDS, "60")


def check() -> None:
    """Raise InvalidInput for a wrong setting."""
    most_pods()
    idle_seconds()


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, "").strip() or default
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise InvalidInput(
            f"{name} is a whole number from 1 on, not '{text}'.", hint="Correct the variable, or unset it."
        )
    return int(text)
