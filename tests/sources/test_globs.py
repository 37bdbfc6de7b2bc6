"""The glob dialect: examples of the original's documentation, its errors, and a matcher that is obviously right."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.sources import globs
from fabric_jobs.sources.globs import Glob

# A pattern as a tree, for the reference: a text, or one of these.
Part = tuple[str, object]


@pytest.mark.parametrize(("pattern", "text", "expected"), [
    ("**.jpg", "s3://bucket/images/img_2.jpg", True),
    ("**_3.jpg", "s3://bucket/images/img_3.jpg", True),
    ("**_3.jpg", "s3://bucket/images/img_2.jpg", False),
    ("*.jpg", "s3://bucket/images/img_2.jpg", False),
    ("s3://bucket/images/*.jpg", "s3://bucket/images/img_2.jpg", True),
    ("s3://bucket/*.jpg", "s3://bucket/images/img_2.jpg", False),
    ("s3://bucket/images/img_?.jpg", "s3://bucket/images/img_2.jpg", True),
    ("a?b", "a/b", False),
    ("a?b", "ab", False),
    ("a[/]b", "a/b", True),
    ("a[!b]c", "a/c", True),
    ("a[!b]c", "abc", False),
    ("[a-c]", "b", True),
    ("[a-c]", "d", False),
    ("[!a-c]", "d", True),
    ("[^a]", "^", True),
    ("[^a]", "b", False),
    ("[abc-z]", "-", True),
    ("[abc-z]", "q", False),
    ("[-a]", "-", True),
    ("[!!a]", "!", False),
    ("[\\]a]", "]", True),
    ("[A-]]", "]", True),
    ("{a,b}c", "bc", True),
    ("{a,b}c", "c", False),
    ("{a,}c", "c", True),
    ("{a,{b,c*}}d", "cxxd", True),
    ("{a,{b,c*}}d", "c/xd", False),
    ("{**.png,**.gif}", "x/y.gif", True),
    ("{a,b", "b", True),  # the end of the pattern closes it
    ("a,b}", "a,b}", True),
    ("\\*", "*", True),
    ("\\*", "a", False),
    ("\\{a\\}", "{a}", True),
    ("a\\", "a", True),
    ("***", "a/b", True),
    ("a**b", "a/x/b", True),
    ("A", "a", False),
    ("", "", True),
    ("", "a", False),
    ("a.c", "abc", False),
    ("*", "line\nbreak", True),
    ("ä*", "äö", True),
])  # fmt: skip
def test_a_pattern_matches_all_of_a_name(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(text) is expected


@pytest.mark.parametrize(("pattern", "words"), [
    ("[", "not closed"),
    ("[a", "not closed"),
    ("[!", "not closed"),
    ("[]", "empty"),
    ("[!]", "empty"),
    ("[]a]", "empty"),
    ("[a-zA-Z]", "one range"),
    ("[a-", "one range"),
    ("[z-a]", "wrong way round"),
    ("[a-]", "one range"),
    ("x" * 1001, "1,000 characters"),
])  # fmt: skip
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Glob(pattern)


ALPHABET = "ab/,-!]"
plain = st.sampled_from(ALPHABET).map(lambda char: ("char", char))
one = st.one_of(
    plain,
    st.sampled_from(["*", "**", "?"]).map(lambda token: (token, None)),
    st.tuples(st.booleans(), st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3)).map(lambda c: ("class", c)),
    st.booleans().map(lambda negated: ("range", negated)),
)
patterns: st.SearchStrategy[list[Part]] = st.recursive(
    st.lists(one, max_size=5),
    lambda inner: st.lists(
        st.one_of(one, st.lists(inner, min_size=1, max_size=3).map(lambda some: ("any", some))), max_size=5
    ),
    max_leaves=12,
)


def written(parts: list[Part]) -> str:
    """Return a tree as a pattern."""
    found, before = "", ""
    for kind, value in parts:
        if before.startswith("*") and kind.startswith("*"):
            found += "{}"  # else the two would be read as one
        before = kind
        match kind:
            case "char":
                found += f"\\{value}"
            case "class":
                assert isinstance(value, tuple)
                negated, chars = value
                ordered = sorted(set(chars), key=lambda char: char != "-")  # behind another one it would make a range
                inside = "".join(char if char == "-" else f"\\{char}" for char in ordered)
                found += "[" + ("!" if negated else "") + inside + "]"
            case "range":
                found += "[!a-b]" if value else "[a-b]"
            case "any":
                assert isinstance(value, list)
                found += "{" + ",".join(written(inner) for inner in value) + "}"
            case _:
                found += kind
    return found


def ends(parts: list[Part], text: str, begin: int) -> set[int]:
    """Return all indexes to which a pattern can match from `begin` on."""
    at = {begin}
    for kind, value in parts:
        at = set().union(*(after(kind, value, text, index) for index in at))
    return at


def after(kind: str, value: object, text: str, at: int) -> set[int]:
    """Return all indexes to which one part can match."""
    if kind == "any":
        assert isinstance(value, list)
        return set().union(*(ends(inner, text, at) for inner in value))
    if kind in ("*", "**"):
        run = len(text) if kind == "**" or "/" not in text[at:] else text.index("/", at)
        return set(range(at, run + 1))
    if at == len(text):
        return set()
    char = text[at]
    match kind:
        case "char":
            fits = char == value
        case "?":
            fits = char != "/"
        case "class":
            assert isinstance(value, tuple)
            negated, chars = value
            fits = (char in chars) is not negated
        case _:
            fits = ("a" <= char <= "b") is not value
    return {at + 1} if fits else set()


@given(parts=patterns, text=st.text(alphabet=ALPHABET, max_size=8))
@settings(max_examples=300)
def test_a_pattern_matches_what_the_reference_matches(parts: list[Part], text: str) -> None:
    pattern = written(parts)
    assert Glob(pattern).matches(text) is (len(text) in ends(parts, text, 0)), pattern


@given(pattern=st.text(alphabet="ab/*?[]{},!-\\", max_size=12), text=st.text(alphabet="ab/]-", max_size=6))
def test_any_text_is_a_pattern_or_is_refused(pattern: str, text: str) -> None:
    try:
        glob = Glob(pattern)
    except ValueError:
        return
    assert glob.matches(text) is glob.matches(text)


def test_no_pattern_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one would keep a backtracking matcher busy for years."""
    hard = Glob("**a" * 100 + "b")
    began = time.thread_time()
    assert not hard.matches("a" * 2000)
    assert time.thread_time() - began < 5
    monkeypatch.setattr(globs, "STATES", 4)
    forgetful = Glob("{**a?b*,**b??a}c")
    for text, expected in [("aabbbc", True), ("baabac", True), ("ababab", False), ("bbbaac", True), ("aacc", False)]:
        assert forgetful.matches(text) is expected, text
