"""Gives the tests the same signals, whether a terminal, `nohup` or a script started them."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from fabric_jobs.executors.dispositions import unignore
from tests.seeds import CRASH_SEED


def pytest_configure(config: pytest.Config) -> None:
    """Give commands started by tests default dispositions, as from a terminal, and a temporary directory that is removed."""
    unignore()
    # No deadline for an example: other tests compute at the same time.
    settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tests")
    if not hasattr(config, "workerinput"):  # workers inherit it from their starter
        os.environ.setdefault(
            "PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()
        )  # pytest's own files stay in the usual place
        tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers for `-n auto`: more than cores, since many tests wait for processes and containers."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests marked `early` first."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


def pytest_report_header() -> str:
    """Print how to repeat this run."""
    return f"FABRIC_JOBS_CRASH_SEED={CRASH_SEED}"
