"""Provides a running engine that retries silent executors at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.engine import engine, places, works
from tests.engine.bench import Bench


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine, places):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(works, "ASK_SECONDS", 0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()
