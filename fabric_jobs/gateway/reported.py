"""The values of metrics that code has reported to this owner, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("counter", "gauge", "summary")
SERIES = 2000  # names with their tags; what is beyond is not kept


class Value(NamedTuple):
    """What was reported of one metric."""

    kind: str
    name: str
    tags: tuple[tuple[str, str], ...]
    number: float  # the sum of so many `values`; of a gauge the last one
    values: int


class Reported:
    """The metrics by name. Only the event loop's thread uses it."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._series: dict[tuple[str, str], tuple[float, int]] = {}  # by name and labels

    def note(self, value: Value) -> None:
        """Add a value. It is dropped if the name has another kind, or there are too many series."""
        key = (value.name, ",".join(f'{name}="{_escaped(text)}"' for name, text in sorted(dict(value.tags).items())))
        is_full = key not in self._series and len(self._series) >= SERIES
        if is_full or self._kinds.setdefault(value.name, value.kind) != value.kind:
            return
        total, count = (0.0, 0) if value.kind == "gauge" else self._series.get(key, (0.0, 0))
        self._series[key] = (total + value.number, count + value.values)

    def lines(self) -> Iterator[str]:
        """Yield the lines of all metrics."""
        last = ""
        for (name, labels), (total, count) in sorted(self._series.items()):
            if name != last:
                last = name
                yield f"# TYPE {name} {self._kinds[name]}"
            if self._kinds[name] == "summary":
                yield f"{name}_sum{{{labels}}} {total!r}"
                yield f"{name}_count{{{labels}}} {count}"
            else:
                yield f"{name}{{{labels}}} {total!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
