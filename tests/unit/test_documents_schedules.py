"""schedules.yaml: the reader and the JSON Schema agree about the same documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fabric_jobs import shipped
from fabric_jobs.documents import read, schedules_from_json, schedules_of
from fabric_jobs.errors import InvalidDefinition

SCHEMA = Draft202012Validator(json.loads(shipped.schema_file("schedules").read_text("utf-8")))
ONE: dict[str, Any] = {"name": "a", "cron": "@daily", "skill": "s"}
GOOD: tuple[dict[str, Any], ...] = (
    {},
    {"input": "i", "service": None, "agent": None},
    {"skill": None, "agent": "x/y", "service": "s"},
    {"payload": [1, None], "properties": {"a": {"b": 1}}, "executor": "docker"},
    {"overlap": "cancel", "catchup": "all", "catchup_seconds": 0.5, "jitter_seconds": 86_400},
    {"overlap": None, "catchup": None, "catchup_seconds": None, "timezone": None, "properties": None},
    {"name": "cortex/simple-job", "timezone": "Europe/Berlin", "_note": 1},
)
BAD: tuple[dict[str, Any], ...] = (
    {"name": None},
    {"name": "1"},
    {"name": "a/../b"},
    {"cron": None},
    {"cron": 5},
    {"cron": ""},
    {"cron": "9" * 201},
    {"skill": None},
    {"agent": "x"},
    {"service": "s"},
    {"skill": 5},
    {"properties": []},
    {"properties": [{"name": "a", "value": 1}]},
    {"executor": "mars"},
    {"overlap": "wait"},
    {"catchup": True},
    {"catchup_seconds": -1},
    {"catchup_seconds": 31 * 86_400 + 1},
    {"jitter_seconds": "5m"},
    {"jitter_seconds": 86_401},
    {"crn": "x"},
)


@pytest.mark.parametrize("keys", GOOD)
def test_good(keys: dict[str, Any]) -> None:
    document = {"schedules": [{**ONE, **keys}]}
    assert SCHEMA.is_valid(document)
    (found,) = schedules_from_json(document)
    assert found.target in ("s", "x/y")


@pytest.mark.parametrize("keys", BAD)
def test_bad(keys: dict[str, Any]) -> None:
    document = {"schedules": [{**ONE, **keys}]}
    assert not SCHEMA.is_valid(document)
    with pytest.raises(InvalidDefinition) as caught:
        schedules_from_json(document)
    assert all(problem.path.startswith("schedules[0]") for problem in caught.value.problems)


@pytest.mark.parametrize(
    "document", [None, 1, [], {}, {"schedules": None}, {"schedules": {}}, {"schedules": [1]}, {"x": 1}]
)
def test_bad_files(document: Any) -> None:
    assert not SCHEMA.is_valid(document)
    with pytest.raises(InvalidDefinition):
        schedules_from_json(document)


def test_a_catchup_that_overlap_defeats_is_a_warning_with_its_place() -> None:
    text = 'schedules:\n  - {name: a, cron: "@daily", skill: s, catchup: all}\n'
    (found,), (warning,) = schedules_of(read(text, "schedules.yaml"))
    assert found.catchup == "all"
    assert str(warning).startswith("schedules.yaml:2:50: warning: schedules[0].catchup: with 'overlap: skip'")
