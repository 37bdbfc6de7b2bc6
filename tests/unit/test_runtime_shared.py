"""The file of an attempt: the positions of its records, syncs, and bad and full disks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from fabric_jobs.runtime.fabric_skill import gateway, shared
from fabric_jobs.runtime.fabric_skill.sender import Shared
from fabric_jobs.runtime.fabric_skill.shared import OwnFile, assembled
from tests.disk import noted

SMALL, LARGE, OTHER = b"1\n", b'"x"\n' * 2000, b'"y"\n' * 3000


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of records, with the gateway's directory for this attempt."""
    monkeypatch.setenv("FABRIC_JOBS_RECORDS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    return tmp_path


def outputs(*bodies: bytes) -> list[list[Any]]:
    return [[f"out{number}", body.count(b"\n"), len(body)] for number, body in enumerate(bodies)]


def test_large_bodies_are_in_the_file_and_small_ones_are_sent(records: Path) -> None:
    named = outputs(SMALL, LARGE, OTHER)
    rest, said = OwnFile("mine").put(named, [SMALL, LARGE, OTHER])
    assert (rest, said) == (SMALL, {"file": 0})
    assert named[0] == ["out0", 1, 2]
    assert named[1][3:] == [0, crc32(LARGE)]
    assert named[2][3:] == [len(LARGE), crc32(OTHER)]
    places = [["mine/0", 0, len(LARGE), crc32(LARGE)], 2, ["mine/0", len(LARGE), len(OTHER), crc32(OTHER)]]
    assert assembled(places, SMALL) == LARGE + SMALL + OTHER


def test_what_is_said_of_a_file_was_synced_before(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened = noted(monkeypatch)
    own = OwnFile("mine")
    own.put(outputs(LARGE, OTHER), [LARGE, OTHER])
    assert happened == ["write", "write", "sync"]
    happened.clear()
    own.put(outputs(SMALL), [SMALL])
    assert happened == []


def test_another_file_is_begun_when_one_is_long(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "ROTATE_BYTES", len(LARGE))
    own = OwnFile("mine")
    assert [own.put(outputs(LARGE), [LARGE])[1]["file"] for _ in range(3)] == [0, 1, 2]
    assert sorted(path.name for path in (records / "mine").iterdir()) == ["0", "1", "2"]


def full(monkeypatch: pytest.MonkeyPatch, times: int, number: int = errno.ENOSPC) -> list[int]:
    """Make `times` writes find only half the room; return a list that counts them."""
    write, failed = os.write, list[int]()

    def fails(descriptor: int, data: Any) -> int:
        if len(failed) >= times or len(data) < 100:
            return write(descriptor, data)
        failed.append(write(descriptor, data[: len(data) // 2]))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fails)
    monkeypatch.setattr(shared, "PAUSE_SECONDS", 0.0)
    return failed


def test_a_full_disk_is_waited_for(records: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    own = OwnFile("mine")
    own.put(outputs(LARGE), [LARGE])
    failed = full(monkeypatch, 3)
    named = outputs(OTHER)
    own.put(named, [OTHER])
    assert len(failed) == 3
    assert (records / "mine" / "0").read_bytes() == LARGE + OTHER
    assert named[0][3:] == [len(LARGE), crc32(OTHER)]
    assert capfd.readouterr().err.count("waiting for space") == 1


def test_a_disk_that_stays_full_ends_the_attempt(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(reason: str, code: int = gateway.GAVE_UP) -> None:
        raise SystemExit(f"{code} {reason}")

    full(monkeypatch, 1_000_000)
    monkeypatch.setattr(gateway, "give_up", ends)
    monkeypatch.setattr(gateway, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(SystemExit, match=r"^75 .*No space left on device, for 0\.01 s"):
        OwnFile("mine").put(outputs(LARGE), [LARGE])


def test_a_bad_disk_sends_bytes_from_then_on(records: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    files = Shared()
    assert files.put(outputs(SMALL), [SMALL]) == (SMALL, {"files": True})
    files.told(b'{"files": {"directory": "mine", "bytes": 100}}')
    with monkeypatch.context() as patch:
        full(patch, 1, errno.EIO)
        named = outputs(LARGE, SMALL)
        assert files.put(named, [LARGE, SMALL]) == (LARGE + SMALL, {})
        assert named == outputs(LARGE, SMALL)
    assert files.put(outputs(LARGE), [LARGE]) == (LARGE, {})
    assert "Input/output error" in capfd.readouterr().err


@pytest.mark.parametrize(
    "answer", [b'{"files": {"directory": "elsewhere", "bytes": 100}}', b'{"files": null}', b'{"later": 1}']
)
def test_a_directory_that_is_not_here_is_no_use(records: Path, answer: bytes) -> None:
    files = Shared()
    files.told(answer)
    assert files.put(outputs(LARGE), [LARGE]) == (LARGE, {})


@pytest.mark.parametrize("place", [["mine/0", 0, 4, 7], ["mine/0", 0, 400_000, 0], ["mine/1", 0, 4, 0]])
def test_what_is_not_there_is_never_taken_for_records(records: Path, place: list[Any]) -> None:
    OwnFile("mine").put(outputs(LARGE), [LARGE])
    with pytest.raises(OSError):
        assembled([place], b"")
