"""Forms are read alike however they are cut on their way, and broken ones are refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.blobs import open_blobs
from fabric_jobs.errors import InvalidInput, RecordTooLarge
from fabric_jobs.gateway.uploads import media_type, received
from tests.gateway.test_content import BOUNDARY, FORM, form

LIMIT = 4096


def read(directory: Path, body: bytes, cuts: list[int]) -> tuple[str, str, bytes]:
    """Return key, media type and bytes of a form that arrives in parts."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    parts = [body[first:after] for first, after in itertools.pairwise(places)]

    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    parts_of_owner = SimpleNamespace(blobs=open_blobs(directory), settings=SimpleNamespace(content_bytes=LIMIT))
    call: Any = SimpleNamespace(headers=FORM, stream=stream, parts=parts_of_owner)

    async def reading() -> tuple[str, str, bytes]:
        async with received(call, is_form=True) as upload:
            return upload.key, upload.content_type, upload.incoming.path.read_bytes()

    found = asyncio.run(reading())
    assert list((directory / "incoming").iterdir()) == []
    return found


CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY.encode(), b"x", b"\r", b"\n"]), max_size=9).map(b"".join),
).filter(lambda data: f"\r\n--{BOUNDARY}".encode() not in b"\r\n" + data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=CONTENT, cuts=st.lists(st.integers(0, 999), max_size=8), is_first=st.booleans())
def test_cuts_make_no_difference(tmp_path: Path, data: bytes, cuts: list[int], is_first: bool) -> None:
    fields = [("key", "ü/k".encode(), ""), ("content", data, "Content-Type: text/csv\r\n"), ("more", b"x", "")]
    body = form(*(fields if is_first else fields[::-1]))
    assert read(tmp_path, body, cuts) == ("ü/k", "text/csv", data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(end=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 999), max_size=3))
def test_a_form_without_its_end_is_refused(tmp_path: Path, end: int, cuts: list[int]) -> None:
    body = form(("key", b"k", ""), ("content", b"data" * 20, ""))
    whole = len(body) - len("\r\n")
    with pytest.raises(InvalidInput):
        read(tmp_path, body[: end % (whole - 1)], cuts)


def test_the_limit_is_of_the_content_alone(tmp_path: Path) -> None:
    assert len(read(tmp_path, form(("key", b"k", ""), ("content", bytes(LIMIT), "")), [])[2]) == LIMIT
    with pytest.raises(RecordTooLarge):
        read(tmp_path, form(("content", bytes(LIMIT + 1), ""), ("key", b"k", "")), [])


@given(st.text(max_size=300))
def test_a_media_type_is_a_safe_header(text: str) -> None:
    found = media_type(text)
    assert found == text or found == "application/octet-stream"
    assert found.isascii()
    assert found.isprintable()
