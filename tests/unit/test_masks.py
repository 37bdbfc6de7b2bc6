"""Masks: no byte of a secret is shown, nothing else is hidden, and every text keeps its length."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.masks import SHORTEST, Masks

WORDS = st.text("ab-", min_size=SHORTEST, max_size=9)
TEXTS = st.text("ab-\n", max_size=60)


def plain(masks: Masks, text: str) -> str:
    return masks.hide(text.encode()).decode()


def test_a_value_is_hidden_wherever_it_is() -> None:
    masks = Masks(["hunter2"])
    assert plain(masks, "x hunter2hunter2 y") == f"x {'*' * 14} y"
    assert plain(masks, "nothing here") == "nothing here"
    assert masks.lines(["hunter2", "Hunter2"]) == ("*******", "Hunter2")


def test_overlapping_values_are_hidden_whole() -> None:
    assert plain(Masks(["abcd", "cdef"]), "-abcdef-") == "-******-"
    assert plain(Masks(["aXaXa"]), "aXaXaXa") == "*******"


@pytest.mark.parametrize("value", ["abc", "", None, True, 123, [None, "abc", {"a": 1}], "a\nb\nc"])
def test_what_is_too_short_is_not_hidden(value: Any) -> None:
    assert not Masks([value])
    assert plain(Masks([value]), "abc 123 True None") == "abc 123 True None"


def test_each_line_and_each_inner_text_is_hidden() -> None:
    masks = Masks([{"user": "somebody", "pins": [4711, {"x": "first line\nsecond line\n"}]}])
    said = "somebody 4711\nfirst line\nuser\nsecond line\n"
    assert plain(masks, said) == "******** ****\n**********\nuser\n***********\n"


@pytest.mark.parametrize("value", ['quote"d', "back\\slash", "Größe!", "tab\there", "a'b'c'd", "a/b c&d"])
def test_it_is_known_as_programs_print_it(value: str) -> None:
    masks = Masks([value])
    for spelled in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]):
        assert set(plain(masks, spelled)) == {"*"}, spelled
    assert set(plain(masks, quote(value, safe=""))) == {"*"}


@given(st.lists(WORDS, max_size=3), TEXTS)
def test_no_value_is_left_and_the_length_stays(values: list[str], text: str) -> None:
    masks = Masks(values)
    shown = plain(masks, text)
    assert len(shown) == len(text)
    assert not any(value in shown for value in values)
    for position, (before, after) in enumerate(zip(text, shown, strict=True)):
        if before != after:  # it is part of a value
            around = ((value, text.find(value, max(0, position - len(value) + 1))) for value in values)
            assert after == "*"
            assert any(0 <= at <= position < at + len(value) for value, at in around)


@given(st.lists(WORDS, min_size=1, max_size=3), TEXTS, st.data())
def test_what_is_shown_in_pages_is_hidden_like_the_whole(values: list[str], text: str, data: st.DataObject) -> None:
    """Each page is read with what is around it, as logs are."""
    masks, whole = Masks(values), text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    shown = b""
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        before, after = whole[max(0, begin - masks.longest) : begin], whole[end : end + masks.longest]
        shown += masks.hide(whole[begin:end] + after, before=before)[: end - begin]
    assert shown == masks.hide(whole)


@given(WORDS, TEXTS, st.data())
def test_an_end_that_may_be_a_beginning_is_hidden(value: str, text: str, data: st.DataObject) -> None:
    begun = value[: data.draw(st.integers(SHORTEST, len(value)))]
    shown = Masks([value]).hide(f"{text}{begun}".encode(), is_cut=True).decode()
    assert len(shown) == len(text + begun)
    assert set(shown[-len(begun) :]) == {"*"}
    assert Masks([value]).hide(begun.encode(), is_cut=True) == b"*" * len(begun)


def test_a_large_value_costs_no_more_than_reading_it() -> None:
    value = "a" * 60_000 + "b"
    assert Masks([value]).hide(b"a" * 1_000_000, is_cut=True).endswith(b"*" * 60_000)
