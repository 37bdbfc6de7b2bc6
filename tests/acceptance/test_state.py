"""Looking after the state as its users do: size, prune, backup, check."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.runtime.fabric_skill.http import Connection
from tests.acceptance.live import PROJECT, Live, until
from tests.archives import unpack

ECHO = "print(message()['payload'], end='')"
PENDING = "open(ROOT / 'gate').read(); print('through', end='')"


@pytest.fixture(autouse=True)
def patient(live: Live) -> None:
    """Let an owner started by one command stay for the next, however slow the machine is."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "120"


def listed(live: Live, *words: object) -> list[str]:
    """Return the ids of the activations, the newest first."""
    found = live.ok("activations", "list", "--output", "json", *words).value
    return [row["activationId"] for row in found]


def attempts(live: Live) -> int:
    """Return how many directories of attempts there are."""
    return len(list((live.state / "attempts").iterdir()))


def touch(live: Live, statement: str) -> None:
    """Change the database directly, as no command does."""
    live.close()
    connection = sqlite3.connect(live.state / "state.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def copy_of(live: Live, name: str) -> Live:
    """Return a workspace beside another one, without a state directory."""
    return Live(live.root.parent / name)


def through(live: Live, activation: str, gate: Path) -> Any:
    """Keep opening a gate until an activation has ended, and return its record."""

    def look() -> Any:
        with suppress(OSError):
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        record = live.ok("activations", "show", activation, "--output", "json").value
        return record if record["status"] != "PENDING" else None

    return until(look, f"the end of {activation}")


def test_what_has_ended_is_deleted_wholly_and_what_runs_is_not(live: Live) -> None:
    live.skill("echo", ECHO)
    live.skill("slow", PENDING)
    gate = live.gate("gate")
    old = [live.invoke("echo", text)["activationId"] for text in ("one", "two")]
    running = live.detach("slow")
    new = live.invoke("echo", "three")["activationId"]

    dry = live.ok("state", "prune", "--keep-last", "1", "--dry-run")
    assert all(activation in dry.out for activation in old)
    assert running not in dry.out
    assert new not in dry.out
    assert "2 to delete" in dry.err
    assert listed(live) == [new, running, *reversed(old)]
    assert "--yes" in live.fails(2, "state", "prune", "--keep-last", "1")

    assert "Deleted 2 activations" in live.ok("state", "prune", "--keep-last", "1", "--yes").err
    assert listed(live) == [new, running]
    assert attempts(live) == 2
    assert "no activation" in live.fails(3, "activations", "show", old[0])
    assert "nothing to delete" in live.ok("state", "prune", "--older-than", "1d", "--yes").err
    live.release(gate)
    assert live.wait(running)["response"] == "through"
    assert live.ok("state", "check", "--output", "json").value["violations"] == []


def test_an_id_that_was_deleted_can_be_used_again(live: Live) -> None:
    live.skill("send", "for n in range(3): send_message([message()['payload'], n])")
    words = ("skills", "invoke", "send", "--output", "json", "--params")

    def again(payload: str) -> Any:
        return live.ok(*words, json.dumps({"payload": payload, "activationId": "every-night"})).value["response"]

    assert again("first") == [["first", 0], ["first", 1], ["first", 2]]
    live.invoke("send", "newer")
    live.ok("state", "prune", "--keep-last", "1", "--yes")
    assert again("second") == [["second", 0], ["second", 1], ["second", 2]]


def test_the_oldest_go_until_the_state_is_no_larger(live: Live) -> None:
    live.skill("talk", "sys.stderr.write('x' * 300_000)")
    ids = [live.invoke("talk")["activationId"] for _ in range(3)]
    size = live.ok("state", "size", "--output", "json").value
    assert size["attempts"]["bytes"] >= 900_000
    assert size["counts"]["activations"] == 3
    assert {row["activationId"] for row in size["activations"]} == set(ids)
    assert size["bytes"] >= size["used"] >= 900_000
    live.ok("state", "prune", "--max-size", str(size["used"] - 250_000), "--yes")
    assert listed(live) == [ids[2], ids[1]]
    table = live.ok("state", "size", "--top", "1").out
    assert "activations:     2, of which 0 run" in table
    assert ids[0] not in table


def test_what_cannot_be_done_is_said(live: Live) -> None:
    for words, said in (
        ("prune", "--older-than"),
        ("prune --older-than 30", "30d"),
        ("prune --max-size much", "10GB"),
        ("prune --keep-last -1", "keep-last"),
        ("backup skills", "already exists"),
        ("backup nowhere/x.tar", "not a directory"),
        ("backup copy.zip", ".tar.gz"),
        ("backup .fabric-jobs/copy", "inside"),
    ):
        assert said in live.fails(2, "state", *words.split())


def test_what_an_owner_left_half_deleted_is_deleted_by_the_next(live: Live) -> None:
    live.skill("echo", ECHO)
    first = live.invoke("echo", 1)["activationId"]
    second = live.invoke("echo", 2)["activationId"]
    touch(live, f"update activations set project_id = '' where activation_id = '{first}'")
    assert listed(live) == [second]
    until(lambda: attempts(live) == 1, "the end of the attempt's directory")
    until(lambda: live.get("/state/size")["counts"]["activations"] == 1, "the end of the rows")


def test_serve_keeps_no_more_than_it_is_told_to(live: Live) -> None:
    live.skill("echo", ECHO)
    ids = [live.invoke("echo", number)["activationId"] for number in range(3)]
    live.close()
    live.start("serve", "--retain-days", "0", "--retain-size", "1TB").wait_for("Serving")
    until(lambda: len(live.get("/activations")["activations"]) == 1, "the end of what is too old")
    assert listed(live) == [ids[-1]]


def test_an_archive_of_a_working_state_is_a_state_directory(live: Live) -> None:
    live.skill("echo", "print('said to the log', file=sys.stderr); print(message()['payload'], end='')")
    live.skill("slow", "print('begun', flush=True); " + PENDING)
    gate = live.gate("gate")
    done = live.invoke("echo", "one")
    running = live.detach("slow")
    logs = "attempts/local-slow-*/stdout"  # the directory is there before the file
    until(lambda: any(path.stat().st_size for path in live.state.glob(logs)), "the program's first line")
    until(lambda: live.progress(running)["slow"]["tasks"] == {"ACTIVE": 1}, "its attempt is known to run")

    copy = copy_of(live, "other")
    target = copy.root / "copy.tar.gz"
    assert "other files" in live.ok("state", "backup", target).err
    assert target.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in copy.root.iterdir()) == ["copy.tar.gz", "skills"]
    unpack(target, copy.state)
    assert not list(copy.state.rglob("lock"))
    live.state.joinpath("attempts").rename(live.root / "away")  # the copy does not look at the original
    try:
        assert copy.ok("activations", "show", done["activationId"], "--output", "json").value["response"] == "one"
        assert copy.ok("tasks", "logs", "echo", "--stream", "stderr").err == "said to the log\n"
        assert copy.ok("state", "check", "--output", "json").value["healthy"] is True
    finally:
        live.root.joinpath("away").rename(live.state / "attempts")
    # In the copy, running attempts count as lost and are tried again; the original goes on.
    for each in (live, copy):
        assert through(each, running, gate)["response"] == "begun\nthrough"
    assert copy.ok("tasks", "show", "slow", "--output", "json").value["attempt"] == 2
    copy.close()


def test_a_backup_is_a_directory_too_with_logs_and_without(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo", "one")
    copy, bare = copy_of(live, "other"), live.root / "bare"
    assert "0 other files" in live.ok("state", "backup", bare, "--without-logs").err
    assert {path.name for path in bare.iterdir()} == {".gitignore", "state.db"}
    live.ok("state", "backup", copy.state)
    assert copy.state.stat().st_mode & 0o077 == 0
    assert copy.ok("tasks", "logs", "echo").out == "one"
    copy.close()


def test_a_check_counts_and_names_what_is_wrong(live: Live) -> None:
    live.skill("count", "for n in range(5): send_message(n)", outputs=("out",))
    live.skill("echo", ECHO, receives="message")
    live.agent("chain", ("input", "count"), ("count.out", "echo"), ("echo", "output"))
    record = live.invoke("chain", kind="agents")
    assert len(record["response"]) == 5
    counts = live.ok("state", "check", "--output", "json").value["counts"]
    assert (counts["records"], counts["finished"], counts["waiting"], counts["responses"]) == (11, 6, 0, 5)
    assert counts["lookedAt"] == 5
    table = live.ok("state", "check")
    assert "records acknowledged to their senders" in table.out
    assert "Nothing is wrong" in table.err
    touch(live, "delete from segments where first_offset = 2")
    ran = live.run("state", "check")
    assert ran.code == 1
    assert "Wrong: channel" in ran.out
    assert "the segment after offset 2 begins at 3" in ran.out
    assert live.run("state", "check", "--output", "json").value["healthy"] is False


def test_the_routes_want_the_token_and_say_what_is_wrong(live: Live) -> None:
    live.ok("activations", "list")
    address = live.published()

    def call(method: str, path: str, body: Any = None, *, token: str = address.token) -> tuple[int, Any]:
        connection = Connection(address.socket, token)
        answer = connection.request(method, PROJECT + path, json.dumps(body).encode(), timeout=60)
        connection.close()
        return answer.status, json.loads(answer.body)

    for method, path in (
        ("GET", "/state/size"),
        ("GET", "/state/check"),
        ("GET", "/state/prune"),
        ("POST", "/state/prune"),
        ("POST", "/state/compact"),
        ("POST", "/state/backup"),
        ("GET", "/state/backup"),
    ):
        assert call(method, path, {}, token="another")[0] == 401
    assert call("GET", "/state/backup")[0] == 404
    assert call("GET", "/state/prune?keepLast=-1")[0] == 400
    assert call("POST", "/state/prune", {"activations": "all"})[0] == 400
    assert call("POST", "/state/prune", {"activations": ["unknown"]}) == (
        200,
        {"success": True, "seen": 1, "count": 0, "finished": True, "content": {"blobs": 0, "bytes": 0}},
    )
    for destination in (None, "", "relative", "a\0b", str(live.state / "x")):
        assert call("POST", "/state/backup", {"destination": destination})[0] == 400
    assert call("POST", "/state/compact")[1]["reason"] == "there is no free space in the database"


def test_a_disk_without_room_ends_a_backup_in_words(live: Live, tmp_path: Path) -> None:
    live.skill("talk", "sys.stderr.write('x' * 300_000)")
    live.invoke("talk")
    full = tmp_path / "full"
    full.mkdir()
    if os.system(f"mount -t tmpfs -o size=256k tmpfs {full} 2>/dev/null"):
        pytest.skip("a file system cannot be mounted here")
    try:
        assert "cannot be" in live.fails(5, "state", "backup", full / "copy")
        assert list(full.iterdir()) == []
    finally:
        os.system(f"umount {full}")
