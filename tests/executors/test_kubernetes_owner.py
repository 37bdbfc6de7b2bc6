"""The mark of a state directory in a cluster: it stays with the directory, and no other directory has it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
from pathlib import Path

import pytest

from fabric_jobs.executors.kubernetes.owner import FILE, owner_of


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def mark(state: Path) -> str:
    return owner_of(state / "attempts")


def test_it_stays_the_same(tmp_path: Path) -> None:
    found = mark(tmp_path / "state")
    assert len(found) == 10
    assert mark(tmp_path / "state") == found
    assert mark(tmp_path / "other") != found
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600


def test_a_machine_that_is_renamed_keeps_it_and_so_does_a_directory_that_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mark(tmp_path / "state")
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert mark(tmp_path / "state") == found
    (tmp_path / "state").rename(tmp_path / "moved")
    assert mark(tmp_path / "moved") == found
    monkeypatch.setattr(socket, "gethostname", lambda: "again")
    assert mark(tmp_path / "moved") == found


def test_a_copy_gets_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = mark(tmp_path / "state")
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    copied = mark(tmp_path / "copy")
    assert copied != found
    assert f"{tmp_path / 'copy'} was copied" in caplog.text
    assert (mark(tmp_path / "state"), mark(tmp_path / "copy")) == (found, copied)


def test_a_backup_in_the_place_of_the_original_has_that_one_s(tmp_path: Path) -> None:
    found = mark(tmp_path / "state")
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "backup", tmp_path / "state")
    assert mark(tmp_path / "state") == found


def test_a_volume_keeps_it_when_the_pod_of_a_gateway_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    found = mark(tmp_path / "state")
    monkeypatch.setattr(socket, "gethostname", lambda: "another-pod")
    shutil.copytree(tmp_path / "state", tmp_path / "volume")  # as a file of another device
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "volume").rename(tmp_path / "state")
    assert mark(tmp_path / "state") == found


@pytest.mark.parametrize("text", ["", "broken", "[]", "1", '["a"]', '[1, "b", [1, 2]]', '{"mark": 1}'])
def test_a_file_that_is_broken_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    found = mark(tmp_path)
    assert mark(tmp_path) == found


def test_two_at_a_time_have_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one makes the mark, another one waits for it."""
    made = secrets.token_hex
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(mark(tmp_path)))

    def slow(size: int) -> str:
        monkeypatch.setattr(secrets, "token_hex", made)
        other.start()
        other.join(0.2)
        return made(size)

    monkeypatch.setattr(secrets, "token_hex", slow)
    first = mark(tmp_path)
    other.join(10)
    assert found == [first]
    assert os.listdir(tmp_path) == [FILE]
