"""How long a process has been awake."""

from __future__ import annotations

import pytest

from fabric_jobs import clock
from fabric_jobs.clock import Awake


class Clocks:
    """Both clocks, as the test sets them."""

    def __init__(self) -> None:
        self.day, self.running = 1_000_000.0, 50.0

    def time(self) -> float:
        """Return the time of day."""
        return self.day

    def monotonic(self) -> float:
        """Return the time that does not pass while the machine is suspended."""
        return self.running

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.day += seconds
        self.running += seconds


def test_a_process_is_awake_since_it_began_or_its_machine_was_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    monkeypatch.setattr(clock, "time", clocks)
    awake = Awake()
    clocks.run(100)
    clocks.day += 1  # a correction
    assert awake.seconds() == 100
    clocks.day += 3600  # suspended
    assert awake.seconds() == 0
    clocks.run(30)
    assert awake.seconds() == 30
