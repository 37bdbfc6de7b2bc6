"""Metrics that the code of APIs reports, kept in memory for Prometheus (docs/howto/metrics.md#metrics-of-your-code)."""

from __future__ import annotations

import math
import re
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.internal import attempt_of
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.reported import KINDS, Value

LONGEST_NAME, LONGEST_TAG, TAGS = 200, 200, 20  # characters, characters, tags of a metric
RESERVED = ("cortex_", "istio_", "fabric_jobs_")


async def note_metrics(call: Call) -> Json:
    """Take the metrics that the code of a task reports: values to add to counters and summaries, and new values of gauges."""
    parts, task = attempt_of(call)
    entries = call.object.get("metrics")
    if not isinstance(entries, list):
        raise InvalidInput("'metrics' must be a list.")
    values = [_value(entry, task.skill_name) for entry in entries]
    for value in values:
        parts.reported.note(value)
    return Json({})


def _value(entry: Any, api: str) -> Value:
    try:
        kind, name, number, count = entry["kind"], entry["name"], entry["value"], entry.get("count", 1)
        tags = {**entry.get("tags", {}), "api_name": api}
        is_good = kind in KINDS and isinstance(name, str) and 0 < len(name) <= LONGEST_NAME
        is_good = is_good and not name.startswith(RESERVED) and len(tags) <= TAGS
        is_good = is_good and isinstance(number, int | float) and math.isfinite(number) and type(count) is int
        is_good = is_good and all(isinstance(tag, str) and len(tag) <= LONGEST_TAG for tag in (*tags, *tags.values()))
    except (TypeError, KeyError, AttributeError, OverflowError):
        is_good = False
    if not is_good or (kind == "counter" and number < 0) or count < 1:
        raise InvalidInput(
            "this is not a metric with 'kind', 'name', 'value', 'count' and 'tags'.",
            hint=f"Its name must not begin with {', '.join(RESERVED)}; values are finite, and those of counters not negative.",
        )
    return Value(kind, _name(name), tuple((_name(tag), text) for tag, text in tags.items()), float(number), count)


def _name(text: str) -> str:
    """Return a name with an underscore for each character that Prometheus does not have in names."""
    found = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"_{found}" if not found or found[0].isdigit() else found


OPERATIONS = (
    Operation(
        "POST",
        "/internal/attempts/{attempt}/metrics",
        note_metrics,
        body="CodeMetrics",
        answer="Empty",
        errors=("409",),
        caller="task",
    ),
)
