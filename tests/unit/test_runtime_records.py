"""Records as bytes: the runtime layer writes and reads the same as the json module."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs import json_text
from fabric_jobs.runtime.fabric_skill import records
from fabric_jobs.runtime.fabric_skill.records import batches, encode

# Lone surrogates too. A pair becomes one character, as JSON reads it.
TEXT = st.text(st.characters(exclude_categories=())).map(lambda text: json.loads(json.dumps(text)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from([b"x", {1}, object(), 1j])
    | st.just(5000).map(lambda digits: 10**digits),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(
            st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.just((1,)), inner, max_size=4
        )
    ),
    max_leaves=12,
)
# Pieces that, joined, may look like records to a reader of several lines at once.
PIECES = [
    "",
    " ",
    "[",
    "]",
    "[1",
    "2]",
    "3,4",
    "[[1",
    "2]]",
    "1],[2",
    '"a',
    'b"',
    '{"a":1',
    '"b":2}',
    "{},{}",
    ",",
    "null,null",
]
ODD = [
    "\ufeff1",
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "1\r",
    "\r",
    '"\u2028\x85"',
    '"\x00"',
    "-",
    "tru",
    "-0",
    "1 2",
    "[" * 3000,
]
LINES = (
    JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    | st.integers(0, 9000).map(lambda count: b'"%s"' % (b"x" * count))
    | st.sampled_from(PIECES + ODD).map(str.encode)
    | st.sampled_from([b'"\xff"', b'"\xed\xa0\x80"', b'"\xc3', b'\xa9"'])
)


def decode(text: str) -> Iterator[Any]:
    return chain.from_iterable(batches(text.encode()))


@given(JSON)
def test_a_record_is_one_line_that_says_the_same(value: Any) -> None:
    line = encode(value)
    assert "\n" not in line
    assert json.loads(line) == value
    assert line == json.dumps(value, separators=(",", ":"))


@given(ANYTHING)
def test_what_json_refuses_is_refused_and_nothing_else(value: Any) -> None:
    def outcome(call: Callable[[Any], str]) -> object:
        try:
            return call(value)
        except (TypeError, ValueError) as error:
            return type(error)

    assert outcome(encode) == outcome(lambda given: json.dumps(given, separators=(",", ":"), allow_nan=False))


@pytest.mark.parametrize(("batch", "short"), [(8 << 10, 400), (20, 400), (20, 0), (8 << 10, 0), (8 << 10, 1 << 20)])
@given(lines=st.lists(LINES, max_size=12))
def test_lines_that_are_read_together_are_what_each_is_by_itself(batch: int, short: int, lines: list[bytes]) -> None:
    def outcome(found: Iterator[Any]) -> list[str]:
        read: list[str] = []
        try:
            read.extend(map(repr, found))
        except (ValueError, RecursionError) as error:
            read.append(type(error).__name__)
        return read

    data = b"".join(line + b"\n" for line in lines)
    alone = (json.loads(line.decode()) for line in lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BATCH_CHARACTERS", batch)
        patch.setattr(records, "SHORT_CHARACTERS", short)
        assert outcome(chain.from_iterable(batches(data))) == outcome(alone)


@given(st.lists(JSON, max_size=6))
def test_what_was_written_is_read(values: list[Any]) -> None:
    assert list(decode("".join(f"{encode(value)}\n" for value in values))) == values


@given(st.lists(st.tuples(st.sampled_from(["", " ", "\t", "\r"]), JSON, st.sampled_from(["", " ", "\r"]))))
def test_blanks_around_a_record_do_not_matter(parts: list[tuple[str, Any, str]]) -> None:
    text = "".join(f"{before}{json.dumps(value)}{after}\n" for before, value, after in parts)
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
        (math.nan, "it is nan, which is not valid in JSON"),
        ({"a": [1, {"b": math.nan}], "c": math.inf}, r"'a\[1\].b' is nan, which is not valid in JSON"),
        ({"": {"c": -math.inf}}, "'.c' is -inf, which is not valid in JSON"),
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
        ("NaN", "it is NaN, which is not valid in JSON"),
        ('{"payload": {"a": [1, NaN]}}', "'payload.a[1]' is NaN, which is not valid in JSON"),
        ('{"a": "NaN", "b": -Infinity}', "'b' is -Infinity, which is not valid in JSON"),
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
    assert encode({2: 1, None: 2, True: 3}) == '{"2":1,"null":2,"true":3}'
