"""The reference pages name every key, and their examples are correct."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fabric_jobs
from fabric_jobs.documents import parse_agent, parse_skill
from fabric_jobs.documents.reader import BOOKKEEPING

PAGES = Path(__file__).parents[2] / "docs" / "reference"
SCHEMAS = Path(fabric_jobs.__file__).parent / "schemas"


def page(kind: str) -> str:
    return (PAGES / f"{kind}-yaml.md").read_text("utf-8")


def examples(kind: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page(kind), flags=re.DOTALL)


def described(node: Any) -> Iterator[str]:
    """Yield every key that a schema describes, at any depth."""
    if isinstance(node, dict):
        if node.get("additionalProperties") is False:
            yield from node["properties"]
        for value in node.values():
            yield from described(value)
    elif isinstance(node, list):
        for value in node:
            yield from described(value)


@pytest.mark.parametrize("kind", ["skill", "agent"])
def test_every_key_is_on_the_page(kind: str) -> None:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text("utf-8"))
    prose = re.sub(r"```.*?```", "", page(kind), flags=re.DOTALL)
    code = " ".join(re.findall(r"`([^`]+)`", prose))
    words = set(re.findall(r"[$\w]+", code))
    assert {*described(schema), *BOOKKEEPING} - words == set()


def test_the_examples_of_a_skill_have_no_problem() -> None:
    (full,) = [parse_skill(text, "skill.yaml") for text in examples("skill")]
    assert full[1] == ()
    assert [action.name for action in full[0].actions] == ["score", "answer"]


def test_the_examples_of_an_agent_have_no_problem() -> None:
    long, short = [parse_agent(text, "agent.yaml") for text in examples("agent")]
    assert long[1] == short[1] == ()
    assert [len(agent.mappings) for agent, _ in (long, short)] == [3, 3]
