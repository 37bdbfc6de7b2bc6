"""Programs get the environment and the umask of the command that invokes them."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fabric_jobs.cli import cli
from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.executors import environments
from tests.acceptance.live import COMMAND, PROJECT, Live, program_of, until

SECRET = "only-in-memory-4711"
SHOW = """
mask = os.umask(0)
names = ("MODE", "spring.mode", "x-y", "IFS", "GREETING", "CORTEX_PROJECT")
print(json.dumps({"umask": mask, **{name: os.environ[name] for name in names if name in os.environ}}))
"""


def test_each_command_hands_its_environment_and_umask_to_the_programs(live: Live) -> None:
    live.skill("show", SHOW)
    odd = {"spring.mode": "dot", "x-y": "dash", "IFS": ":", "GREETING": "two\nlines", "CORTEX_PROJECT": "not mine"}
    words = [str(COMMAND), "skills", "invoke", "show", "--payload", "1", "-q"]
    found = []
    for mask, own in ((0o022, {"MODE": "one", **odd}), (0o027, {"MODE": SECRET})):
        said = subprocess.check_output(words, cwd=live.root, env={**live.environment, **own}, umask=mask)
        found.append(json.loads(said))
    assert found[0] == {"umask": 0o022, "MODE": "one", **odd, "CORTEX_PROJECT": "local"}
    assert found[1] == {"umask": 0o027, "MODE": SECRET, "CORTEX_PROJECT": "local"}


def test_the_environment_is_on_no_disk_and_in_no_answer(live: Live) -> None:
    live.skill("show", "assert os.environ['MODE']\nprint(1)")
    live.skill("fails", "assert os.environ['MODE']\nsys.exit(3)")
    for skill in ("show", "fails"):
        ran = live.run("skills", "invoke", skill, "--payload", "1", "-o", "json", MODE=SECRET, OTHER=SECRET)
        task = live.ok("tasks", "list", "--activation", ran.value["activationId"], "-o", "json").out
        shown = live.ok("activations", "show", ran.value["activationId"], "-o", "json").out
        assert SECRET not in ran.out + ran.err + task + shown
    kept = [path for path in live.state.rglob("*") if path.is_file()]
    assert {"state.db", "stdout", "owner.log"} <= {path.name for path in kept}
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


def test_a_program_is_found_on_the_path_of_the_command(live: Live, tmp_path: Path) -> None:
    live.skill("tool", "", command=["our-tool"])
    for name in ("one", "two"):
        tool = tmp_path / name / "our-tool"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\necho {name}\n")
        tool.chmod(0o755)
        path = f"{tool.parent}{os.pathsep}{live.environment['PATH']}"
        assert live.ok("skills", "invoke", "tool", "--payload", "1", "-q", PATH=path).out == f"{name}\n"


def test_after_the_death_of_an_owner_it_is_that_of_the_next_command(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("first", f"open({str(gate)!r}).read()\nprint(os.environ['MODE'])")
    live.skill("second", "print(message()['payload'].strip(), os.environ['MODE'])")
    live.agent("pair", ("input", "first"), ("first", "second"), ("second", "output"))
    started = live.ok("agents", "invoke", "pair", "--payload", "1", "--detach", MODE="old").out.strip()
    program_of(until(lambda: live.attempts("first"), "the first task")[0])
    live.kill_owner()
    waiting = live.start("activations", "wait", started, MODE="new")
    live.release(gate)
    assert waiting.finish().out == "old new\n"


def test_a_dead_letter_is_tried_again_in_the_environment_of_the_retry(live: Live) -> None:
    live.skill("choosy", "assert os.environ['MODE'] == 'good'\nprint('went')", onError="continue")
    assert live.run("skills", "invoke", "choosy", "--payload", "1", MODE="bad").code == 1
    assert live.ok("deadletters", "retry", "--all", MODE="good").out == "went\n"


def test_what_serve_runs_for_remote_callers_has_the_environment_of_serve(live: Live) -> None:
    live.skill("show", "print(os.environ['MODE'])")
    live.start("serve", MODE="served")
    address = live.published()
    assert live.ok("skills", "invoke", "show", "--payload", "1", "-q", MODE="mine").out == "mine\n"
    host, port = address.url.removeprefix("http://").split(":")
    remote = HTTPConnection(host, int(port))

    def post(body: object) -> tuple[int, dict[str, object]]:
        path = f"{PROJECT}/skillinvoke/show/inputs/request?sync=true"
        headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}
        remote.request("POST", path, json.dumps(body), headers)
        answer = remote.getresponse()
        return answer.status, json.loads(answer.read())

    assert post({"payload": 1})[1]["response"] == "served\n"
    status, said = post({"payload": 1, "shell": {"environment": "", "umask": 0}})
    assert status == 400
    assert "over the gateway's Unix socket only" in str(said["message"])
    remote.close()


def test_a_program_reaches_the_gateway_without_the_proxy_of_the_shell(live: Live) -> None:
    program = (
        "from urllib.request import urlopen\nprint(urlopen(message()['apiEndpoint'][:-3] + '/healthz').status, end='')"
    )
    live.skill("plain", program)
    proxy = "http://127.0.0.1:9"  # nobody listens there
    assert (
        live.ok("skills", "invoke", "plain", "--payload", "1", "-q", http_proxy=proxy, NO_PROXY="a.test").out == "200\n"
    )


def test_a_terminal_that_closes_cancels(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("long", f"open({str(gate)!r}).read()")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(live.root)
        os.execve(COMMAND, [str(COMMAND), "skills", "invoke", "long", "--payload", "1"], live.environment)
    found = until(lambda: live.get("/activations")["activations"], "it is invoked")
    until(lambda: live.progress(found[0]["activationId"])["long"]["tasks"].get("ACTIVE"), "the job runs")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert live.wait(found[0]["activationId"])["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("words", "code"),
    [(("skills", "invoke", "none", "--payload", "1"), 3), (("skills", "none"), 2), (("skills", "list"), 0)],
)
def test_an_error_that_cannot_be_written_has_its_exit_code(live: Live, words: tuple[str, ...], code: int) -> None:
    live.skill("echo", "print(1)")
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [COMMAND, *words], cwd=live.root, env=live.environment, stdout=subprocess.PIPE, stderr=full
        )
    assert ran.returncode == code


def test_a_second_signal_leaves_it_running_and_an_ignored_one_is_none(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("long", f"open({str(gate)!r}).read()\nprint('finished', end='')")
    script = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", script, str(COMMAND), "skills", "invoke", "long", "--payload", "1"]
    process = subprocess.Popen(words, cwd=live.root, env=live.environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    activation = until(lambda: live.get("/activations")["activations"], "it is invoked")[0]["activationId"]
    until(lambda: live.progress(activation)["long"]["tasks"].get("ACTIVE"), "the job runs")
    process.send_signal(signal.SIGHUP)  # ignored, as under nohup
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # `timeout` sends it twice
    assert process.stderr.readline() == b"\n"
    assert b"Cancelling" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 128 + signal.SIGINT
    assert b"Left as it is" in process.stderr.read()
    process.stderr.close()
    live.release(gate)
    assert live.wait(activation)["response"] == "finished"


def test_what_is_wrong_around_a_command_is_one_error_in_words(live: Live, tmp_path: Path) -> None:
    live.skill("show", "print('fine', end='')")
    gone = tmp_path / "gone"
    gone.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", script, str(COMMAND), "skills", "list"]
    done = subprocess.run(words, cwd=gone, env=live.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        5,
        "Error: the working directory is gone: it was deleted or moved.",
    )
    for option in ("--payload", "--params"):
        assert "'\"\\udcff' has bytes that are not UTF-8" in live.fails(
            2, "skills", "invoke", "show", option, '"\udcff"', LC_ALL="C.UTF-8"
        )
    odd = Path(f"{live.root}\udcff")
    shutil.copytree(live.root / "skills", odd / "skills")
    ran = live.run("skills", "invoke", "show", "--payload", "1", cwd=odd, LC_ALL="C.UTF-8")
    assert ran.code == 2
    assert "has bytes that are not UTF-8" in ran.err


def test_a_command_without_a_home_directory_works_or_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> None:
        raise KeyError(user)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "FABRIC_JOBS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("pwd.getpwnam", unknown)
    found = CliRunner().invoke(cli, ["profiles", "list"])
    assert isinstance(found.exception, PlaceUnavailable)
    assert "no home directory" in str(found.exception)
    with pytest.raises(InvalidInput, match="no home directory"):
        environments.root()


def test_a_locale_of_one_byte_and_half_a_surrogate_are_no_reason_to_fail(live: Live, tmp_path: Path) -> None:
    live.skill("show", 'sys.stdout.write(json.dumps({"a": "\\ud800", "b": "→"}))', response="json")
    latin: dict[str, Any] = {
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "latin-1",
    }
    (tmp_path / ("t" * 120)).mkdir()
    ran = live.run("skills", "invoke", "show", "--payload", '"ü"', "-q", TMPDIR=str(tmp_path / ("t" * 120)), **latin)
    assert ran.code == 0, ran
    assert ran.value == {"a": "\ud800", "b": "→"}
