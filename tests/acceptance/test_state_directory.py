"""State directories that were copied, moved or restored while their owner lives, and some that were there beforehand."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.live import Live, names
from tests.acceptance.live import live_fixture as live_fixture

ECHO = "print(message()['payload'], end='')"


@pytest.fixture
def elsewhere(live: Live) -> Iterator[Live]:
    """Yield another workspace, for a copy or a move."""
    other = Live(live.root.with_name(f"{live.root.name}-else"))
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = other.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    (other.root / "skills").rmdir()
    other.root.rmdir()
    yield other
    other.close()


def activations(live: Live) -> list[str]:
    return names(live.ok("activations", "list", "-o", "json").value, "activationId")


def copy(source: Live, target: Live) -> None:
    subprocess.run(["cp", "-r", source.root, target.root], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_sees_neither_token_nor_database(live: Live) -> None:
    live.skill("echo", ECHO)
    live.ok("skills", "invoke", "echo", "--payload", "1")
    backup = live.root / "kept"
    live.ok("state", "backup", backup)
    subprocess.run(["git", "init", "-q"], cwd=live.root, check=True)
    listed = subprocess.run(["git", "status", "--short", "-uall"], cwd=live.root, check=True, capture_output=True)
    files = [line[3:] for line in listed.stdout.decode().splitlines()]
    assert (backup / "state.db").is_file()
    assert [name for name in files if name.startswith((".fabric-jobs", "kept"))] == []
    assert "skills/echo/skill.yaml" in files


def test_a_copy_of_a_workspace_leaves_the_original_alone(live: Live, elsewhere: Live) -> None:
    live.skill("echo", ECHO)
    ran = [live.invoke("echo")["activationId"] for _ in range(2)]
    copy(live, elsewhere)
    said = elsewhere.ok("state", "prune", "--older-than", "0s", "--yes")
    assert "Deleted" in said.err
    assert len(activations(elsewhere)) < len(ran)
    assert activations(live) == ran[::-1]
    assert elsewhere.owner() != live.owner()
    other = elsewhere.invoke("echo")["activationId"]
    assert other in activations(elsewhere)
    assert activations(live) == ran[::-1]


def test_a_workspace_that_was_moved_takes_its_owner_along_or_leaves_it(live: Live, elsewhere: Live) -> None:
    live.skill("echo", ECHO)
    first = live.invoke("echo")["activationId"]
    before = live.owner()
    live.root.rename(elsewhere.root)
    copy(elsewhere, live)  # its old path now has a copy
    assert activations(live) == [first]
    second = elsewhere.invoke("echo")["activationId"]
    assert activations(elsewhere) == [second, first]
    assert activations(live) == [first]
    assert before not in (live.owner(), elsewhere.owner())


def test_tokens_of_tasks_are_good_in_the_original_only(live: Live, elsewhere: Live) -> None:
    activations(live)
    key = _setting(live, "key")
    copy(live, elsewhere)
    activations(elsewhere)
    live.kill_owner()
    activations(live)
    assert _setting(live, "key") == key != _setting(elsewhere, "key")
    assert _setting(live, "token") == _setting(elsewhere, "token")  # users have it in their profiles


def test_an_owner_whose_directory_was_moved_ends_with_an_error(live: Live, elsewhere: Live) -> None:
    owner = live.start("serve")
    owner.wait_for("Serving")
    live.root.rename(elsewhere.root)
    ran = owner.finish()
    assert ran.code == 5
    assert "was moved, deleted or replaced" in ran.err


def test_what_is_in_a_directory_that_was_open_is_the_users_own(live: Live) -> None:
    live.state.mkdir()
    live.state.chmod(0o755)
    live.skill("umask", "os.umask(mask := os.umask(0)); print(mask, end='')")
    before = os.umask(0o002)
    try:
        assert live.invoke("umask")["response"] == str(0o002)  # a program's umask is unchanged
        live.ok("state", "backup", live.root / "backup")
    finally:
        os.umask(before)
    open_to_others = [path for path in _below(live.state) + _below(live.root / "backup") if _is_open(path)]
    assert open_to_others == []
    assert (live.state / "state.db-wal") in _below(live.state)


def _setting(live: Live, name: str) -> str:
    with closing(sqlite3.connect(live.state / "state.db")) as database:
        (value,) = database.execute("select value from settings where key = ?", (name,)).fetchone()
    return str(value)


def _below(place: Path) -> list[Path]:
    return [place, *place.rglob("*")]


def _is_open(path: Path) -> bool:
    return bool(path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
