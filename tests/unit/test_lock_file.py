"""The lock file can be read as it was written, and rubbish is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import InvalidDefinition, PlaceUnavailable
from fabric_jobs.workspace.publishing.lock_file import Lock, LockedImage, lock_file, read_lock, write_lock

DIGEST = f"sha256:{'0a' * 32}"


def image(name: str = "localhost:5000/one", tag: str = "abc") -> LockedImage:
    """Return a pushed image."""
    return LockedImage(image=name, tag=tag, digest=DIGEST)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    lock = Lock(skills={"b": {"z": image(), "a": image("localhost:5000/two")}, "a": {"x": image()}})
    write_lock(tmp_path, lock)
    assert read_lock(tmp_path) == lock
    assert [path.name for path in tmp_path.iterdir()] == ["fabric-jobs.lock"]


def test_the_order_in_which_things_were_pushed_does_not_show() -> None:
    one = Lock(skills={"a": {"x": image(), "y": image()}, "b": {"z": image()}})
    other = Lock(skills={"b": {"z": image()}, "a": {"y": image(), "x": image()}})
    assert one.text() == other.text()
    assert one.text().endswith("}\n")


def test_a_skill_without_images_is_not_in_it() -> None:
    assert Lock(skills={"a": {}}).text() == Lock().text()


def test_it_can_be_read_by_whoever_can_read_the_workspace(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_lock(tmp_path, Lock())
    finally:
        os.umask(before)
    assert lock_file(tmp_path).stat().st_mode & 0o777 == 0o644


def test_without_a_file_nothing_was_pushed(tmp_path: Path) -> None:
    assert read_lock(tmp_path).image("one", "one") is None


def document(**changes: Any) -> dict[str, Any]:
    """Return a lock file with one image."""
    return {
        "version": 1,
        "skills": {"one": {"actions": {"go": {"image": "a/b", "tag": "t", "digest": DIGEST}}}},
        **changes,
    }


def test_a_file_is_read(tmp_path: Path) -> None:
    lock_file(tmp_path).write_text(json.dumps(document()))
    found = read_lock(tmp_path).image("one", "go")
    assert found is not None
    assert found.pinned == f"a/b@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", r"fabric-jobs\.lock:1:1: error: this is not JSON"),
        ('{\n "version": 1,,', r"fabric-jobs\.lock:2:15: error: this is not JSON"),
        ("<<<<<<< HEAD\n", "Restore the file from version control"),
        ("\udcff", "not valid UTF-8"),
        ("[" * 100_000, "not JSON"),
        ("[]", "'the file' is not a mapping"),
        ("{}", 'must contain "version": 1'),
        ('{"version": "1", "skills": {}}', 'must contain "version": 1'),
        ('{"version": 2}', "the file has version 2, but this fabric-jobs supports version 1; use a newer one"),
        (json.dumps(document(skills=[])), "'skills' is not a mapping"),
        (json.dumps(document(skills={"one": 1})), "'one' is not a mapping"),
        (json.dumps(document(skills={"one": {}})), "'one.actions' is not a mapping"),
        (json.dumps(document(skills={"one": {"actions": {"go": {"image": "a"}}}})), "'one.go' must have"),
        (
            json.dumps(document(skills={"one": {"actions": {"go": {"image": "a", "tag": "t", "digest": "x"}}}})),
            "the digest of 'one.go' is not valid",
        ),
        (
            json.dumps(document(skills={"one": {"actions": {"go": {"image": "a", "tag": 1, "digest": DIGEST}}}})),
            "'one.go' must have",
        ),
    ],
)
def test_rubbish_is_refused(tmp_path: Path, text: str, what: str) -> None:
    lock_file(tmp_path).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidDefinition, match=what):
        read_lock(tmp_path)


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    lock_file(tmp_path).mkdir()
    with pytest.raises(InvalidDefinition, match="cannot be read"):
        read_lock(tmp_path)
    with pytest.raises(PlaceUnavailable, match="cannot be written"):
        write_lock(tmp_path, Lock())
    assert [path.name for path in tmp_path.iterdir()] == ["fabric-jobs.lock"]
