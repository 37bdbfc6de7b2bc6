"""Gives every test a workspace whose owner does not end during the test."""

from __future__ import annotations

import pytest

from tests.acceptance.live import Live
from tests.acceptance.live import live_fixture as live_fixture


@pytest.fixture(autouse=True)
def _patient(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
