"""Secrets through the installed command: set, given to programs of every kind, hidden in logs, and kept from the disk."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import test_calls
from tests.acceptance.live import Live, until
from tests.acceptance.test_calls import daemon, external
from tests.acceptance.test_logs import raw, task_of

VALUE = "hunter2-correct-horse"
HIDDEN = "*" * len(VALUE)
LENGTH = "print(len(message()['properties']['key']), end='')"

api = test_calls.api


@pytest.fixture
def sealed(live: Live) -> Iterator[Live]:
    """A workspace with a secret; in the end its value is in no file except those that a test names."""
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    put(live)
    yield live
    live.stop_owner()
    assert revealing(live) == []


def put(live: Live, name: str = "key", value: str = VALUE) -> None:
    live.ok("secrets", "set", name, stdin=value + "\n")


def revealing(live: Live) -> list[str]:
    """Return the files of the state that hold the value, but for logs."""
    files = [path for path in live.state.rglob("*") if path.is_file() and path.name not in ("stdout", "stderr")]
    return [str(path) for path in files if VALUE.encode() in path.read_bytes()]


def with_key(live: Live, skill: str, value: Any = "#SECURE.key", name: str = "key") -> None:
    path = live.root / "skills" / skill / "skill.yaml"
    document = json.loads(path.read_text())
    document.setdefault("properties", []).append({"name": name, "secure": True, "defaultValue": value})
    path.write_text(json.dumps(document))


def test_set_list_and_delete(live: Live) -> None:
    assert "There are no secrets" in live.ok("secrets", "list").err
    ran = live.ok("secrets", "set", "db/password", stdin=f"{VALUE}\n")
    assert (ran.out, VALUE in ran.err) == ("", False)
    assert "#SECURE.db/password" in ran.err
    assert "Next: fabric-jobs secrets list" in ran.err
    listed = live.ok("secrets", "list")
    assert re.fullmatch(r"SECRET       UPDATED\ndb/password  \S+ \S+\n", listed.out)
    assert [row["name"] for row in live.ok("secrets", "list", "-o", "json").value] == ["db/password"]
    assert "is deleted" in live.ok("secrets", "delete", "db/password").err
    assert "no secret 'db/password'" in live.fails(3, "secrets", "delete", "db/password")
    assert "not a valid name" in live.fails(2, "secrets", "set", "../up", stdin="v")
    assert "empty" in live.fails(2, "secrets", "set", "k", stdin="\n")
    assert "not text" in live.fails(2, "secrets", "set", "k", stdin=b"\xff\xfe")
    assert "unexpected extra argument" in live.fails(2, "secrets", "set", "k", "value-in-argv").lower()
    assert live.ok("secrets", "list", "-o", "json").value == []


def test_a_value_keeps_its_inner_line_breaks_and_blanks(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.skill("show", "print(json.dumps(message()['properties']['key']))", response="json")
    with_key(live, "show")
    for given, kept in ((" a\nb \n", " a\nb "), ("a\r\n", "a"), ("a\n\n", "a\n"), ("ä", "ä")):
        live.ok("secrets", "set", "key", stdin=given)
        assert live.invoke("show")["response"] == kept


def test_at_a_terminal_the_value_is_asked_for_twice_and_not_shown(live: Live) -> None:
    live.ok("secrets", "list")
    command = [str(live.environment["PATH"].split(os.pathsep)[0] + "/fabric-jobs"), "secrets", "set", "typed"]
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(live.root)
        os.execve(command[0], command, live.environment)
    said = b""
    for _ in range(2):
        asked = b""
        while not asked.rstrip().endswith(b":"):
            asked += os.read(terminal, 1000)
        os.write(terminal, b"hunter2\n")
        said += asked
    with suppress(OSError):  # its end
        while more := os.read(terminal, 1000):
            said += more
    assert os.waitpid(pid, 0)[1] == 0, said
    os.close(terminal)
    assert b"hunter2" not in said
    assert b"is set" in said
    live.skill("long", LENGTH)
    with_key(live, "long", "#SECURE.typed")
    assert live.invoke("long")["response"] == "7"


@pytest.mark.parametrize("receives", ["message", "stream"])
@pytest.mark.parametrize("is_warm", [False, True])
def test_a_program_gets_the_value(sealed: Live, receives: str, is_warm: bool) -> None:
    sealed.warm = is_warm
    ends = {"message": LENGTH, "stream": f"for _ in messages(): {LENGTH.replace(', end=', ', flush=True, end=')}"}
    sealed.skill("long", ends[receives], receives=receives)
    with_key(sealed, "long")
    record = sealed.invoke("long", 1)
    assert record["response"] == str(len(VALUE))
    assert "#SECURE.key" not in json.dumps(record["response"])


def test_an_invocation_and_an_agent_name_secrets_too(sealed: Live) -> None:
    sealed.skill("long", LENGTH)
    sealed.agent("user", ("input", "long"), ("long", "output"), properties={"key": "#SECURE.key"})
    assert sealed.invoke("user", kind="agents")["response"] == str(len(VALUE))
    params = json.dumps({"payload": 1, "properties": {"key": "#SECURE.key"}})
    record = sealed.ok("skills", "invoke", "long", "--params", params, "-o", "json").value
    assert (record["response"], record["properties"]) == (str(len(VALUE)), {"key": "#SECURE.key"})


def test_a_daemon_gets_the_value(sealed: Live) -> None:
    handle = """
def handle(envelope, request):
    return 200, {"payload": [len(envelope["properties"]["key"]), len(request.headers["X-Key"])]}
serve()
"""
    daemon(sealed, "each", handle)
    with_key(sealed, "each")
    with_key(sealed, "each", name="headers.X-Key")
    assert sealed.invoke("each", 1)["response"] == [len(VALUE)] * 2


def test_what_a_daemon_refuses_with_is_hidden(sealed: Live) -> None:
    handle = """
def handle(envelope, request):
    print("got", envelope["properties"]["key"], flush=True)
    return 500, {"wrong": envelope["properties"]["key"]}
serve()
"""
    daemon(sealed, "each", handle)
    with_key(sealed, "each")
    record, said = sealed.fail("each", 1)
    assert f"got {HIDDEN}" in said
    assert f'{{"wrong": "{HIDDEN}"}}' in said
    assert VALUE not in said + json.dumps(record)


def test_an_external_api_gets_the_value(live: Live, api: str) -> None:
    put(live)
    live.ok("secrets", "set", "where", stdin=api)
    external(live, url="#SECURE.where", path="x", **{"headers.X-Key": "#SECURE.key"})
    assert live.invoke("api", 1)["response"] == {"path": "/x", "body": 1, "key": VALUE}  # it sends the header back


def test_an_address_that_is_a_secret_is_hidden_in_errors(sealed: Live) -> None:
    external(sealed, url="#SECURE.key")
    record, said = sealed.fail("api", 1)
    assert f"its property 'url' is '{HIDDEN}'" in said
    assert VALUE not in said + json.dumps(record)


SAY = """
key = message()["properties"]["key"]
print("out", key, flush=True)
print("err", json.dumps({"k": key}), file=sys.stderr, flush=True)
os.write(1, b"half of " + key[:12].encode()); os.write(1, key[12:].encode() + b"\\n")
if message()["payload"] == "fail":
    raise ValueError(f"not {key}")
send_message(1)
"""
SHOWN = [f"out {HIDDEN}", f'err {{"k": "{HIDDEN}"}}', f"half of {HIDDEN}"]


def test_logs_are_shown_without_the_value_in_every_way(sealed: Live) -> None:
    sealed.skill("say", SAY)
    with_key(sealed, "say")
    activation = sealed.invoke("say", 1)["activationId"]
    task = task_of(sealed, "say")
    printed = sealed.ok("tasks", "logs", task)
    followed = sealed.ok("tasks", "logs", task, "--follow", "--timestamps")
    of_all = sealed.ok("activations", "logs", activation)
    ways = {
        "tasks logs": printed.out + printed.err,
        "tasks logs --follow": followed.out + followed.err,
        "activations logs": of_all.out + of_all.err,
        "text": json.loads(raw(sealed, f"/tasks/{task}/logs"))["logs"],
        "page": raw(sealed, f"/tasks/{task}/logs/page").partition(b"\n")[2].decode(),
        "events": "".join(
            json.loads(line.removeprefix("data: "))["log"] + "\n"
            for line in raw(sealed, f"/tasks/{task}/logs?follow=true").decode().splitlines()
            if line
        ),
        "skill": json.loads(raw(sealed, "/skills/say/action/say/logs"))["logs"],
        "raw": raw(sealed, "/skills/say/action/say/logs?raw=true").decode(),
        "streams": "".join(raw(sealed, f"/tasks/{task}/logs?stream={name}").decode() for name in ("stdout", "stderr")),
    }
    for way, text in ways.items():
        assert VALUE not in text, way
        assert all(line in text for line in SHOWN), (way, text)
    directory = sealed.attempts("say")[0]
    assert VALUE in (directory / "stdout").read_text(), "what is stored stays as it is"
    assert raw(sealed, f"/tasks/{task}/logs?stream=stdout&offset=4") == f"{HIDDEN}\nhalf of {HIDDEN}\n".encode()
    assert raw(sealed, f"/tasks/{task}/logs?stream=stdout&offset=7") == f"{HIDDEN[3:]}\nhalf of {HIDDEN}\n".encode()


def test_a_failure_is_shown_without_the_value(sealed: Live) -> None:
    sealed.skill("say", SAY, onError="continue")
    with_key(sealed, "say")
    record, said = sealed.fail("say", "fail")
    assert VALUE not in said + json.dumps(record)
    shown = sealed.ok("deadletters", "show", "1", "-o", "json").value
    assert shown["error"]["lastLines"][-1] == f"ValueError: not {HIDDEN}"
    assert shown["cause"] == f"ValueError: not {HIDDEN}"


def test_what_a_stream_raises_or_rejects_is_hidden(sealed: Live) -> None:
    program = """
    from fabric_skill import reject
    key = message()["properties"]["key"]
    for record in messages():
        if record == 1:
            reject(record, "refused " + key)
            continue
        raise ValueError("raised " + key)
    """
    sealed.skill("source", "send_message(1); send_message(2)")
    sealed.skill("read", program, receives="stream", onError="continue")
    with_key(sealed, "read")
    sealed.agent("line", ("input", "source"), ("source", "read"), ("read", "output"))
    sealed.fail("line", kind="agents")
    causes = [letter["cause"] for letter in sealed.ok("deadletters", "list", "-o", "json").value]
    assert causes == [f"refused {HIDDEN}", f"ValueError: raised {HIDDEN}"]


def test_without_its_secret_nothing_is_invoked(live: Live) -> None:
    live.skill("long", LENGTH)
    with_key(live, "long")
    said = live.fails(2, "skills", "invoke", "long", "--payload", "1")
    assert "the property 'key' is '#SECURE.key', but there is no such secret in project 'local'" in said
    assert "fabric-jobs secrets set key" in said
    assert live.ok("activations", "list", "-o", "json").value == []


def test_a_wrong_key_ends_the_start_and_changes_nothing(live: Live) -> None:
    put(live)
    live.stop_owner()
    key, database = live.state / "secrets.key", live.state / "state.db"
    right = key.read_bytes()
    for spoil, reason in (
        (lambda: key.chmod(0o644), "other users can access it"),
        (lambda: key.write_bytes(b"nonsense"), "something else than keys"),
        (lambda: key.write_bytes(b"a" * 43 + b"="), "another key"),
        (key.unlink, "is missing"),
    ):
        spoil()
        before = database.read_bytes()
        examined = live.run("doctor")
        assert (examined.code, "problem  secrets" in examined.out) == (5, True), examined
        for command in (("skills", "list"), ("serve",)):
            said = live.fails(5, *command) if command[0] == "serve" else live.fails(5, "activations", "list")
            assert reason in said, (command, said)
            assert "\n" in said.strip(), "it does not say what to do"
        assert database.read_bytes() == before
        key.unlink(missing_ok=True)
        key.write_bytes(right)
        key.chmod(0o600)
    assert [row["name"] for row in live.ok("secrets", "list", "-o", "json").value] == ["key"]


def test_the_key_may_be_elsewhere(live: Live, tmp_path: Path) -> None:
    live.environment |= {"FABRIC_JOBS_SECRETS_KEY_FILE": str(tmp_path / "key"), "FABRIC_JOBS_IDLE_SECONDS": "60"}
    put(live)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert not (live.state / "secrets.key").exists()
    live.skill("long", LENGTH)
    with_key(live, "long")
    assert live.invoke("long")["response"] == str(len(VALUE))
    live.stop_owner()
    del live.environment["FABRIC_JOBS_SECRETS_KEY_FILE"]
    assert "FABRIC_JOBS_SECRETS_KEY_FILE" in live.fails(5, "secrets", "list")


def test_a_killed_owner_has_what_was_acknowledged(live: Live) -> None:
    for number in range(5):
        put(live, f"k{number}", f"value {number}")
        if number == 2:
            live.ok("secrets", "rotate-key")
        os.kill(live.owner(), signal.SIGKILL)
        until(lambda: live.run("secrets", "list").code == 0, "another owner serves")
    assert [row["name"] for row in live.ok("secrets", "list", "-o", "json").value] == [f"k{n}" for n in range(5)]
    live.skill("show", "print(message()['properties']['key'], end='')")
    with_key(live, "show", "#SECURE.k0")
    assert live.invoke("show")["response"] == "value 0"


def test_a_backup_has_the_secrets_but_not_their_key(live: Live, tmp_path: Path) -> None:
    put(live)
    live.ok("state", "backup", str(tmp_path / "copy"))
    assert not (tmp_path / "copy" / "secrets.key").exists()
    assert "is missing" in live.fails(5, "secrets", "list", "--state-dir", str(tmp_path / "copy"))
    (tmp_path / "copy" / "secrets.key").write_bytes((live.state / "secrets.key").read_bytes())
    (tmp_path / "copy" / "secrets.key").chmod(0o600)
    found = live.ok(
        "secrets", "list", "--state-dir", str(tmp_path / "copy"), "-o", "json", FABRIC_JOBS_IDLE_SECONDS="0.1"
    )
    assert [row["name"] for row in found.value] == ["key"]


def test_an_owner_without_secrets_does_not_load_their_library(live: Live) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "60"
    live.skill("plain", "print(1)")
    live.invoke("plain")
    live.ok("tasks", "logs", "plain")
    maps = Path(f"/proc/{live.owner()}/maps")
    assert "cryptography" not in maps.read_text()
    put(live)
    assert "cryptography" in maps.read_text()
