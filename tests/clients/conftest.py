"""A workspace whose owner does not end during the test, and each version of cortex-python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.live import Live
from tests.acceptance.live import live_fixture as live_fixture
from tests.clients.places import VERSIONS, missing, python_of


@pytest.fixture(autouse=True)
def _patient(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version of cortex-python."""
    return str(request.param)


@pytest.fixture
def python(version: str) -> Path:
    """The interpreter that has it."""
    if reason := missing(version):
        pytest.skip(f"cortex-python {version} cannot be installed: {reason}")
    return python_of(version)
