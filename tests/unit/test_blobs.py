"""Blobs: complete or not there, checked when read, and swept when nothing refers to them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.blobs import PIECE_BYTES, Blob, Blobs, Incoming, Swept, open_blobs
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordsDamaged
from fabric_jobs.gateway.content_schemas import KEY_PATTERN
from fabric_jobs.names import content_key


def stored(blobs: Blobs, *parts: bytes) -> Blob:
    """Store bytes as an upload of these parts does."""
    incoming = blobs.begin()
    for part in parts:
        incoming.write(part)
    with blobs.keeping(incoming) as blob:
        pass
    incoming.discard()
    return blob


def read(blobs: Blobs, blob: Blob) -> bytes:
    """Return all bytes of a blob, piece by piece."""
    return b"".join(blobs.piece(blob, number) for number in range(blob.pieces))


def path_of(root: Path, blob: Blob) -> Path:
    return root / blob.sha256[:2] / blob.sha256


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_what_is_stored_is_read_whatever_the_parts(tmp_path: Path, size: int) -> None:
    blobs, data = open_blobs(tmp_path / "content"), os.urandom(size)
    blob = stored(blobs, data)
    assert stored(blobs, data[: size // 3], data[size // 3 :]) == blob
    assert (blob.sha256, blob.size, read(blobs, blob)) == (hashlib.sha256(data).hexdigest(), size, data)
    assert blobs.problem(blob.sha256, size) == ""
    assert list(blobs.shelf.sizes()) == [(blob.sha256, size)]
    assert list((tmp_path / "content" / "incoming").iterdir()) == []


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    blob = stored(open_blobs(tmp_path / "content"), b"secret")
    path = path_of(tmp_path / "content", blob)
    assert [found.stat().st_mode & 0o077 for found in (path, path.parent, path.parent.parent)] == [0, 0, 0]


def test_what_was_changed_on_the_disk_is_never_returned_and_an_upload_repairs_it(tmp_path: Path) -> None:
    blobs, data = open_blobs(tmp_path), b"a" * PIECE_BYTES + b"b"
    blob = stored(blobs, data)
    path = path_of(tmp_path, blob)
    for damaged in (data[:-1] + b"c", data[:-1], b"", None):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        with pytest.raises(RecordsDamaged):
            read(blobs, blob)
        assert blobs.problem(blob.sha256, blob.size)
    assert stored(blobs, data) == blob
    assert read(blobs, blob) == data


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path / "content")
    blob = stored(blobs, b"a")
    (tmp_path / "other").write_bytes(b"a")
    path_of(tmp_path / "content", blob).unlink()
    path_of(tmp_path / "content", blob).symlink_to(tmp_path / "other")
    with pytest.raises(PlaceUnavailable):
        blobs.piece(blob, 0)


def test_what_nothing_refers_to_is_swept_and_nothing_else(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    used, unused = stored(blobs, b"used"), stored(blobs, b"unused")
    (tmp_path / "notes.txt").write_text("of somebody else")
    known = {used.sha256}
    assert blobs.unused(known.__contains__) == Swept(1, 6)
    with blobs.held():
        assert blobs.sweep(known.__contains__) == Swept(0, 0)
    with blobs.using(unused):
        assert blobs.sweep(known.__contains__) == Swept(0, 0)
    assert blobs.sweep(known.__contains__) == Swept(1, 6)
    assert list(blobs.shelf.sizes()) == [(used.sha256, 4)]
    assert (tmp_path / "notes.txt").exists()


def test_a_sweep_leaves_what_arrives_meanwhile(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    known: set[str] = set()
    again = blobs.begin()
    again.write(b"both")
    stored(blobs, b"both")

    def is_used(sha256: str) -> bool:
        """Let an equal upload come between the two looks of a sweep."""
        if sha256 not in known:
            known.add(sha256)
            uploading.start()
            assert arrived.wait(30)
            return False
        return False

    arrived, swept = threading.Event(), threading.Event()

    def upload() -> None:
        with blobs.keeping(again):
            arrived.set()
            assert swept.wait(30)

    uploading = threading.Thread(target=upload)
    assert blobs.sweep(is_used) == Swept(0, 0)
    swept.set()
    uploading.join()
    again.discard()
    assert [size for _, size in blobs.shelf.sizes()] == [4]


def test_the_bytes_are_on_the_disk_before_their_name_and_the_name_before_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, happened = open_blobs(tmp_path / "content"), list[str]()
    incoming = blobs.begin()
    incoming.write(b"a")
    sync, rename = os.fsync, os.rename

    def noted_sync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        happened.append(f"sync {kind}")
        sync(descriptor)

    def noted_rename(source: Path, target: Path) -> None:
        happened.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    with blobs.keeping(incoming):
        happened.append("row")
    assert happened == ["sync file", "sync directory", "sync directory", "rename", "sync directory", "row"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = open_blobs(tmp_path)
    incoming = blobs.begin()
    incoming.write(b"a")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def keep() -> None:
        with blobs.keeping(incoming):
            raise AssertionError("it was kept")

    def write() -> None:
        incoming.write(b"b")

    for call, attempt in (("write", write), ("fsync", keep)):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(PlaceUnavailable, match="No space left"):
                attempt()
    incoming.discard()
    assert [*blobs.shelf.sizes(), *(tmp_path / "incoming").iterdir()] == []


def test_after_a_discard_nothing_is_written(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path)
    incoming.discard()
    incoming.discard()
    with pytest.raises(PlaceUnavailable):
        incoming.write(b"a")
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_owner_left_is_removed(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    assert blobs.clear() == 0
    blobs.begin().write(b"half")
    assert (open_blobs(tmp_path).clear(), list((tmp_path / "incoming").iterdir())) == (1, [])


@pytest.mark.parametrize("url", ["s3://", "s3:///", "gs://bucket/x", "/tmp", "http://x/y"])
def test_a_wrong_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput, match="FABRIC_JOBS_CONTENT_URL"):
        open_blobs(tmp_path, url)


@given(st.text(max_size=1100))
def test_a_key_is_safe_or_refused(text: str) -> None:
    try:
        key = content_key(text)
    except InvalidInput:
        assert re.fullmatch(KEY_PATTERN, text) is None or len(text.encode(errors="replace")) > 1024
        return
    assert re.fullmatch(KEY_PATTERN, text)
    assert key == text.lstrip("/")
    assert content_key(key) == key
    assert 1 <= len(key.encode()) <= 1024
    assert not {"", ".", ".."} & set(key.split("/"))
    assert not any(ord(character) < 32 for character in key)
    assert os.path.normpath(f"/root/{key}") == f"/root/{key}"


@pytest.mark.parametrize("key", ["a", "A", "a/b c/ü.csv", "x" * 1000, "x" * 1024, "😀/.hidden", "a\\..\\b", "con", "-"])
def test_these_are_keys(key: str) -> None:
    assert content_key(key) == content_key(f"//{key}") == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "..",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "\x7f",
        "\ud800",
        "a\ufffdb",
        "x" * 1025,
        "ü" * 513,
    ],
)
def test_these_are_not(key: str) -> None:
    with pytest.raises(InvalidInput, match="is not a key of content"):
        content_key(key)
