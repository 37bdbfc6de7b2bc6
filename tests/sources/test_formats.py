"""JSON streams, CSV and gzip, cut into pieces anywhere."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.sources.csv_rows import CsvRows
from fabric_jobs.sources.gzipped import PIECE_BYTES, skipped, unpacked
from fabric_jobs.sources.json_stream import TooLong, values

LIMIT = 1000

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)
payloads = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Yield pieces of a size."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, size: int = 7, at: int = 0, limit: int = LIMIT) -> list[tuple[bytes, int]]:
    """Return the values from an offset on."""
    return list(values(cut(data[at:], size), at, limit))


@given(
    items=st.lists(payloads, max_size=6),
    size=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    between=st.sampled_from([" ", "\n", "\r\n", "\n\n \t"]),
    ascii=st.booleans(),
)
@settings(max_examples=200)
def test_all_values_are_read_and_each_offset_is_a_place_to_go_on(
    items: list[Any], size: int, indent: int | None, between: str, ascii: bool
) -> None:
    data = between.join(json.dumps(item, indent=indent, ensure_ascii=ascii) for item in items).encode()
    found = read(data, size)
    assert [json.loads(item) for item, _ in found] == items
    assert not any(b"\n" in item or b"\r" in item for item, _ in found)
    for number, (_, at) in enumerate(found, 1):
        assert read(data, size, at) == found[number:]


@pytest.mark.parametrize(("data", "expected"), [
    (b"", []),
    (b" \n\n", []),
    (b'{"a": 1}{"b": 2}[3]', [b'{"a": 1}', b'{"b": 2}', b"[3]"]),
    (b'1 2\n"x"true null', [b"1", b"2", b'"x"', b"true", b"null"]),
    (b"1.0e5\n12345678901234567890.10", [b"1.0e5", b"12345678901234567890.10"]),
    (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
    (b'{"a":\n  "\\n"}', [b'{"a":   "\\n"}']),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_values_keep_their_text(data: bytes, expected: list[bytes], size: int) -> None:
    assert [item for item, _ in read(data, size)] == expected


@pytest.mark.parametrize(("data", "good", "words"), [
    (b'{"a": 1}\n{"a": oops}\n{"a": 3}', 1, "not JSON: Expecting value, 6 characters"),
    (b'1 2 {"a"', 2, "ends in the middle"),
    (b'"never closed', 0, "ends in the middle"),
    (b"1\n]", 1, "not JSON"),
    (b"1 NaN 2", 1, "NaN"),
    (b"-Infinity", 0, "Infinity"),
    (b'"\xff"', 0, "UTF-8"),
    (b"1 " + b"[" * 600 + b"]" * 600, 1, "512 levels"),
    (b"2 " + b"[" * 100_000, 1, "512 levels|longer than"),
    (b"'a'", 0, "not JSON"),
    (b'{"a": 1,}', 0, "not JSON"),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_malformed_value_is_refused_behind_the_good_ones(data: bytes, good: int, words: str, size: int) -> None:
    found: list[bytes] = []
    with pytest.raises(ValueError, match=words):
        found.extend(item for item, _ in values(cut(data, size), 0, 10_000))
    assert len(found) == good


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("value", [b'"' + b"x" * 1000 + b'"', b"[" + b"1," * 600 + b"1]", b"1" * 1100])
def test_a_value_over_the_limit_is_refused(value: bytes, size: int) -> None:
    with pytest.raises(TooLong, match="longer than 1,000 bytes"):
        read(b"1 " + value + b" 2", size)


def test_a_long_value_is_read_if_the_limit_allows() -> None:
    value = json.dumps(["x" * 1000] * 2000).encode()
    assert [item for item, _ in read(value + b"\n1", 4096, limit=3 << 20)] == [value, b"1"]


# CSV


def rows(data: bytes, size: int = 5, at: int = 0, columns: list[str] | None = None) -> list[tuple[bytes, int]]:
    """Return the rows from an offset on."""
    reader = CsvRows(cut(data[at:], size), at, columns, LIMIT)
    return [(item, reader.at) for item in reader]


cells = st.text(alphabet=st.sampled_from('ab,"\n\r äö'), max_size=5)


@given(
    table=st.lists(st.tuples(cells, cells), max_size=6),
    size=st.integers(1, 30),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=200)
def test_all_rows_are_read_and_each_offset_is_a_place_to_go_on(
    table: list[tuple[str, str]], size: int, end: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "näme"), *table])
    data = text.getvalue().encode()
    found = rows(data, size)
    assert [json.loads(item) for item, _ in found] == [{"id": one, "näme": two} for one, two in table]
    for number, (_, at) in enumerate(found, 1):
        assert rows(data, size, at, ["id", "näme"]) == found[number:]


@pytest.mark.parametrize(("data", "expected"), [
    (b"", []),
    (b"a,b\n", []),
    (b"a,b\n1,2", [{"a": "1", "b": "2"}]),
    (b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,\r\n", [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]),
    (b'a\n"x ""y""\nz"\n', [{"a": 'x "y"\nz'}]),
])  # fmt: skip
def test_rows_become_objects(data: bytes, expected: list[dict[str, str]]) -> None:
    assert [json.loads(item) for item, _ in rows(data)] == expected


@pytest.mark.parametrize(("data", "words"), [
    (b"a,b\n1\n", "1 fields, and the header has 2"),
    (b"a,b\n1,2,3\n", "3 fields"),
    (b"a,a\n1,2\n", "'a' twice"),
    (b"a,\n1,2\n", "name every column"),
    (b"\n1,2\n", "name every column"),
    (b'a\n"x', "not CSV"),
    (b'a\n"x"y\n', "not CSV"),
    (b"a\n\xff\n", "UTF-8"),
    (b"a\n" + b"x" * 2000, "longer than"),
    (b"a\n" + b"x" * 999, "longer than"),
])  # fmt: skip
def test_bad_csv_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rows(data)


# gzip


@given(
    parts=st.lists(st.binary(max_size=50), max_size=4),
    size=st.integers(1, 60),
    padding=st.integers(0, 5),
    skip=st.integers(0, 120),
)
def test_all_members_are_unpacked(parts: list[bytes], size: int, padding: int, skip: int) -> None:
    packed = b"".join(map(gzip.compress, parts)) + (b"\0" * padding if parts else b"")
    assert b"".join(skipped(unpacked(cut(packed, size)), skip)) == b"".join(parts)[skip:]


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    size = 50 * PIECE_BYTES + 3
    packer = zlib.compressobj(wbits=31)
    packed = (
        b"".join(packer.compress(bytes(PIECE_BYTES)) for _ in range(50)) + packer.compress(bytes(3)) + packer.flush()
    )
    found = 0
    for piece in unpacked(cut(packed, 1000)):
        assert len(piece) <= PIECE_BYTES
        found += len(piece)
    assert found == size


@pytest.mark.parametrize("change", ["cut", "garbage", "checksum", "text"])
def test_damaged_gzip_is_refused(change: str) -> None:
    packed = bytearray(gzip.compress(random.Random(1).randbytes(5000)))
    if change == "cut":
        packed = packed[:-9]
    elif change == "garbage":
        packed += b"garbage"
    elif change == "checksum":
        packed[-6] ^= 1
    else:
        packed = bytearray(b'{"not": "packed"}')
    with pytest.raises(ValueError, match=r"gzip|packed"):
        list(unpacked(cut(bytes(packed), 100)))
