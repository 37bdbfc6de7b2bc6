"""Places where attempts run. Choosing one is a dict lookup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fabric_jobs.executors.base import Executor
from fabric_jobs.executors.local import LocalExecutor

EXECUTORS: dict[str, Callable[[Path], Executor]] = {"local": LocalExecutor}
