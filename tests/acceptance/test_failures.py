"""A failure is a failure: exit code 1, with skill, record, exit code and last lines, and nothing keeps running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.live import COMMAND, PROJECT, Live, Ran, until
from tests.gateway.test_users import Caller

COUNT = "for n in range(message()['payload']): send_message(n)"
ENDLESS = "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()"


@pytest.fixture(autouse=True, params=[False, True], ids=["cold", "warm"])
def _warm(request: pytest.FixtureRequest, live: Live) -> None:
    live.warm = request.param


def test_a_failing_job_says_which_where_and_why(live: Live) -> None:
    live.skill("broken", "print('to stdout')\nprint('what went wrong', file=sys.stderr)\nsys.exit(3)")
    record, said = live.fail("broken", {"a": 1})

    assert record["status"] == "ERROR"
    assert record["response"] is None
    error = record["error"]
    assert (error["skill"], error["action"], error["exitCode"]) == ("broken", "broken", 3)
    assert error["record"]["offset"] == 0
    assert error["lastLines"] == ["what went wrong"]
    for part in ("skill 'broken' failed: exit code 3", "offset 0", "what went wrong", record["activationId"]):
        assert part in said
    assert f"fabric-jobs tasks logs {error['task']}" in said
    task = live.ok("tasks", "show", "broken", "-o", "json").value
    assert (task["state"], task["exitCode"]) == ("FAILED", 3)
    assert "exit code 3" in live.ok("activations", "list").out
    assert live.run("activations", "wait", record["activationId"]).code == 1


def test_the_error_names_the_line_of_the_log_that_says_why(live: Live) -> None:
    live.skill(
        "raises",
        """
if message()["payload"] == "quiet": print("only this"); sys.exit(3)
print("x" * 20_000, file=sys.stderr)
try:
    raise KeyError("é")
except KeyError as error:
    raise ValueError("bad\\nand worse") from error
finally:
    print("the last line", file=sys.stderr)
""",
        retries={"limit": 1, "backoff_seconds": 0},
    )
    for payload, stream, line in (("loud", "stderr", b"ValueError: bad\n"), ("quiet", "stdout", b"only this\n")):
        error = live.fail("raises", payload)[0]["error"]
        assert (error["attempt"], error["stream"]) == (2, stream)
        query = f"stream={stream}&attempt={error['attempt']}&offset={error['logOffset']}"
        caller = Caller(live)
        text = caller.call("GET", f"{PROJECT}/tasks/{error['task']}/logs?{query}").body
        assert text.startswith(line)


def test_a_file_of_the_workspace_is_not_found_by_its_relative_path_and_that_is_said(live: Live) -> None:
    live.skill("reads", "open('data/a.csv')", prelude="")
    (live.root / "data").mkdir()
    (live.root / "data" / "a.csv").touch()
    record, said = live.fail("reads", 1)
    hint = "The workspace contains data/a.csv, but a program runs in the directory of its action"
    assert hint in record["error"]["hint"]
    assert hint in said
    assert "FABRIC_JOBS_WORKSPACE" in said


def test_a_caller_over_http_has_the_workspace_that_the_skill_is_in(live: Live) -> None:
    live.skill("where", "print(os.environ['FABRIC_JOBS_WORKSPACE'], end='')", prelude="import os\n")
    assert live.invoke("where", 1)["response"] == str(live.root)
    address = live.address()
    assert address is not None
    request = urllib.request.Request(
        f"{address.url}{PROJECT}/skillinvoke/where/inputs/request?sync=true",
        data=b'{"payload": 1}',
        headers={"Authorization": f"Bearer {address.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["response"] == str(live.root)


def test_only_the_last_lines_are_shown(live: Live) -> None:
    live.skill("wordy", "for n in range(5000): print('line', n)\nsys.exit(1)")
    record, _ = live.fail("wordy")
    assert record["error"]["lastLines"] == [f"line {n}" for n in range(4980, 5000)]


def test_the_message_that_failed_is_named(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("each", "sys.exit('no seven' if message()['payload'] == 7 else 0)", workers=1)
    live.agent("some", ("input", "source"), ("source", "each"), ("each", "output"))
    record, said = live.fail("some", 20, kind="agents")
    assert record["error"]["record"]["offset"] == 7
    assert "no seven" in said
    states = [task["state"] for task in live.ok("tasks", "list", "--limit", 100, "-o", "json").value]
    assert "ACTIVE" not in states


def test_the_record_at_which_a_stream_failed_is_named(live: Live) -> None:
    live.skill("source", COUNT)
    program = "for n in messages():\n    if n == 1234: raise ValueError(n)\n    send_message(n)"
    live.skill("picky", program, receives="stream")
    live.agent("some", ("input", "source"), ("source", "picky"), ("picky", "output"))
    record, said = live.fail("some", 3000, kind="agents")
    assert record["error"]["record"]["offset"] == 1234
    assert "ValueError: 1234" in said
    activation = record["activationId"]
    assert live.progress(activation)["picky"]["out"] == 1234  # all output from before it, and none of its own


def test_a_failed_consumer_ends_a_sender_that_waits_for_it(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("dies", "sys.exit(9)", receives="stream")
    live.agent("pair", ("input", "source"), ("source", "dies"), ("dies", "output"))
    record, _ = live.fail("pair", 1_000_000, kind="agents")
    assert record["error"]["skill"] == "dies"
    until(lambda: _task(live, "source")["state"] == "CANCELLED", "the sender is stopped")


def test_a_timeout_is_a_state_of_its_own(live: Live) -> None:
    live.gate("gate")
    live.skill("slow", "print('begun', flush=True)\n" + ENDLESS, timeout=1)
    record, said = live.fail("slow")
    assert record["status"] == "ERROR"
    assert "ran longer than its timeout of 1s" in said
    log = live.ok("tasks", "logs", record["error"]["task"]).out  # empty if starting a program takes a second
    assert log in ("", "begun\n")
    assert log in said
    task = live.ok("tasks", "list", "--state", "TIMEOUT", "-o", "json").value[0]
    assert task["skillName"] == "slow"
    assert task["exitCode"] == 143


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_program_that_dies_of_a_signal_says_which(live: Live, number: signal.Signals) -> None:
    live.skill("dies", f"os.kill(os.getpid(), {int(number)})")
    record, said = live.fail("dies")
    assert record["error"]["exitCode"] == 128 + number
    assert f"killed by {number.name}" in said


def test_a_program_that_does_not_exist(live: Live) -> None:
    live.skill("missing", "", command=["no-such-program", "x"])
    record, said = live.fail("missing")
    assert record["error"]["exitCode"] == 127
    assert "no-such-program" in said


def test_cancel_ends_the_tasks_and_the_waiting_command(live: Live) -> None:
    live.gate("gate")
    live.skill("long", ENDLESS)
    activation = live.detach("long")
    until((live.root / "began").exists, "the job runs")
    waiting = live.start("activations", "wait", activation)

    assert "is being cancelled" in live.ok("activations", "cancel", activation).out

    ran = waiting.finish()
    assert ran.code == 1
    assert "ended CANCELLED: cancelled by its user" in ran.err
    until(lambda: _task(live, "long")["state"] == "CANCELLED", "the task is stopped")
    assert "has ended before (CANCELLED)" in live.ok("activations", "cancel", activation).out


def test_a_job_that_ignores_the_request_to_end_is_forced(live: Live) -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ENDLESS
    live.gate("gate")
    live.skill("stubborn", program)
    activation = live.detach("stubborn")
    until((live.root / "began").exists, "the job runs")
    live.ok("activations", "cancel", activation)
    assert live.wait(activation)["status"] == "CANCELLED"
    until(lambda: _task(live, "stubborn")["state"] == "CANCELLED", "the task is forced")  # after ten seconds
    assert _task(live, "stubborn")["exitCode"] == 137


@pytest.mark.parametrize("how", ["trap '' HUP INT QUIT USR1", "nohup"])
def test_programs_have_the_default_signals_whoever_started_the_owner(live: Live, how: str) -> None:
    told = "import signal\nprint(sorted(n for n in (1, 2, 3, 10, 15) if signal.getsignal(n) is signal.SIG_IGN),"
    live.skill("look", told + " signal.pthread_sigmask(signal.SIG_BLOCK, ()), end='')")
    live.skill("hang-up", "os.kill(os.getpid(), 1)")
    prefix = [*how.split()] if how == "nohup" else []
    words = ["/bin/sh", "-c", f'{"" if prefix else how + "; "}exec "$@"', "sh", *prefix, str(COMMAND)]
    block = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [1, 10]); os.execv(sys.argv[1], sys.argv[1:])"
    )

    def invoke(skill: str) -> Ran:
        line = [sys.executable, "-c", block, *words, "skills", "invoke", skill, "--payload", "1"]
        done = subprocess.run(line, cwd=live.root, env=live.environment, capture_output=True, text=True, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    assert invoke("look").out.splitlines() == ["[] set()"]
    ended = invoke("hang-up")
    assert ended.code == 1
    assert "killed by SIGHUP" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_cancel(live: Live, number: signal.Signals) -> None:
    live.gate("gate")
    live.skill("long", ENDLESS)
    process = live.start("skills", "invoke", "long", "--payload", "1")
    until((live.root / "began").exists, "the job runs")
    process.signal(number)
    ran = process.finish()
    assert ran.code == 128 + number
    assert "is cancelled" in ran.err
    assert ran.out == ""
    assert live.ok("activations", "list", "-o", "json").value[0]["status"] == "CANCELLED"
    until(lambda: _task(live, "long")["state"] == "CANCELLED", "the task is stopped")


def test_a_second_ctrl_c_leaves_it_running(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("long", ENDLESS + "\nprint('finished', end='')")
    process = live.start("skills", "invoke", "long", "--payload", "1")
    until((live.root / "began").exists, "the job runs")
    process.signal(signal.SIGINT)
    process.wait_for("Ctrl-C again")
    process.signal(signal.SIGINT)
    ran = process.finish()
    assert ran.code == 130
    activation = ran.err.split("activations wait ")[1].split()[0]
    assert live.ok("activations", "show", activation, "-o", "json").value["status"] == "PENDING"
    live.release(gate)
    assert live.wait(activation)["response"] == "finished"


def test_ctrl_c_while_waiting_leaves_it_running(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("long", ENDLESS + "\nprint('finished', end='')")
    activation = live.detach("long")
    waiting = live.start("activations", "wait", activation)
    until((live.root / "began").exists, "the job runs")
    until(lambda: _has_socket(waiting.pid), "it waits")
    waiting.signal(signal.SIGINT)
    assert waiting.finish().code == 130
    live.release(gate)
    assert live.wait(activation)["response"] == "finished"


def test_a_failure_leaves_other_activations_alone(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("long", ENDLESS + "\nprint('fine', end='')")
    live.skill("broken", "sys.exit(1)")
    activation = live.detach("long")
    live.fail("broken")
    live.release(gate)
    assert live.wait(activation)["response"] == "fine"


def test_retries_are_carried_out(live: Live) -> None:
    program = "tries = Path(ROOT, 'tries'); tries.open('a').write('x'); sys.exit(len(tries.read_text()) < 3)"
    live.skill("shaky", program, retries={"limit": 3, "backoff_seconds": 0.01})
    assert live.invoke("shaky")["status"] == "COMPLETE"
    task = live.ok("tasks", "show", "shaky", "-o", "json").value
    assert [attempt["exitCode"] for attempt in task["attempts"]] == [1, 1, 0]
    assert "no attempt 9" in live.fails(3, "tasks", "logs", "shaky", "--attempt", 9)


def test_an_action_without_a_program_is_refused_with_what_to_do(live: Live) -> None:
    live.skill("empty", "print(1)")
    definition = live.root / "skills/empty/skill.yaml"
    document = json.loads(definition.read_text())
    del document["actions"][0]["command"]
    definition.write_text(json.dumps(document))
    _, said = live.fail("empty")
    assert "there is no program" in said
    assert "Dockerfile with an ENTRYPOINT" in said


def test_a_skill_that_is_deleted_meanwhile_fails_in_words(live: Live) -> None:
    live.skill("first", "open(ROOT / 'gate').read()")
    live.skill("second", "print(1)")
    live.agent("pair", ("input", "first"), ("first", "second"), ("second", "output"))
    gate = live.gate("gate")
    activation = live.detach("pair", kind="agents")
    directory = live.root / "skills/second"
    directory.rename(live.root / "elsewhere")
    live.release(gate)
    record = live.wait(activation)
    assert record["status"] == "ERROR"
    assert str(directory) in record["cause"]


def _task(live: Live, skill: str) -> dict[str, object]:
    found: dict[str, object] = live.get(f"/tasks?skillName={skill}")["tasks"][0]
    return found


def _has_socket(pid: int) -> bool:
    try:
        return any(os.readlink(link).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # a file was closed meanwhile


def test_a_followed_log_goes_on_with_the_next_attempt(live: Live) -> None:
    gate = live.gate("gate")
    program = (
        "attempt = os.environ['FABRIC_JOBS_ATTEMPT'].split('-')[1]\n"
        "print('begin', attempt, flush=True)\n"
        "if attempt == '1': open(ROOT / 'gate').read()\n"
        "print('end', attempt)\n"
        "sys.exit(attempt == '1')"
    )
    live.skill("again", program, retries={"limit": 1, "backoff_seconds": 0.01})
    activation = live.detach("again")
    following = live.start("tasks", "logs", "again", "--activation", activation, "--follow")
    following.wait_for("begin 1")
    live.release(gate)
    assert following.finish().out == "begin 1\nend 1\nbegin 2\nend 2\n"
    assert live.wait(activation)["status"] == "COMPLETE"
