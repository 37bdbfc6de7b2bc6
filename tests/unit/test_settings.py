"""The numbers that may be set."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.settings import Settings, cpu_count


def test_the_idle_time_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FABRIC_JOBS_IDLE_SECONDS", raising=False)
    assert Settings(state_dir=Path()).idle_seconds == 5.0
    for text, expected in (("0.25", 0.25), ("0", 0.0), ("", 5.0)):
        monkeypatch.setenv("FABRIC_JOBS_IDLE_SECONDS", text)
        assert Settings(state_dir=Path()).idle_seconds == expected


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e99"])
def test_an_idle_time_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FABRIC_JOBS_IDLE_SECONDS", text)
    with pytest.raises(InvalidInput, match="FABRIC_JOBS_IDLE_SECONDS"):
        Settings(state_dir=Path())


def test_there_is_a_processor_and_a_slot() -> None:
    assert cpu_count() >= 1
    assert Settings(state_dir=Path()).task_slots == 2 * cpu_count()
