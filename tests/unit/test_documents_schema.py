"""The JSON Schemas agree with the readers about the same documents."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import fabric_jobs
from fabric_jobs.documents import parse_agent, parse_skill
from fabric_jobs.documents.reader import BOOKKEEPING
from fabric_jobs.errors import InvalidDefinition

SCHEMAS = {
    kind: json.loads((Path(fabric_jobs.__file__).parent / "schemas" / f"{kind}.schema.json").read_text("utf-8"))
    for kind in ("skill", "agent")
}

TARGET = {"action": "work", "runtime": "cortex/jobs", "output": "response"}
SKILL: dict[str, Any] = {
    "name": "a",
    "tags": [{"label": "x", "value": 1}],
    "inputs": [{"name": "request", "parameters": [{"name": "p", "required": "TRUE"}], "routing": {"all": TARGET}}],
    "outputs": [{"name": "response", "parameters": {"$ref": "t"}}],
    "properties": [{"name": "p", "type": "String", "defaultValue": [1], "secure": False}],
    "actions": [{"name": "work"}],
}
AGENT: dict[str, Any] = {
    "name": "a",
    "inputs": [{"name": "i", "output": "o"}],
    "outputs": [{"name": "o", "signalId": "x"}],
    "skills": [{"skillName": "s", "refId": "one", "properties": [{"name": "p", "value": None}]}],
    "mappings": [
        {"from": "i", "to": "one"},
        {"from": {"skill": {"refId": "one"}}, "to": {"output": {"signalId": "x"}}},
    ],
}

GOOD_ACTIONS: tuple[dict[str, Any], ...] = (
    {"command": ["python", "main.py"], "image": "x", "jobTimeout": 5, "timeout": 5},
    {"environmentVariables": '"A"="1, 2",B=x y'},
    {"environmentVariables": ""},
    {"environmentVariables": {"A": "1", "B": None, "C.d": "true"}},
    {"podSpec": [{"path": "/a", "value": None}], "k8sResources": ["{}"]},
    {"receives": "stream", "message": "file", "response": "stdout", "onError": "complete", "workers": None},
    {"receives": "stream", "workers": 2},
    {"receives": "batch"},
    {"receives": "batch", "batch": {"size": 2, "seconds": 0.5, "split": False}, "response": "jsonl"},
    {"workers": 1, "retries": {"limit": 2, "backoff_seconds": 0.5, "max_backoff_seconds": 9}},
    {"resources": {"cpu": "500m", "memory": "1.5Gi", "gpu": 0}},
    {"resources": {"cpu": 2, "memory": 1000000}},
    {"preload": ["a", "b.c"]},
    {"warm": True},
    {"warm": False},
    {"warm": None},
    {"warm": {"preload": ["a", "b.c"], "_note": 1}},
    {"warm": {}},
    {"python": "3.12"},
    {"python": "3"},
    {"python": "pypy3.10"},
    {"python": "~/my venv/bin/python"},
    {"_note": {"x": 1}, "createdAt": "now", "description": None, "type": None},
)
BAD_ACTIONS: tuple[dict[str, Any], ...] = (
    {"prot": 1},
    {"name": "a/../b"},
    {"name": "a."},
    {"name": None},
    {"type": "Job"},
    {"image": 5},
    {"python": 3.12},
    {"python": 3},
    {"python": ""},
    {"python": "3.12.1"},
    {"python": "a\nb"},
    {"command": "python"},
    {"command": []},
    {"command": [1]},
    {"port": 80},
    {"concurrency": 1},
    {"timeout": 0},
    {"timeout": "5"},
    {"timeout": True},
    {"workers": 0},
    {"workers": 1.5},
    {"batch": {"size": 2}},
    {"receives": "stream", "batch": {"size": 2}},
    {"receives": "batch", "batch": {"size": 0}},
    {"receives": "batch", "batch": {"length": 2}},
    {"receives": "streams"},
    {"message": "stdin"},
    {"response": "stderr"},
    {"onError": "ignore"},
    {"retries": 3},
    {"retries": {"limit": -1}},
    {"retries": {"backoff": 1}},
    {"resources": {"cpu": "two"}},
    {"resources": {"memory": "1 GB"}},
    {"resources": {"gpu": -1}},
    {"environmentVariables": "A"},
    {"environmentVariables": '"1A"="x"'},
    {"environmentVariables": {"1A": "x"}},
    {"environmentVariables": {"A": []}},
    {"environmentVariables": {"A": 1}},
    {"environmentVariables": {"A": True}},
    {"environmentVariables": ["A=1"]},
    {"podSpec": [{"path": "a", "value": 1}]},
    {"podSpec": [{"path": "/a"}]},
    {"podSpec": [{"value": 1}]},
    {"k8sResources": [{}]},
    {"warm": {"preload": ["a-b"]}},
    {"warm": {"preload": "a"}},
    {"warm": {"prelaod": []}},
    {"warm": ["a"]},
    {"warm": 1},
    {"type": "daemon", "warm": True},
    {"type": "daemon", "timeout": 5},
    {"type": "daemon", "response": "json"},
    {"type": "daemon", "port": 0},
    {"type": "daemon", "port": "http"},
)
GOOD_SKILLS: tuple[dict[str, Any], ...] = (
    {"camel": "1.0.0", "title": "T", "description": None, "deployStatus": "x", "_version": 1, "$schema": "x"},
    {"inputs": None, "outputs": None, "actions": None, "datasets": [{"any": 1}]},
    {"actions": [{"name": "work"}, {"name": "l", "type": "daemon", "port": 80, "scaleCount": 0, "concurrency": 2}]},
    {"inputs": [{"name": "i", "routing": {"property": "p", "default": TARGET, "rules": [{"match": 5, **TARGET}]}}]},
    {"inputs": [{"name": "i", "routing": {"field": "f", "default": TARGET}}]},
    {"inputs": [{"name": "i", "routing": {"all": {"runtime": "cortex/external-api", "output": "response"}}}]},
    {
        "inputs": [
            {
                "name": "i",
                "routing": {
                    "all": {
                        "runtime": "cortex/external-api",
                        "output": "response",
                        "concurrency": 4,
                        "retries": {"limit": 2},
                        "onError": "continue",
                        "batch": {"size": 9},
                    }
                },
            }
        ]
    },
)
BAD_SKILLS: tuple[dict[str, Any], ...] = (
    {"name": None},
    {"name": "1"},
    {"name": 5},
    {"nam": "x"},
    {"camel": []},
    {"title": 5},
    {"tags": ["x"]},
    {"tags": [{"label": "x", "colour": "red"}]},
    {"inputs": {}},
    {"inputs": [{"name": "i"}]},
    {"inputs": [{"name": "i", "routing": {}}]},
    {"inputs": [{"name": "i", "routing": {"all": TARGET, "field": "f", "default": TARGET}}]},
    {"inputs": [{"name": "i", "routing": {"all": TARGET, "rules": []}}]},
    {"inputs": [{"name": "i", "routing": {"field": "f"}}]},
    {"inputs": [{"name": "i", "routing": {"field": "f", "default": TARGET, "rules": [TARGET]}}]},
    {"inputs": [{"name": "i", "routing": {"all": {"action": "work", "output": "response"}}}]},
    {"inputs": [{"name": "i", "routing": {"all": {"action": "work", "runtime": "cortex/jobs"}}}]},
    {"inputs": [{"name": "i", "routing": {"all": {**TARGET, "runtime": "jobs"}}}]},
    {"inputs": [{"name": "i", "routing": {"all": {**TARGET, "action": None}}}]},
    {"inputs": [{"name": "i", "routing": {"all": {**TARGET, "concurrency": 2}}}]},
    {"inputs": [{"name": "i", "routing": {"all": {**TARGET, "runtime": "cortex/external-api"}}}]},
    {"inputs": [{"name": "i", "parameters": [{"type": "x"}], "routing": {"all": TARGET}}]},
    {"inputs": [{"name": "i", "parameters": {"ref": "x"}, "routing": {"all": TARGET}}]},
    {"outputs": [{}]},
    {"outputs": [{"name": "o", "routing": {}}]},
    {"properties": [{"name": "p", "required": "yes"}]},
    {"properties": [{"name": "p", "validValues": "x"}]},
    {"properties": [{"type": "x"}]},
    {"datasets": ["x"]},
)
GOOD_AGENTS: tuple[dict[str, Any], ...] = (
    {"properties": [{"name": "allowedHeaders", "value": "x"}], "publish": True, "snapshotId": "s"},
    {"inputs": None, "outputs": None, "mappings": None},
    {"mappings": [{"from": "i", "to": "one.request", "when": {"a": 1}, "join": "all", "rules": []}]},
    {
        "mappings": [
            {"from": {"input": {"signalId": "i"}}, "to": {"skill": {"refId": "one", "input": "r"}}, "when": None}
        ]
    },
)
BAD_AGENTS: tuple[dict[str, Any], ...] = (
    {"name": ""},
    {"inputs": [{"output": "o"}]},
    {"inputs": [{"name": "i", "signalType": "Stream"}]},
    {"outputs": [{"name": "o", "output": "o"}]},
    {"skills": [{"refId": "x"}]},
    {"skills": [{"skillName": "s", "properties": {"p": 1}}]},
    {"properties": [{"value": 1}]},
    {"properties": [{"name": "x", "valu": 1}]},
    {"mappings": ["i to one"]},
    {"mappings": [{"from": "i"}]},
    {"mappings": [{"to": "one"}]},
    {"mappings": [{"from": 5, "to": "one"}]},
    {"mappings": [{"from": {"output": {"signalId": "x"}}, "to": "one"}]},
    {"mappings": [{"from": {}, "to": "one"}]},
    {"mappings": [{"from": {"input": {"signalId": "i"}, "skill": {"refId": "one"}}, "to": "one"}]},
    {"mappings": [{"from": {"skill": {"refId": "one", "input": "x"}}, "to": "o"}]},
    {"mappings": [{"from": {"skill": {"output": "x"}}, "to": "o"}]},
    {"mappings": [{"from": {"input": {}}, "to": "one"}]},
    {"mappings": [{"from": "i", "to": "one", "join": "any"}]},
    {"mappings": [{"from": "i", "to": "one", "when": {}}]},
    {"mappings": [{"from": "i", "to": "one", "when": "x"}]},
    {"mappings": [{"from": "i", "to": "one", "rules": "x"}]},
)


def with_action(changes: dict[str, Any]) -> dict[str, Any]:
    return SKILL | {"inputs": [], "actions": [{"name": "work"} | changes]}


def is_read(kind: str, document: Any) -> bool:
    try:
        text = json.dumps(document)  # editors check files, while posted JSON may have a few more keys
        parse_skill(text, "") if kind == "skill" else parse_agent(text, "")
    except InvalidDefinition:
        return False
    return True


def is_valid(kind: str, document: Any) -> bool:
    return Draft202012Validator(SCHEMAS[kind]).is_valid(document)


NO_MAPPINGS: tuple[Any, ...] = ([], "x", None, {})
GOOD: list[tuple[str, Any]] = [("skill", SKILL | changes) for changes in ({}, *GOOD_SKILLS)]
GOOD += [("skill", with_action(changes)) for changes in GOOD_ACTIONS]
GOOD += [("agent", AGENT | changes) for changes in ({}, *GOOD_AGENTS[:1], *GOOD_AGENTS[2:])]
GOOD += [("agent", {"name": "a", **GOOD_AGENTS[1]})]
BAD: list[tuple[str, Any]] = [("skill", SKILL | changes) for changes in BAD_SKILLS]
BAD += [("skill", with_action(changes)) for changes in BAD_ACTIONS]
BAD += [("agent", AGENT | changes) for changes in BAD_AGENTS]
BAD += [(kind, value) for kind in SCHEMAS for value in NO_MAPPINGS]


@pytest.mark.parametrize(("kind", "document"), GOOD)
def test_both_accept(kind: str, document: Any) -> None:
    assert is_read(kind, copy.deepcopy(document))
    assert list(Draft202012Validator(SCHEMAS[kind]).iter_errors(document)) == []


@pytest.mark.parametrize(("kind", "document"), BAD)
def test_both_refuse(kind: str, document: Any) -> None:
    assert not is_read(kind, copy.deepcopy(document))
    assert not is_valid(kind, document)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_a_schema(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind])


@pytest.mark.parametrize("kind", SCHEMAS)
def test_bookkeeping_is_accepted_and_every_key_is_explained(kind: str) -> None:
    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("additionalProperties") is False:  # a part that people write, not a condition on it
                assert all("description" in value or "$ref" in value for value in node["properties"].values())
            for value in node.values():
                visit(value)

    visit(SCHEMAS[kind])
    document = {"name": "a", **dict.fromkeys(BOOKKEEPING, "x"), "_anything": 1}
    assert is_valid(kind, document)
    assert is_read(kind, document)


def replaced(node: Any, steps: Sequence[str | int], value: Any) -> Any:
    """Return a copy of a document with `value` at the end of `steps`."""
    if not steps:
        return value
    changed = copy.copy(node)
    changed[steps[0]] = replaced(node[steps[0]], steps[1:], value)
    return changed


def places(node: Any) -> list[tuple[str | int, ...]]:
    """Return the steps to every value in a document."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [(), *((key, *steps) for key, child in children for steps in places(child))]


ANYTHING: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1.5, 10**400, float("nan"), float("inf"), "", "x", [], [[]], [{}], {}, {"x": 1}]
)
SPOILT = [(kind, document, steps) for kind, document in GOOD for steps in places(document)]


@given(st.sampled_from(SPOILT), ANYTHING)
def test_a_spoilt_document_raises_nothing_but_invalid_definition(spoilt: tuple[str, Any, Any], value: Any) -> None:
    kind, document, steps = spoilt
    is_read(kind, replaced(document, steps, value))
