"""The client for metrics that the classes of users get: it adds values up, and sends them to the gateway every second."""

from __future__ import annotations

import atexit
import json
import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..fabric_skill import gateway
    from ..fabric_skill.http import Connection, Disconnected
else:
    from fabric_skill import gateway
    from fabric_skill.http import Disconnected

RESERVED = ("cortex_", "istio_")
PAUSE_SECONDS = 1.0  # between two calls of the gateway
LAST_SECONDS = 2.0  # for the last call, at the end of the program


class MetricsClient:
    """Reports metrics. Nothing fails, and nothing is waited for, while the gateway is away."""

    _values: dict[tuple[str, str, tuple[tuple[str, str], ...]], tuple[float, int]]  # by kind, name and tags: sum, count
    _connection: Connection

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)
        atexit.register(self.flush)

    def gauge(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Set a metric. Raises ValueError for a name that begins with `cortex_` or `istio_`, as the other methods do."""
        self._note("gauge", metric, value, tags)

    def increment(self, metric: str, value: float = 1, tags: dict[str, str] | None = None) -> None:
        """Add to a counter."""
        self._note("counter", metric, value, tags)

    def histogram(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Add a value to a histogram, of which the sum and the count are kept."""
        self._note("summary", metric, value, tags)

    def flush(self) -> None:
        """Send what there is."""
        with self._lock:
            values, self._values = self._values, {}
        if not values:
            return
        metrics = [
            {"kind": kind, "name": name, "tags": dict(tags), "value": value, "count": count}
            for (kind, name, tags), (value, count) in values.items()
        ]
        with suppress(Disconnected):  # these are lost, as they were for Cortex Labs
            self._connection.send("POST", gateway.path("metrics"), json.dumps({"metrics": metrics}).encode())
            self._connection.receive(LAST_SECONDS)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._values = {}
        self._some = threading.Event()  # there are values
        self._thread: threading.Thread | None = None
        self._connection = gateway.connect()

    def _note(self, kind: str, metric: str, value: float, tags: dict[str, str] | None) -> None:
        if metric.startswith(RESERVED):
            raise ValueError(f"the name of a metric must not begin with '{RESERVED[0]}' or '{RESERVED[1]}': '{metric}'")
        number = float(value)
        if not math.isfinite(number):
            return
        key = (kind, metric, tuple(sorted((str(name), str(tag)) for name, tag in (tags or {}).items())))
        with self._lock:
            total, count = (0.0, 0) if kind == "gauge" else self._values.get(key, (0.0, 0))
            self._values[key] = (total + number, count + 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="metrics", daemon=True)
                self._thread.start()
        self._some.set()

    def _send(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            self.flush()
            time.sleep(PAUSE_SECONDS)
