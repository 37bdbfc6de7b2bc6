"""The tests see the same signals, whoever started them: a terminal, `nohup`, or a script."""

from __future__ import annotations

from fabric_jobs.executors.dispositions import unignore
from tests.seeds import CRASH_SEED


def pytest_configure() -> None:
    """Let the commands that tests start have the default dispositions, as from a terminal."""
    unignore()


def pytest_report_header() -> str:
    """Print what a run like this one needs."""
    return f"FABRIC_JOBS_CRASH_SEED={CRASH_SEED}"
