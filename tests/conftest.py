"""The tests see the same signals, whoever started them: a terminal, `nohup`, or a script."""

from __future__ import annotations

from fabric_jobs.executors.dispositions import unignore


def pytest_configure() -> None:
    """Let the commands that tests start have the default dispositions, as from a terminal."""
    unignore()
