"""The key file: made once, refused when others could read it, rotated, never overwritten."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.sealing import Keys, Unsealable
from tests.store.test_writer import small_disk

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets.key"


def test_nothing_is_made_before_a_value_is_sealed(path: Path) -> None:
    keys = Keys(path)
    assert not path.exists()
    key_id, sealed = keys.seal("hunter2")
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_id in keys
    assert b"hunter2" not in sealed
    assert Keys(path).open(key_id, sealed) == "hunter2"


def test_what_is_sealed_is_opened_again(path: Path) -> None:
    keys = Keys(path)

    @given(VALUES)
    def law(value: Any) -> None:
        assert keys.open(*keys.seal(value)) == value

    law()


def test_equal_values_are_sealed_differently(path: Path) -> None:
    keys = Keys(path)
    assert keys.seal("a") != keys.seal("a")


def test_another_key_opens_nothing(path: Path, tmp_path: Path) -> None:
    key_id, sealed = Keys(path).seal("a")
    other = Keys(tmp_path / "other.key")
    other_id, _ = other.seal("b")
    for wrong in (key_id, other_id):
        with pytest.raises(Unsealable):
            other.open(wrong, sealed)
    with pytest.raises(Unsealable):
        Keys(path).open(key_id, sealed[:-4] + b"AAA=")


def test_a_rotation_goes_through_a_file_with_both_keys(path: Path) -> None:
    keys = Keys(path)
    old_id, old = keys.seal("a")
    keys.add()
    new_id, new = keys.seal("a")
    for both in (keys, Keys(path)):
        assert both.open(old_id, old) == both.open(new_id, new) == "a"
        assert both.seal("b")[0] == new_id
    keys.drop_old()
    assert Keys(path).open(new_id, new) == "a"
    for later in (keys, Keys(path)):
        with pytest.raises(Unsealable):
            later.open(old_id, old)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o644])
def test_a_file_that_others_can_access_is_refused(path: Path, mode: int) -> None:
    Keys(path).seal("a")
    path.chmod(mode)
    before = path.read_bytes()
    with pytest.raises(PlaceUnavailable, match=f"its mode is {mode:04o}") as error:
        Keys(path)
    assert f"chmod 600 {path}" in error.value.hint
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, mode)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hunter2",
        base64.b64encode(b"k" * 31),
        base64.b64encode(b"k" * 32) + b"\nx",
        b"\x00" * 44,
        b"\xff" * 9,
    ],
)
def test_a_file_without_keys_is_refused_and_stays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(PlaceUnavailable, match="something else than keys"):
        Keys(path)
    assert path.read_bytes() == content


def test_what_is_not_a_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(PlaceUnavailable, match="cannot be used"):
        Keys(path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(PlaceUnavailable, match="it is not a file"):
        Keys(path)


def test_both_alphabets_of_base64_are_read(path: Path) -> None:
    key = b"\xfb\xff" * 16
    path.write_bytes(base64.b64encode(key))
    path.chmod(0o600)
    sealed = Keys(path).seal("a")
    path.write_bytes(base64.urlsafe_b64encode(key))
    assert Keys(path).open(*sealed) == "a"


def test_a_directory_that_takes_no_file_is_told(path: Path) -> None:
    with pytest.raises(PlaceUnavailable, match="cannot be written"):
        Keys(path.parent / "none" / "secrets.key").seal("a")


def test_a_full_disk_keeps_the_key_that_is_there(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        keys = Keys(disk / "secrets.key")
        before = keys.seal("a")
        with suppress(OSError):
            (disk / "ballast").write_bytes(b"x" * (4 << 20))
        with pytest.raises(PlaceUnavailable, match="cannot be written"):
            keys.add()
        after = keys.seal("b")
        assert [path.name for path in disk.iterdir() if path.name != "ballast"] == ["secrets.key"]
        found = Keys(disk / "secrets.key")
        assert (found.open(*before), found.open(*after)) == ("a", "b")
