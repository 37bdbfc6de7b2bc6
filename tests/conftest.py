"""The tests see the same signals, whoever started them: a terminal, `nohup`, or a script."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from fabric_jobs.executors.dispositions import unignore
from tests.seeds import CRASH_SEED


def pytest_configure(config: pytest.Config) -> None:
    """Let the commands that tests start have the default dispositions, as from a terminal, and a temporary directory that goes."""
    unignore()
    # An example may take as long as it takes where others compute.
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")
    if not hasattr(config, "workerinput"):  # workers have that of the process that started them
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # what pytest keeps stays where it was
        tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at once with `-n auto`: more than there are cores, since many wait for processes and containers."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_report_header() -> str:
    """Print what a run like this one needs."""
    return f"FABRIC_JOBS_CRASH_SEED={CRASH_SEED}"
