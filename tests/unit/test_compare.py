"""Comparing JSON values: what differs, where, and general laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.workspace.compare import ABSENT, Difference, differences, fitted

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3)
LAW = settings(max_examples=50)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@LAW
@given(VALUES)
def test_a_value_is_itself_and_a_subset_of_itself(value: Any) -> None:
    assert differences(value, value) == ()
    assert differences(value, value, subset=True) == ()


@LAW
@given(VALUES, VALUES)
def test_what_is_equal_is_a_subset(one: Any, other: Any) -> None:
    assert set(paths(one, other, subset=True)) <= set(paths(one, other))


@LAW
@given(VALUES, VALUES)
def test_both_ways_differ_in_the_same_places(one: Any, other: Any) -> None:
    assert sorted(paths(one, other)) == sorted(paths(other, one))


@LAW
@given(VALUES, VALUES)
def test_what_is_fitted_is_a_subset(expected: Any, actual: Any) -> None:
    assert differences(fitted(expected, actual), actual, subset=True) == ()


@LAW
@given(VALUES, VALUES)
def test_what_is_a_subset_already_stays_as_it_is(expected: Any, actual: Any) -> None:
    fits = differences(expected, actual, subset=True) == ()
    assert not fits or fitted(expected, actual) == expected


def test_a_difference_says_where_and_what() -> None:
    expected = {"a": [1, {"b c": "x"}], "gone": None}
    actual = {"a": [1, {"b c": "y"}, 3], "new": 1}
    assert differences(expected, actual) == (
        Difference(path='response.a[1]["b c"]', expected="x", actual="y"),
        Difference(path="response.a[2]", expected=ABSENT, actual=3),
        Difference(path="response.gone", expected=None, actual=ABSENT),
        Difference(path="response.new", expected=ABSENT, actual=1),
    )


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [(1, 1.0, True), (1, True, False), (0, False, False), ("1", 1, False), (None, False, False), ([], {}, False)],
)
def test_scalars_are_compared_as_json_has_them(expected: Any, actual: Any, same: bool) -> None:
    assert (differences(expected, actual) == ()) is same
    assert (differences([expected], [actual], subset=True) == ()) is same


def test_a_subset_may_have_fewer_keys_at_every_depth_but_not_fewer_items() -> None:
    assert paths({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}], "d": 3}, subset=True) == []
    assert paths([1], [1, 2], subset=True) == ["response[1]"]
    assert paths({"a": None}, {}, subset=True) == ["response.a"]


def test_values_that_are_nested_too_deeply_are_refused() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="too deeply"):
        differences(deep, [deep])


def paths(expected: Any, actual: Any, *, subset: bool = False) -> list[str]:
    return [difference.path for difference in differences(expected, actual, subset=subset)]
