"""Metrics that code reports: what is taken, and what it becomes in the text of Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.code_metrics import _value
from fabric_jobs.gateway.reported import SERIES, Reported, Value


def lines(*entries: dict[str, Any], api: str = "words") -> list[str]:
    reported = Reported()
    for entry in entries:
        reported.note(_value({"kind": "counter", "name": "seen", "value": 1, **entry}, api))
    return list(reported.lines())


def test_counters_add_up_by_their_tags() -> None:
    found = lines({}, {"value": 2.5}, {"tags": {"b": "2", "a": "1"}}, {"tags": {"a": "1", "b": "2"}})
    assert found == [
        "# TYPE seen counter",
        'seen{a="1",api_name="words",b="2"} 2.0',
        'seen{api_name="words"} 3.5',
    ]


def test_a_gauge_has_its_last_value() -> None:
    found = lines({"kind": "gauge", "value": 5}, {"kind": "gauge", "value": -2})
    assert found == ["# TYPE seen gauge", 'seen{api_name="words"} -2.0']


def test_a_histogram_is_a_sum_and_a_count() -> None:
    found = lines({"kind": "summary", "value": 5, "count": 3}, {"kind": "summary", "value": 2})
    assert found == ["# TYPE seen summary", 'seen_sum{api_name="words"} 7.0', 'seen_count{api_name="words"} 4']


def test_names_and_values_are_made_fit() -> None:
    found = lines({"name": "9 lives.été", "tags": {"a-b": 'x"y\\z\n', "api_name": "other"}})
    assert found == ["# TYPE _9_lives__t_ counter", '_9_lives__t_{a_b="x\\"y\\\\z\\n",api_name="words"} 1.0']


def test_a_name_keeps_its_first_kind() -> None:
    assert lines({}, {"kind": "gauge", "value": 9})[1:] == ['seen{api_name="words"} 1.0']


def test_there_is_an_end_to_the_series() -> None:
    reported = Reported()
    for number in range(SERIES + 5):
        reported.note(Value("counter", "seen", (("n", str(number)),), 1.0, 1))
    reported.note(Value("counter", "seen", (("n", "0"),), 1.0, 1))
    found = list(reported.lines())
    assert len(found) == SERIES + 1
    assert 'seen{n="0"} 2.0' in found


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "histogram"},
        {"kind": ["gauge"]},
        {"name": ""},
        {"name": 5},
        {"name": "x" * 201},
        {"name": "cortex_batch_succeeded"},
        {"name": "fabric_jobs_tasks"},
        {"value": "1"},
        {"value": None},
        {"value": -1},
        {"value": float("nan")},
        {"value": 10**400},
        {"count": 0},
        {"count": True},
        {"tags": ["a"]},
        {"tags": {"a": 1}},
        {"tags": {"a": "x" * 201}},
        {"tags": {str(number): "" for number in range(20)}},
    ],
)
def test_anything_else_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="this is not a metric"):
        lines(entry)


@pytest.mark.parametrize("entry", [None, [], "seen", {}, {"kind": "gauge"}])
def test_what_is_no_metric_at_all_is_refused(entry: Any) -> None:
    with pytest.raises(InvalidInput, match="this is not a metric"):
        _value(entry, "words")
