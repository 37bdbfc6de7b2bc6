"""Bad input: one clear error each (what, where, why, what to do), the right exit code, nothing half-written, no traceback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.live import COMMAND, Live, has_traceback

ECHO = "print(message()['payload'], end='')"
NEW = ("workspaces", "generate", "made")


def tree(root: Path) -> set[str]:
    """Return every file of a workspace outside its state directory."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if ".fabric-jobs" not in path.parts}


def said_once(said: str) -> None:
    """Check that there is only one error, without a follow-up."""
    assert said.count("Error:") == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: bad\n  inputs: [", "skill.yaml:2:"),
        ("camel: 1.0.0\nname: bad\nimputs: []\n", "skill.yaml:3:1: error: imputs: "),
        ("camel: 1.0.0\nname: bad\ninputs: 3\n", "skill.yaml:3:9: error: inputs: "),
        ("- a\n- b\n", "skill.yaml:1:1"),
        ("", "skill.yaml"),
        ("name: bad\nname: worse\n", "skill.yaml:2:1"),
        ("name: \x00\n", "skill.yaml"),
    ],
)
def test_a_broken_skill_is_told_with_its_place(live: Live, text: str, place: str) -> None:
    (live.root / "skills/bad").mkdir()
    (live.root / "skills/bad/skill.yaml").write_text(text)
    said = live.fails(4, "skills", "invoke", "bad", "--payload", "1")
    assert place in said
    lint = live.run("workspaces", "lint")
    assert lint.code == 4
    assert place in lint.out
    assert json.loads(live.run("workspaces", "lint", "--output", "json").out)[0]["level"] == "error"


def test_a_file_that_is_not_text_is_told(live: Live) -> None:
    (live.root / "skills/bad").mkdir()
    (live.root / "skills/bad/skill.yaml").write_bytes(b"name: \xff\xfe")
    assert "UTF-8" in live.fails(4, "skills", "invoke", "bad", "--payload", "1")


def test_all_errors_of_a_file_come_at_once_with_the_nearest_names(live: Live) -> None:
    live.skill("fine", ECHO)
    document = json.loads((live.root / "skills/fine/skill.yaml").read_text())
    document["tittle"] = "x"
    document["actions"][0]["typ"] = document["actions"][0].pop("type")
    (live.root / "skills/fine/skill.yaml").write_text(json.dumps(document, indent=1))
    said = live.fails(4, "skills", "invoke", "fine", "--payload", "1")
    assert "title" in said
    assert "type" in said
    assert len(said.splitlines()) >= 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("skills", "invoke", "ecko", "--payload", "1"), "Did you mean 'echo'?"),
        (("skills", "invoke", "echo", "reqest", "--payload", "1"), "Did you mean 'request'?"),
        (("agents", "invoke", "chains", "--payload", "1"), "Did you mean 'chain'?"),
        (("agents", "invoke", "chain", "imput", "--payload", "1"), "Did you mean 'input'?"),
        (("workspaces", "generate-agent", "new", "ecko"), "Did you mean 'echo'?"),
        (("skills", "invoke", "echo", "--params-file", "nowhere.json"), "Name a file"),
        (("skills", "invoke", "echo", "--payload", "1", "--workspace", "/no/where"), "Name a directory"),
        (("activations", "show", "no such/thing?x"), "fabric-jobs activations list"),
        (("activations", "wait", "../../healthz"), "fabric-jobs activations list"),
        (("activations", "cancel", "nosuch"), "fabric-jobs activations list"),
        (("activations", "response", "no such"), "fabric-jobs activations list"),
        (("tasks", "show", "nosuch"), "fabric-jobs tasks list"),
        (("tasks", "logs", "no such thing"), "fabric-jobs tasks list"),
        (("tasks", "logs", "no such\nthing"), "fabric-jobs tasks list"),
    ],
)
def test_what_is_not_there_is_3_and_names_the_nearest(live: Live, words: tuple[str, ...], hint: str) -> None:
    live.skill("echo", ECHO)
    live.agent("chain", ("input", "echo"), ("echo", "output"))
    before = tree(live.root)
    said = live.fails(3, *words)
    said_once(said)
    assert hint in said
    assert tree(live.root) == before


def test_an_agent_with_an_unknown_skill_names_its_file(live: Live) -> None:
    live.skill("echo", ECHO)
    live.agent("chain", ("input", "ecko"), ("ecko", "output"))
    said = live.fails(3, "agents", "invoke", "chain", "--payload", "1")
    assert "agents/chain.yaml" in said
    assert "Did you mean 'echo'?" in said


def test_an_agent_with_an_unknown_output_says_so(live: Live) -> None:
    live.skill("echo", ECHO, outputs=("response", "other"))
    live.agent("chain", ("input", "echo"), ("echo.respons", "output"))
    said = live.fails(3, "agents", "invoke", "chain", "--payload", "1")
    assert "has no output 'respons'" in said
    assert "Did you mean 'response'?" in said
    assert live.run("workspaces", "lint").code == 4


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--payload", "{not json"), "--payload is not JSON"),
        (("--payload", "NaN"), "--payload is not JSON"),
        (("--payload", "[" * 50_000), "nested deeper than 512 levels"),
        (("--payload", b"\xff\xfe"), "bytes that are not UTF-8"),
        (("--params", '{"message": 1}'), "--params has no 'payload'"),
        (("--params", "[1]"), "--params is not a JSON object"),
        (("--params", '{"payload": 1, "properties": [2]}'), "'properties' is not an object"),
        (("--params", '{"payload": 1, "activationId": "../../../etc"}'), "'activationId'"),
        (("--params-file", "broken.json"), "broken.json is not JSON"),
        (("--params-file", "binary.json"), "binary.json cannot be read: it is not valid UTF-8"),
        (("--params-file", "skills"), "skills cannot be read: Is a directory"),
        ((), "only one of --params-file, --params and --payload"),
        (("--payload", "1", "--params", "{}"), "only one of --params-file, --params and --payload"),
        (("--payload", "1", "--output", "jsn"), "'jsn' is not one of"),
        (("--payload", "1", "--colour"), "No such option"),
    ],
)
def test_wrong_parameters_are_2_and_say_what_is_right(live: Live, given: tuple[str | bytes, ...], why: str) -> None:
    live.skill("echo", ECHO)
    (live.root / "broken.json").write_text('{"payload": ')
    (live.root / "binary.json").write_bytes(b"\x80\x81")
    words = [word if isinstance(word, str) else os.fsdecode(word) for word in given]
    said = live.fails(2, "skills", "invoke", "echo", *words)
    said_once(said)
    assert why in said
    assert live.ok("activations", "list").out == ""


@pytest.mark.parametrize("text", ["", "not json", '{"message": 1}'])
def test_wrong_parameters_on_stdin(live: Live, text: str) -> None:
    live.skill("echo", ECHO)
    said = live.fails(2, "skills", "invoke", "echo", "--params-file", "-", stdin=text)
    assert '{"payload": {"message": "hello"}}' in said


def test_a_directory_that_is_no_workspace(live: Live, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for words in (("skills", "list"), ("skills", "invoke", "x", "--payload", "1"), ("serve",), ("tasks", "list")):
        said = live.fails(3, *words, cwd=bare)
        assert f"{bare} is not in a workspace" in said
        assert "--workspace" in said
    assert list(bare.iterdir()) == []


def test_nothing_that_exists_is_overwritten(live: Live) -> None:
    live.ok(*NEW)
    program = live.root / "skills/made/actions/made/main.py"
    program.write_text("mine")
    before = tree(live.root)
    said = live.fails(2, *NEW)
    assert "skills/made" in said
    assert live.fails(2, "workspaces", "generate", "MADE")
    assert program.read_text() == "mine"
    assert tree(live.root) == before
    live.ok("workspaces", "generate-agent", "chain", "made")
    live.fails(2, "workspaces", "generate-agent", "chain", "made")


def test_names_are_checked_before_anything_is_written(live: Live) -> None:
    before = tree(live.root.parent)
    for name in ("../up", "a", "1st", "with space", "ends-", "a/b", "", "x" * 64, "é", "a\nb"):
        assert "it must start with a letter" in live.fails(2, "workspaces", "generate", name)
    assert tree(live.root.parent) == before


def test_an_unknown_template_names_those_there_are(live: Live) -> None:
    before = tree(live.root)
    said = live.fails(3, *NEW, "--template", "streem")
    assert "Did you mean 'stream'?" in said
    assert tree(live.root) == before
    listed = live.ok("workspaces", "generate", "--list-templates").out
    for template in ("job", "send-message", "stream"):
        assert template in listed


def test_a_name_is_asked_for_on_a_terminal_only(live: Live) -> None:
    assert "Missing argument 'NAME'" in live.fails(2, "workspaces", "generate")


def test_the_demo_does_not_write_into_a_directory_that_is_in_use(live: Live, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("x")
    assert "not empty" in live.fails(2, "demo", tmp_path / "used")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("x")
    said_once(live.fails(2, "demo", tmp_path / "file"))


def test_a_state_directory_that_is_a_file(live: Live) -> None:
    live.skill("echo", ECHO)
    live.state.write_text("")
    for words in (("skills", "invoke", "echo", "--payload", "1"), ("serve",), ("tasks", "list")):
        said = live.fails(5, *words)
        said_once(said)
        assert f"{live.state} cannot be used" in said
        assert "--state-dir" in said
    live.state.unlink()


def test_a_state_that_is_no_database(live: Live) -> None:
    live.skill("echo", ECHO)
    live.state.mkdir()
    (live.state / "state.db").write_text("garbage " * 1000)
    for words in (("skills", "invoke", "echo", "--payload", "1"), ("serve",)):
        said = live.fails(5, *words)
        said_once(said)
        assert "state.db" in said
        assert "not a database" in said


def test_a_state_of_a_newer_version(live: Live) -> None:
    import sqlite3

    live.skill("echo", ECHO)
    live.state.mkdir()
    connection = sqlite3.connect(live.state / "state.db")
    connection.execute("pragma user_version = 999")
    connection.close()
    assert "newer fabric-jobs" in live.fails(5, "skills", "invoke", "echo", "--payload", "1")


SMALL = 3 << 20  # bytes of a small disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system, with room for a few copies of an empty database."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_is_told_and_does_not_hang(live: Live, small_disk: Path) -> None:
    live.skill("echo", ECHO)
    (small_disk / "filler").write_bytes(b"x" * (SMALL - 8192))
    state = small_disk / "state"
    said = live.fails(5, "skills", "invoke", "echo", "--payload", "1", "--state-dir", state)
    said_once(said)
    assert str(state) in said
    (small_disk / "filler").unlink()
    assert live.ok("skills", "invoke", "echo", "--payload", "1", "--state-dir", state).out == "1\n"
    _end(state)


def test_the_log_of_the_database_never_fills_a_disk_for_good(live: Live, small_disk: Path) -> None:
    """All these activations write more than fits on the disk, but leave only a small part of it there."""
    live.skill("echo", ECHO)
    state = small_disk / "state"
    for number in range(20):
        assert live.ok("skills", "invoke", "echo", "--payload", number, "--state-dir", state).out == f"{number}\n"
    _end(state)


def test_a_disk_that_fills_up_is_waited_for(live: Live, small_disk: Path) -> None:
    """An owner that cannot write reports that to its callers, and goes on once there is room."""
    live.skill("echo", ECHO)
    state = small_disk / "state"
    live.ok("skills", "invoke", "echo", "--payload", "1", "--state-dir", state)
    filler = small_disk / "filler"
    _fill(filler)
    params = live.root / "params.json"
    params.write_text(json.dumps({"payload": "x" * (SMALL // 2)}))  # more than the database's log gives back
    said = live.fails(5, "skills", "invoke", "echo", "--params-file", params, "--state-dir", state)
    said_once(said)
    assert "cannot be used" in said
    filler.unlink()
    assert live.ok("skills", "invoke", "echo", "--payload", "2", "--state-dir", state).out == "2\n"
    _end(state)


def test_a_read_only_disk(live: Live, small_disk: Path) -> None:
    live.skill("echo", ECHO)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for words in (("skills", "invoke", "echo", "--payload", "1"), ("serve",)):
        said = live.fails(5, *words, "--state-dir", small_disk / "state")
        said_once(said)
        assert "Read-only file system" in said
    said_once(live.fails(5, "workspaces", "generate", "made", small_disk))
    said_once(live.fails(5, "demo", small_disk / "demo"))


def test_a_port_in_use(live: Live) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = live.fails(5, "serve", "--port", port)
    said_once(said)
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in said
    assert "--port" in said
    assert live.address() is None


def test_an_address_that_is_none(live: Live) -> None:
    said_once(live.fails(5, "serve", "--host", "no.such.host.invalid"))
    assert "0<=x<=65535" in live.fails(2, "serve", "--port", "70000")


def test_a_variable_that_is_no_number(live: Live) -> None:
    live.skill("echo", ECHO)
    for words in (("serve",), ("skills", "invoke", "echo", "--payload", "1")):
        said = live.fails(2 if words == ("serve",) else 5, *words, FABRIC_JOBS_IDLE_SECONDS="soon")
        assert "FABRIC_JOBS_IDLE_SECONDS is a number of seconds or a duration such as 2m30s, not 'soon'" in said


def test_commands_that_do_not_exist(live: Live) -> None:
    assert "No such command 'skill'. Did you mean 'skills'?" in live.fails(2, "skill")
    assert "No such command 'invok'. Did you mean 'invoke'?" in live.fails(2, "skills", "invok")
    assert "queued" in live.fails(2, "tasks", "list", "--state", "running")
    assert "pending" in live.fails(2, "activations", "list", "--status", "done")
    assert "skills" in live.ok("--help").out
    for group in ("workspaces", "skills", "agents", "activations", "tasks", "serve", "demo"):
        assert "Examples:" in live.ok(group, "--help").out or "Commands:" in live.ok(group, "--help").out


def shell(live: Live, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; `$FJ` is the command."""
    environment = {**live.environment, "FJ": str(COMMAND)}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=live.root, env=environment, timeout=60, check=False
    )


def test_a_reader_that_goes_away_is_no_error(live: Live) -> None:
    live.skill("many", "for n in range(100_000): send_message('record number %d' % n)")
    activation = live.invoke("many")["activationId"]
    done = shell(live, f'set -o pipefail; "$FJ" activations response {activation} | head -1')
    assert done.stdout == '"record number 0"\n'
    assert (done.returncode, done.stderr) == (0, "")
    done = shell(live, f'"$FJ" activations response {activation} >/dev/full')
    assert done.returncode == 5
    assert "No space left on device" in done.stderr
    assert not has_traceback(done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(live: Live, closed: str) -> None:
    live.skill("echo", ECHO + "; Path(ROOT, 'ran').touch()")
    done = shell(live, f'"$FJ" skills invoke echo --payload 1 {closed}')
    assert done.returncode == 0, done
    assert (live.root / "ran").exists()
    assert not has_traceback(done.stderr)
    done = shell(live, f'"$FJ" tasks logs echo {closed}')
    assert done.returncode == 0, done


def test_closed_standard_input_where_it_is_wanted(live: Live) -> None:
    live.skill("echo", ECHO)
    done = shell(live, '"$FJ" skills invoke echo --params-file - <&-')
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr
    done = shell(live, '"$FJ" workspaces generate <&-')
    assert done.returncode == 2
    assert not has_traceback(done.stderr)


def test_a_workspace_with_an_odd_path(tmp_path: Path) -> None:
    odd = Live(tmp_path / "wörk 空 100%25 $HOME 'q\"")
    try:
        odd.skill("echo", ECHO + "; print(os.getcwd(), end='')")
        assert odd.invoke("echo", 1)["response"] == f"1{odd.root}/skills/echo/actions/echo"
    finally:
        odd.close()


def test_a_workspace_with_a_very_long_path(tmp_path: Path) -> None:
    long = Live(tmp_path / ("d" * 200) / ("e" * 200))
    try:
        long.skill("pass", "for r in messages(): send_message(r)", receives="stream")
        assert long.invoke("pass", 1)["response"] == 1
        assert len(os.fsencode(long.state)) > 400
    finally:
        long.close()


def test_an_invocation_without_its_secret_is_refused_before_anything_runs(live: Live) -> None:
    live.skill("echo", ECHO)
    path = live.root / "skills/echo/skill.yaml"
    secret = {"name": "key", "defaultValue": "#SECURE.key"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "properties": [secret]}))
    assert "#SECURE.key" in live.fails(2, "skills", "invoke", "echo", "--payload", "1")
    assert live.ok("activations", "list").out == ""


def _fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for size in (65_536, 4096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def _end(state: Path) -> None:
    """End the owner of another state directory than the workspace's."""
    from fabric_jobs import state_dir as places

    address = places.read_address(state)
    if address is not None:
        os.kill(address.pid, signal.SIGTERM)
