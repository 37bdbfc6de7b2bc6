"""The meaning of an expected.json, and rewriting it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.workspace.testing.expectation import Expectation, read_expectation

FAILED = {
    "cause": "skill 'divide' failed: exit code 1",
    "error": {
        "skill": "divide",
        "exitCode": 1,
        "reason": "exit code 1",
        "lastLines": ["Traceback", "ZeroDivisionError"],
    },
}
LAW = settings(max_examples=50)
KEYS = st.sampled_from(["a", "$error", "$subset", "$exact", "$deadLetters", "$x"])


def wrong(document: Any, record: dict[str, Any]) -> list[str]:
    return [difference.path for difference in read_expectation(document, "expected.json").of_failure(record)]


def test_a_plain_value_is_the_whole_response() -> None:
    expectation = read_expectation({"a": 1}, "expected.json")
    assert expectation.of_response({"a": 1}) == ()
    assert expectation.of_response({"a": 1, "b": 2}) != ()


def test_a_subset_may_lack_keys() -> None:
    expectation = read_expectation({"$subset": {"a": 1}}, "expected.json")
    assert expectation.of_response({"a": 1, "b": 2}) == ()
    assert expectation.of_response({"b": 2}) != ()


def test_a_failure_is_known_by_what_is_said_of_it() -> None:
    assert wrong({"$error": {}}, FAILED) == []
    everything = {"skill": "divide", "exitCode": 1, "reason": "exit code", "lastLines": "ZeroDiv"}
    assert wrong({"$error": everything}, FAILED) == []
    other = {"skill": "x", "exitCode": 2, "reason": "timeout", "lastLines": "KeyError"}
    assert wrong({"$error": other}, FAILED) == [f"error.{key}" for key in other]


def test_a_failure_without_a_task_has_its_cause_as_reason() -> None:
    assert wrong({"$error": {"reason": "cancelled"}}, {"cause": "cancelled by its user", "error": None}) == []
    assert wrong({"$error": {"exitCode": 1}}, {"cause": "cancelled by its user", "error": None}) == ["error.exitCode"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"$subst": 1}, "Did you mean '$subset'?"),
        ({"$error": "text"}, "is not an object"),
        ({"$error": {"exitcode": 1}}, "Did you mean 'exitCode'?"),
        ({"$error": {"reason": 1}}, "is not a text"),
        ({"$deadLetters": "one"}, "neither a number nor a list"),
        ({"$deadLetters": True}, "neither a number nor a list"),
        ({"$deadLetters": []}, "neither a number nor a list"),
        ({"$deadLetters": [{"skil": "x"}]}, "Did you mean 'skill'?"),
        ({"$deadLetters": [{"reason": 1}]}, "is not a text"),
        ({"$deadLetters": 1, "$exact": 1, "$subset": 1}, "both '$exact' and '$subset'"),
        ({"$deadLetters": 1, "$exakt": 1}, "Did you mean '$exact'?"),
    ],
)
def test_what_means_nothing_is_refused(document: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_expectation(document, "expected.json")
    assert said in str(caught.value)


LETTERS = [
    {"skillName": "score", "cause": "exit code 1", "payload": {"n": 0}},
    {"skillName": "score", "cause": "timeout", "payload": {"n": 1.0}},
]


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (2, []),
        (1, ["deadLetters"]),
        ([{}, {}], []),
        ([{}, {"payload": {"n": 0}}], []),
        ([{"reason": "time"}, {"reason": "exit"}], []),
        ([{"skill": "other"}, {"payload": {"n": 1}}], ["deadLetters[0]", "deadLetters"]),
        ([{}], ["deadLetters"]),
        ([{}, {}, {}], ["deadLetters[2]"]),
    ],
)
def test_dead_letters_are_counted_or_compared_in_any_order(value: Any, paths: list[str]) -> None:
    letters = read_expectation({"$deadLetters": value}, "expected.json").letters
    assert letters is not None
    assert [difference.path for difference in letters.differences(2, LETTERS)] == paths


def test_an_expectation_that_is_renewed_keeps_its_dead_letters() -> None:
    document = {"$subset": {"a": 1}, "$deadLetters": 1}
    before = read_expectation(document, "expected.json")
    assert json.loads(before.renewed({"a": 2, "b": 3}).text()) == {"$subset": {"a": 2}, "$deadLetters": 1}


@LAW
@given(st.dictionaries(KEYS, st.integers(), max_size=2) | st.lists(st.integers()) | st.none())
def test_what_is_written_for_a_response_is_met_by_it(response: Any) -> None:
    for before in (Expectation(kind="$exact", value=None), Expectation(kind="$subset", value={"a": 5})):
        written = before.renewed(response).text()
        again = read_expectation(json.loads(written), "expected.json")
        assert again.of_response(response) == ()


def test_a_subset_that_is_renewed_keeps_to_its_keys() -> None:
    before = read_expectation({"$subset": {"a": 1, "b": {"c": 1}}}, "expected.json")
    assert json.loads(before.renewed({"a": 2, "b": {"c": 3, "d": 4}, "at": "noon"}).text()) == {
        "$subset": {"a": 2, "b": {"c": 3}}
    }
