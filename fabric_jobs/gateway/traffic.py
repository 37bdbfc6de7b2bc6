"""Counts requests and connections, for /metrics and for the end of an idle owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Counts since the start of the process; changed in the event loop's thread only."""

    requests: int = 0  # received so far
    in_flight: int = 0  # being answered, including long polls and streams
    connections: int = 0  # open now
    dropped: Counter[str] = field(default_factory=Counter)  # connections that the gateway closed, by reason

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do not count a request while it waits."""
        self.in_flight -= 1
        try:
            yield
        finally:
            self.in_flight += 1
