"""The doctor finds what is wrong, says what to do, and never fails itself."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric_jobs.errors import UNFORESEEN
from tests.acceptance.live import Live

ECHO = "print(message()['payload'], end='')"


@pytest.fixture(autouse=True)
def patient(live: Live) -> None:
    """Let an owner started by one command stay for the next, however slow the machine is."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "120"


def levels(live: Live, *words: object, code: int = 0) -> dict[str, str]:
    """Return the worst level in each check."""
    ran = live.run("doctor", "--output", "json", *words)
    assert ran.code == code, ran
    order = ("ok", "note", "fixed", "warning", "problem")
    found: dict[str, str] = {}
    for row in ran.value:
        assert row["message"]
        found[row["check"]] = max(found.get(row["check"], "ok"), row["level"], key=order.index)
    return found


def test_nothing_is_wrong_before_during_and_after_an_owner(live: Live) -> None:
    assert levels(live)["database"] == "note"
    assert not live.state.exists()  # it starts nothing
    live.skill("echo", ECHO)
    live.invoke("echo", 1)
    found = levels(live)
    assert {check for check, level in found.items() if level != "ok"} <= {"docker", "kubernetes", "git", "fabric-jobs"}
    assert "gateway" in found
    live.stop_owner()
    found = levels(live)
    assert "gateway" not in found
    assert (found["owner"], found["port"], found["attempts"]) == ("ok", "ok", "ok")
    text = live.ok("doctor")
    assert "ok       database" in text.out
    assert "0 problems" in text.err


def test_it_looks_at_what_it_can_outside_of_a_workspace(live: Live, tmp_path: Path) -> None:
    ran = live.ok("doctor", cwd=tmp_path)
    assert "not in a workspace" in ran.out
    assert "database" not in ran.out
    assert "python" in ran.out


def test_what_a_killed_owner_left_is_removed(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo", 1)
    live.kill_owner()
    stray = live.state / "attempts" / "local-nobody-1"
    stray.mkdir()
    (stray / "stdout").write_text("x")
    found = levels(live)
    assert (found["owner"], found["attempts"]) == ("warning", "warning")
    found = levels(live, "--fix")
    assert (found["owner"], found["attempts"]) == ("fixed", "fixed")
    assert not stray.exists()
    assert len(list((live.state / "attempts").iterdir())) == 1
    assert not (live.state / "owner.json").exists()
    assert levels(live)["owner"] == "ok"
    live.ok("tasks", "logs", "echo")


def test_an_owner_that_is_stopped_is_told_from_one_that_is_gone(live: Live) -> None:
    live.ok("activations", "list")
    pid = live.owner()
    os.kill(pid, signal.SIGSTOP)
    try:
        ran = live.run("doctor")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ran.code == 5
    assert f"kill -CONT {pid}" in ran.out


def test_rights_of_others_are_taken_away(live: Live) -> None:
    live.ok("activations", "list")
    assert live.state.stat().st_mode & 0o077 == 0
    live.state.chmod(0o755)
    assert levels(live)["state directory"] == "warning"
    assert levels(live, "--fix")["state directory"] == "fixed"
    assert live.state.stat().st_mode & 0o777 == 0o700
    assert levels(live)["state directory"] == "ok"


def a_file(state: Path) -> None:
    state.write_text("x")


def a_link_to_nowhere(state: Path) -> None:
    state.symlink_to(state.parent / "nowhere")


def rubbish_in_the_database(state: Path) -> None:
    state.mkdir()
    (state / "state.db").write_bytes(b"rubbish " * 4096)


def directories_for_files(state: Path) -> None:
    for name in ("state.db", "owner.json", "owner.lock"):
        (state / name).mkdir(parents=True)


BROKEN: list[Callable[[Path], None]] = [a_file, a_link_to_nowhere, rubbish_in_the_database, directories_for_files]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda make: make.__name__)
def test_what_is_broken_is_a_problem_in_words(live: Live, tmp_path: Path, broken: Callable[[Path], None]) -> None:
    state = tmp_path / "state"
    broken(state)
    assert "problem" in levels(live, "--state-dir", state, "--fix", code=5).values()


def test_rubbish_in_owner_json_is_replaced(live: Live) -> None:
    live.state.mkdir(mode=0o700)
    (live.state / "owner.json").write_text('{"pid": "x", "url": 5, "socket": 7, "token": [], "version": null}')
    assert levels(live, "--fix")["owner"] == "fixed"


def test_a_full_disk_is_a_problem(live: Live, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {full} 2>/dev/null"):
        pytest.skip("a file system cannot be mounted here")
    try:
        found = levels(live, "--state-dir", full / "state", code=5)
        assert (found["disk"], found["file system"]) == ("problem", "problem")
    finally:
        os.system(f"umount {full}")


def test_errors_of_the_owner_itself_are_told(live: Live) -> None:
    live.state.mkdir(mode=0o700)
    log = live.state / "owner.log"
    log.write_text(f"2026-01-01 00:00:00,000 ERROR fabric_jobs: task local-a-1: {UNFORESEEN}\nTraceback\n")
    assert levels(live)["errors"] == "warning"
    assert "task local-a-1" in live.run("doctor").out
    log.write_text("nothing\n")
    assert "errors" not in levels(live)


def test_a_remote_gateway_is_looked_at(live: Live) -> None:
    live.ok("tasks", "list")
    address = live.address()
    assert address is not None
    closed = "http://127.0.0.1:1"
    assert "remote gateway" not in levels(live)
    assert levels(live, "--url", address.url, "--token", address.token)["remote gateway"] == "ok"
    assert levels(live, "--url", address.url, "--token", "wrong", code=5)["remote gateway"] == "problem"
    assert levels(live, "--url", closed, "--token", "any", code=5)["remote gateway"] == "problem"
    live.environment["FABRIC_JOBS_CONFIG_DIR"] = str(live.root / "config")
    live.ok("profiles", "set", "lab", "--url", address.url, "--token", address.token)
    said = live.ok("doctor", "--profile", "lab").out
    assert f"{address.url} answers and accepts the token for project 'local'" in said


def test_the_next_command_names_the_gateway_of_this_one(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo", 1)
    address = live.address()
    assert address is not None
    invoke = ("skills", "invoke", "echo", "--payload", "1", "--detach")
    for words in (("--url", address.url), ("--state-dir", str(live.state)), ("--workspace", str(live.root))):
        token = ("--token", address.token) if words[0] == "--url" else ()
        ran = live.ok(*invoke, *words, *token)
        assert f"Next: fabric-jobs activations wait {ran.out.strip()} {' '.join(words)}\n" in ran.err
        assert address.token not in ran.err
    live.skill("broken", "1 / 0")
    said = live.run("skills", "invoke", "broken", "--payload", "1", "--state-dir", str(live.state)).err
    assert re.search(
        rf"^Read its log: fabric-jobs tasks logs \S+ --state-dir {re.escape(str(live.state))}$", said, re.M
    )
