"""Records as bytes: what the runtime layer writes and reads is what the json module would."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs import json_text
from fabric_jobs.runtime.fabric_skill.records import decode, encode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),  # lone surrogates too
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_record_is_one_line_that_says_the_same(value: Any) -> None:
    line = encode(value)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == value
    assert line == json.dumps(value, separators=(",", ":")).encode() + b"\n"


@given(st.lists(JSON, max_size=6))
def test_what_was_written_is_read(values: list[Any]) -> None:
    assert list(decode(b"".join(map(encode, values)).decode())) == values


@given(st.lists(st.tuples(st.sampled_from(["", " ", "\t", "\r"]), JSON, st.sampled_from(["", " ", "\r"]))))
def test_blanks_around_a_record_do_not_matter(parts: list[tuple[str, Any, str]]) -> None:
    text = "".join(f"{before}{json.dumps(value, ensure_ascii=False)}{after}\n" for before, value, after in parts)
    assert list(decode(text)) == [value for _, value, _ in parts]


@pytest.mark.parametrize("text", ["\n", "nonsense\n", "{\n", "1 2\n", '"a\n', "[1,]\n"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        list(decode(text))


def test_the_records_before_one_that_is_none_are_read() -> None:
    read = decode('1\n{"a": 2}\nnonsense\n3\n')
    assert [next(read), next(read)] == [1, {"a": 2}]
    with pytest.raises(ValueError):
        next(read)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1, {"a": math.nan}]])
def test_numbers_that_json_has_not_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        encode(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "it is nan, which JSON does not have"),
        ({"a": [1, {"b": math.nan}], "c": math.inf}, r"'a\[1\].b' is nan, which JSON does not have"),
        ({"": {"c": -math.inf}}, "'.c' is -inf, which JSON does not have"),
        ({"a": (1, b"x")}, r"'a\[1\]': an object of type bytes is not JSON"),
        ({"a": {(1,): 1}}, "'a': keys must be "),
    ],
)
def test_a_refusal_names_the_key(value: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        encode(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "it is NaN, which JSON does not have"),
        ('{"payload": {"a": [1, NaN]}}', "'payload.a[1]' is NaN, which JSON does not have"),
        ('{"a": "NaN", "b": -Infinity}', "'b' is -Infinity, which JSON does not have"),
    ],
)
def test_a_text_with_a_number_that_json_has_not_names_its_key(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        json_text.loads(text)


def test_scalars_of_numpy_are_numbers_and_truth_values() -> None:
    numpy = pytest.importorskip("numpy")
    kinds = [numpy.int8, numpy.uint64, numpy.float16, numpy.float32, numpy.float64, numpy.bool_]
    assert json.loads(encode([kind(1) for kind in kinds])) == [1, 1, 1, 1, 1, True]
    with pytest.raises(ValueError, match="'a' is nan"):
        encode({"a": numpy.float32("nan")})
    for value in (numpy.datetime64("NaT", "s"), numpy.timedelta64(1, "ns"), numpy.complex64(1), numpy.array([1])):
        with pytest.raises(TypeError, match="is not JSON"):
            encode(value)


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}, {(1, 2): 3}, [object()]])
def test_values_that_json_has_not_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_what_holds_itself_or_is_nested_too_deeply_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    deep: list[object] = []
    for _ in range(200_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(ValueError, match="nested deeper than 512 levels"):
            encode(value)


def test_keys_that_are_no_text_become_text() -> None:
    assert encode({2: 1, None: 2, True: 3}) == b'{"2":1,"null":2,"true":3}\n'
