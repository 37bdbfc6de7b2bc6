"""The numbers that may be set."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.settings import Settings, cpu_count, slots_of


def test_the_idle_time_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FABRIC_JOBS_IDLE_SECONDS", raising=False)
    assert Settings(state_dir=Path()).idle_seconds == 5.0
    for text, expected in (("0.25", 0.25), ("0", 0.0), ("", 5.0), ("2m30s", 150.0), ("1e3", 1000.0)):
        monkeypatch.setenv("FABRIC_JOBS_IDLE_SECONDS", text)
        assert Settings(state_dir=Path()).idle_seconds == expected


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e99"])
def test_an_idle_time_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FABRIC_JOBS_IDLE_SECONDS", text)
    with pytest.raises(InvalidInput, match="FABRIC_JOBS_IDLE_SECONDS"):
        Settings(state_dir=Path())


def test_a_size_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("1000", 1000), ("64KiB", 65_536), ("0", 0)):
        monkeypatch.setenv("FABRIC_JOBS_ARGV_BYTES", text)
        assert Settings(state_dir=Path()).argv_bytes == expected
    monkeypatch.setenv("FABRIC_JOBS_ARGV_BYTES", "1MB")
    with pytest.raises(InvalidInput, match="up to 131,000 or a size such as 64KiB, not '1MB'"):
        Settings(state_dir=Path())


def test_there_is_a_processor_and_a_slot() -> None:
    assert cpu_count() >= 1
    settings = Settings(state_dir=Path())
    assert settings.slots_in("local") == 2 * cpu_count()
    assert settings.slots_in("docker") == 4 * cpu_count()


def test_slots_are_set_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_SLOTS", "local=7, docker=100")
    settings = Settings(state_dir=Path())
    assert (settings.slots_in("local"), settings.slots_in("docker")) == (7, 100)


@pytest.mark.parametrize("text", ["local", "local=", "local=0", "local=-1", "local=many", "moon=3", "local=1;docker=2"])
def test_slots_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an executor and its number of slots"):
        slots_of(text)


@pytest.mark.parametrize("text", ["0", "-3", "all"])
def test_at_least_one_activation_runs(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FABRIC_JOBS_ACTIVATIONS", text)
    with pytest.raises(InvalidInput, match="FABRIC_JOBS_ACTIVATIONS"):
        Settings(state_dir=Path())
