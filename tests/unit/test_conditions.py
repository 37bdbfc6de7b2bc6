"""Conditions of `when` and field routing on a payload."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.conditions import by_field, holds, problems

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("condition", "payload", "expected"), [
    ({"a": 1}, {"a": 1}, True),
    ({"a": 1}, {"a": 1.0}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": 1}, {"a": "1"}, False),
    ({"a": None}, {"a": None}, True),
    ({"a": None}, {}, False),
    ({"a": {"b": 1}}, {"a": 3}, None),
    ({"a": ["x", "y"]}, {"a": "y"}, True),
    ({"a": ["x", "y"]}, {"a": "z"}, False),
    ({"a": {"in": [1]}}, {"a": 1}, True),
    ({"a": {"not_in": [1]}}, {}, True),
    ({"a": {"ne": 1}}, {"a": 2}, True),
    ({"a": {"gt": 1, "lte": 3}}, {"a": 3}, True),
    ({"a": {"gt": 1, "lte": 3}}, {"a": 4}, False),
    ({"a": {"gt": 1}}, {"a": "2"}, False),
    ({"a": {"lt": "b"}}, {"a": "a"}, True),
    ({"a": {"exists": True}}, {"a": None}, False),
    ({"a": {"exists": False}}, {"a": None}, True),
    ({"a": {"exists": True}}, {"a": 0}, True),
    ({"a.b": 1}, {"a": {"b": 1}}, True),
    ({"a.b": 1}, {"a.b": 1}, True),
    ({"a.b": 1}, {"a": [1]}, False),
    ({"a": 1, "b": 2}, {"a": 1}, False),
    ({".": 3}, 3, True),
    ({"a": 1}, [1], False),
])  # fmt: skip
def test_what_holds(condition: dict[str, Any], payload: Any, expected: bool | None) -> None:
    if expected is None:
        assert list(problems(condition))
    else:
        assert list(problems(condition)) == []
        assert holds(condition, payload) is expected


@pytest.mark.parametrize(("condition", "words"), [
    ({"a": {"grater": 1}}, "not an operator"), ({"a": {"in": 3}}, "needs a list"), ({"a": {"exists": 1}}, "true or false"),
    ({"a": {"gt": True}}, "a number or text"), ({"a": {}}, "the operator is missing"),
])  # fmt: skip
def test_what_is_impossible_is_said(condition: dict[str, Any], words: str) -> None:
    ((field, message),) = problems(condition)
    assert field == "a"
    assert words in message


@given(JSON, JSON)
def test_a_payload_equals_itself_and_exactly_one_of_eq_and_ne_holds(value: Any, other: Any) -> None:
    assert holds({".": {"eq": value}}, value)
    assert holds({".": {"eq": value}}, other) is not holds({".": {"ne": value}}, other)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=4), JSON)
def test_a_field_rule_or_the_default_takes_every_record(matches: list[str], value: Any) -> None:
    payload = {"kind": value}
    assert holds(by_field("kind", matches), payload) is not holds(by_field("kind", matches, inverse=True), payload)
