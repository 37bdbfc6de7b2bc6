"""Blobs in an S3-compatible store: moto's server, which speaks S3 over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.blobs import PIECE_BYTES, Blobs, Swept, open_blobs
from fabric_jobs.errors import PlaceUnavailable, RecordsDamaged
from tests.buckets import bucket_server
from tests.unit.test_blobs import read, stored

URL = "s3://bucket/prefix"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Run a server with one bucket."""
    with bucket_server("bucket") as found:
        yield found


@pytest.fixture
def blobs(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """Return blobs in an empty bucket."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    server.clear()
    return open_blobs(tmp_path / "content", URL, "this gateway")


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES + 1, 20 * PIECE_BYTES])
def test_what_is_stored_is_read(blobs: Blobs, size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    blob = stored(blobs, data)
    assert stored(blobs, data) == blob
    assert read(blobs, blob) == data
    assert list(blobs.shelf.sizes()) == [(blob.sha256, size)]
    assert blobs.problem(blob.sha256, size) == ""
    assert list((tmp_path / "content" / "incoming").iterdir()) == []


def test_a_missing_and_a_changed_object_are_damage(server: Any, blobs: Blobs) -> None:
    missing, changed = stored(blobs, b"missing"), stored(blobs, b"changed")
    server.put(f"prefix/{changed.sha256[:2]}/{changed.sha256}", b"changeD")
    server.delete(f"prefix/{missing.sha256[:2]}/{missing.sha256}")
    for blob in (missing, changed):
        with pytest.raises(RecordsDamaged):
            blobs.piece(blob, 0)
        assert blobs.problem(blob.sha256, blob.size)


def test_only_one_gateway_removes_what_it_does_not_know(server: Any, blobs: Blobs, tmp_path: Path) -> None:
    used, unused = stored(blobs, b"used"), stored(blobs, b"unused")
    server.put("elsewhere/x", b"of somebody else")
    assert blobs.unused({used.sha256}.__contains__) == Swept(1, 6)
    assert blobs.sweep({used.sha256}.__contains__) == Swept(1, 6)
    assert list(blobs.shelf.sizes()) == [(used.sha256, 4)]
    blobs.shelf.remove(unused.sha256)
    other = open_blobs(tmp_path / "other", URL, "another gateway")
    with pytest.raises(PlaceUnavailable, match="another gateway"):
        other.sweep(set[str]().__contains__)
    assert read(other, used) == b"used"
    assert server.keys() == sorted(
        ["elsewhere/x", "prefix/fabric-jobs-owner", f"prefix/{used.sha256[:2]}/{used.sha256}"]
    )


def test_a_store_that_does_not_answer_is_no_damage(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = stored(blobs, b"x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = open_blobs(tmp_path / "away", URL)
    with pytest.raises(PlaceUnavailable, match="cannot be used"):
        away.piece(blob, 0)
    with pytest.raises(PlaceUnavailable, match="cannot be used"):
        stored(away, b"y")
    monkeypatch.undo()
    missing = open_blobs(tmp_path / "missing", "s3://no-such-bucket/x")
    with pytest.raises((PlaceUnavailable, RecordsDamaged)):
        missing.piece(blob, 0)
