"""The client for metrics that the classes of users get: it sends them to a statsd exporter, over UDP."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

HOST, PORT = "HOST_IP", 9125  # as for Cortex Labs, on whose nodes an exporter listened
RESERVED = ("cortex_", "istio_")
MARKS = str.maketrans(dict.fromkeys(":|@#,\n", "_"))  # what separates the parts of a line


class MetricsClient:
    """Sends values of metrics. Nothing fails, and nothing is waited for, when nobody receives them."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def gauge(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Set a metric. Raises ValueError for a name that begins with `cortex_` or `istio_`, as the other methods do."""
        self._send(metric, value, "g", tags)

    def increment(self, metric: str, value: float = 1, tags: dict[str, str] | None = None) -> None:
        """Add to a counter."""
        self._send(metric, value, "c", tags)

    def histogram(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Add a value to a histogram."""
        self._send(metric, value, "h", tags)

    def _send(self, metric: str, value: Any, kind: str, tags: dict[str, str] | None) -> None:
        if metric.startswith(RESERVED):
            raise ValueError(f"the name of a metric must not begin with '{RESERVED[0]}' or '{RESERVED[1]}': '{metric}'")
        pairs = ",".join(f"{_text(name)}:{_text(tag)}" for name, tag in (tags or {}).items())
        line = f"{_text(metric)}:{_text(value)}|{kind}" + (f"|#{pairs}" if pairs else "")
        with suppress(OSError):
            self._socket.sendto(line.encode(), (os.environ.get(HOST, "127.0.0.1"), PORT))


def _text(value: Any) -> str:
    return str(value).translate(MARKS)
