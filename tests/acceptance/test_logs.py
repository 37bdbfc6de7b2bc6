"""Logs through the installed command and over HTTP: apart, timed, whole, kept, and followed live."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.live import COMMAND, PROJECT, Live, names, until

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
RETRY = {"limit": 1, "backoff_seconds": 0.01}
TWICE = "attempt = os.environ['FABRIC_JOBS_ATTEMPT'].split('-')[1]\nprint('attempt', attempt)\nsys.exit(attempt == '1')"


@contextmanager
def answer(live: Live, path: str) -> Iterator[http.client.HTTPResponse]:
    """Yield the answer to a GET below the project, over TCP."""
    address = live.published()
    with closing(http.client.HTTPConnection(urlsplit(address.url).netloc, timeout=60)) as connection:
        connection.request("GET", PROJECT + path, headers={"Authorization": f"Bearer {address.token}"})
        yield connection.getresponse()


def raw(live: Live, path: str) -> bytes:
    """Return the body of a good answer."""
    with answer(live, path) as found:
        assert found.status == 200
        return found.read()


def refused(live: Live, path: str) -> int:
    """Return the status of an answer."""
    with answer(live, path) as found:
        assert json.loads(found.read())["success"] is False
        return found.status


@pytest.fixture
def served(live: Live) -> Live:
    """A workspace whose owner stays."""
    live.start("serve")
    live.published()
    return live


def task_of(live: Live, skill: str) -> str:
    """Return the name of the newest task of a skill."""
    return names(live.ok("tasks", "list", "--skill", skill, "-o", "json").value)[0]


def objects(text: str) -> list[dict[str, Any]]:
    """Return what `--output json` printed."""
    return [json.loads(line) for line in text.splitlines()]


def seen(live: Live, skill: str, stream: str, size: int) -> None:
    """Wait until the owner has recorded the size of a log."""
    column = 1 if stream == "stdout" else 2

    def noted() -> bool:
        (directory,) = live.attempts(skill)
        index = directory / "index"
        lines = index.read_text().splitlines() if index.exists() else []
        return any(int(line.split()[column]) >= size for line in lines)

    until(noted, f"{size} bytes of {stream} are noted")


def test_both_streams_by_time_with_timestamps_and_as_json(live: Live) -> None:
    gates = [live.gate(f"gate{number}") for number in range(2)]
    live.skill(
        "talk",
        "print('one')\nopen(ROOT / 'gate0').read()\nprint('two', file=sys.stderr)\nopen(ROOT / 'gate1').read()\nprint('three')",
    )
    activation = live.detach("talk")
    until(lambda: live.attempts("talk"), "an attempt")
    for gate, stream in zip(gates, ("stdout", "stderr"), strict=True):
        seen(live, "talk", stream, 4)
        live.release(gate)
    live.wait(activation)
    found = objects(live.ok("tasks", "logs", "talk", "--output", "json").out)
    assert [(line["stream"], line["text"]) for line in found] == [
        ("stdout", "one"),
        ("stderr", "two"),
        ("stdout", "three"),
    ]
    times = [line["time"] for line in found]
    assert times == sorted(times)
    stamped = live.ok("tasks", "logs", "talk", "--timestamps")
    assert stamped.out == f"{times[0]} one\n{times[2]} three\n"
    assert stamped.err == f"{times[1]} two\n"
    assert STAMP.match(stamped.out)
    # `--since` accepts the times that are printed.
    assert live.ok("tasks", "logs", "talk", "--since", times[1]).out == "three\n"
    assert live.ok("tasks", "logs", "talk", "--since", "1h").out == "one\nthree\n"
    assert "10m" in live.fails(2, "tasks", "logs", "talk", "--since", "yesterday")
    together = subprocess.run(
        [COMMAND, "tasks", "logs", "talk"],
        cwd=live.root,
        env=live.environment,
        stdout=-1,
        stderr=subprocess.STDOUT,
        check=True,
    )
    assert together.stdout == b"one\ntwo\nthree\n"


def test_a_line_without_an_end_is_followed(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("ask", "print('how many? ', end=''); open(ROOT / 'gate').read(); print('three')")
    activation = live.detach("ask")
    followers = [live.start("tasks", "logs", "ask", "--follow", *words) for words in ((), ("-t",))]
    for follower in followers:
        follower.wait_for("how many? ")
    live.release(gate)
    plain, stamped = (follower.finish() for follower in followers)
    assert plain.out == "how many? three\n"
    assert STAMP.sub("", stamped.out) == "how many? three\n"
    live.wait(activation)


def test_bytes_that_are_no_text_stay_what_they_are(served: Live) -> None:
    live = served
    garbage = bytes(range(256)) + "é".encode()[:1] + b"\n\xff\xfe"
    live.skill("noise", f"sys.stdout.buffer.write({garbage!r})")
    live.invoke("noise")
    task = task_of(live, "noise")
    assert live.ok("tasks", "logs", task).out.encode(errors="surrogateescape") == garbage
    assert raw(live, f"/tasks/{task}/logs?stream=stdout") == garbage
    assert raw(live, "/skills/noise/action/noise/logs?raw=true") == garbage
    assert json.loads(raw(live, f"/tasks/{task}/logs"))["logs"] == garbage.decode(errors="replace")
    texts = [line["text"] for line in objects(live.ok("tasks", "logs", task, "-o", "json").out)]
    assert "\n".join(texts) == garbage.decode(errors="replace")


def test_each_attempt_has_its_log(served: Live) -> None:
    live = served
    live.skill("again", TWICE, retries=RETRY)
    activation = live.invoke("again")["activationId"]
    task = task_of(live, "again")
    assert live.ok("tasks", "logs", task).out == "attempt 2\n"
    assert live.ok("tasks", "logs", task, "--attempt", 1).out == "attempt 1\n"
    assert live.ok("tasks", "logs", task, "--attempt", 1, "--follow").out == "attempt 1\n"
    assert live.ok("activations", "logs", activation).out == "again | attempt 1\nagain | attempt 2\n"
    assert "no attempt 3" in live.fails(3, "tasks", "logs", task, "--attempt", 3)
    assert refused(live, f"/tasks/{task}/logs/page?attempt=3") == 404


def test_a_job_that_closes_stdout_is_followed_to_its_end(live: Live) -> None:
    gate = live.gate("gate")
    program = (
        "print('bye'); os.close(1)\nprint('closed', file=sys.stderr)\n"
        "open(ROOT / 'gate').read()\nos.write(2, b'later')\nos._exit(0)"
    )
    live.skill("closes", program)
    activation = live.detach("closes")
    follower = live.start("tasks", "logs", "closes", "--follow")
    follower.wait_for("closed")
    live.release(gate)
    ran = follower.finish()
    assert (ran.out, ran.err) == ("bye\n", "closed\nlater")
    assert live.wait(activation)["response"] == "bye\n"


def test_what_a_child_prints_after_the_end_is_kept_in_the_log(live: Live) -> None:
    gate = live.gate("gate")
    program = "print('parent')\nif os.fork() == 0:\n    open(ROOT / 'gate').read()\n    print('child')"
    live.skill("forks", program)
    assert live.invoke("forks")["response"] == "parent\n"
    assert live.ok("tasks", "logs", "forks", "--follow").out == "parent\n", "the task has ended"
    live.release(gate)
    until(lambda: live.ok("tasks", "logs", "forks").out == "parent\nchild\n", "the child is in the log")


def test_an_activation_has_the_lines_of_all_its_tasks(live: Live) -> None:
    gate = live.gate("gate")
    live.skill(
        "reads", "print('reading', file=sys.stderr)\nsend_message(1)\nopen(ROOT / 'gate').read()\nsend_message(2)"
    )
    live.skill("counts", "for number in messages(): print('got', number, flush=True)", receives="stream")
    live.agent("flow", ("input", "reads"), ("reads", "counts"), ("counts", "output"))
    activation = live.detach("flow", kind="agents")
    follower = live.start("activations", "logs", activation, "--follow")
    follower.wait_for("counts | got 1\n")
    live.release(gate)
    expected = ["counts | got 1", "counts | got 2", "reads  | reading"]
    assert sorted(follower.finish().out.splitlines()) == expected
    assert sorted(live.ok("activations", "logs", activation).out.splitlines()) == expected
    found = objects(live.ok("activations", "logs", activation, "--stream", "stderr", "-o", "json").out)
    assert [(line["skill"], line["text"], line["attempt"]) for line in found] == [("reads", "reading", 1)]
    assert "activations list" in live.fails(3, "activations", "logs", "none")


def test_the_log_of_a_skill_is_that_of_its_newest_task_and_is_waited_for(served: Live) -> None:
    live = served
    live.skill("cortex/echo", "print(message()['payload'])")
    assert "tasks list" in live.fails(3, "skills", "logs", "cortex/echo")
    follower = live.start("skills", "logs", "cortex/echo", "--follow")
    follower.wait_for("Waiting for a task of skill 'cortex/echo'.")
    live.invoke("cortex/echo", "first")
    assert follower.finish().out == "first\n"
    live.invoke("cortex/echo", "second")
    assert live.ok("skills", "logs", "cortex/echo").out == "second\n"
    assert live.ok("skills", "logs", "cortex/echo", "echo").out == "second\n"
    assert "'nothing'" in live.fails(3, "skills", "logs", "cortex/echo", "nothing")
    for path in ("/skills/cortex%2Fecho/action/echo/logs", "/skills/cortex/echo/action/echo/logs"):
        assert json.loads(raw(live, path)) == {"success": True, "logs": "second\n", "truncated": False}
    assert refused(live, "/skills/cortex/echo/action/other/logs") == 404
    assert live.get("/tasks?actionName=other")["tasks"] == []


def test_following_a_skill_with_several_tasks_takes_the_one_that_runs_else_the_newest(served: Live) -> None:
    live = served
    live.skill("many", "print(message()['payload'])\nif message()['payload'] == 'slow': open(ROOT / 'gate').read()")
    gate = live.gate("gate")
    slow = live.detach("many", "slow")
    until(lambda: live.glance(slow) and live.attempts("many"), "the slow task")
    live.invoke("many", "quick")
    assert "has several tasks" in live.fails(2, "tasks", "logs", "many")
    follower = live.start("tasks", "logs", "many", "--follow")
    follower.wait_for("slow")
    live.release(gate)
    assert follower.finish().out == "slow\n"
    live.wait(slow)
    assert live.ok("tasks", "logs", "many", "--follow").out == "quick\n"


def test_following_outlasts_the_death_of_the_owner(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("stays", "print('before'); open(ROOT / 'gate').read(); print('after')")
    activation = live.detach("stays")
    follower = live.start("tasks", "logs", "stays", "--follow")
    follower.wait_for("before")
    live.kill_owner()
    live.release(gate)
    assert follower.finish().out == "before\nafter\n"
    live.wait(activation)


def test_a_log_that_cannot_be_read_now_is_read_later(live: Live) -> None:
    live.skill("says", "print('something')")
    live.invoke("says")
    (directory,) = live.attempts("says")
    (directory / "stdout").rename(directory / "away")
    (directory / "stdout").symlink_to(".")  # nobody can read it as a file
    assert "cannot be read" in live.fails(5, "tasks", "logs", "says")
    follower = live.start("tasks", "logs", "says", "--follow")
    (directory / "away").rename(directory / "stdout")
    assert follower.finish().out == "something\n"


def test_server_sent_events_are_such_as_the_old_command_can_read(served: Live) -> None:
    live = served
    gate = live.gate("gate")
    program = (
        "print('first\\n\\nthird')\nprint('x' * 100_000)\nsys.stdout.buffer.write(b'\\xff\\xc3')\n"
        "open(ROOT / 'gate').read()\nprint('\\N{SNOWMAN}', file=sys.stderr)\nsys.stdout.buffer.write(b'\\xa9 end')"
    )
    live.skill("streams", program)
    activation = live.detach("streams")
    until(lambda: live.attempts("streams"), "an attempt")
    with answer(live, f"/tasks/{task_of(live, 'streams')}/logs?follow=true") as found:
        assert found.headers["content-type"].startswith("text/event-stream")
        text = b""
        while b"\\ufffd" not in text:
            text += found.read1()
        live.release(gate)
        text += found.read()
    logs = []
    for event in text.decode("ascii").removesuffix("\n\n").split("\n\n"):
        assert event.startswith("data: "), "one line, and nothing but data"
        assert len(event) < 65_536
        value = json.loads(event[6:])
        assert list(value) == ["log"]
        assert value["log"]
        logs.append(value["log"])
    words = [line for log in logs for line in log.split("\n") if line and set(line) != {"x"}]
    assert words[:2] == ["first", "third"], "in one event or in several: a follower reads what is there"
    assert "".join(line for log in logs for line in log.split("\n") if set(line) == {"x"}) == "x" * 100_000
    assert sorted(words[2:]) == sorted(["�", "☃", "é end"])
    live.wait(activation)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_long_log_costs_no_memory_and_a_late_follower_has_read_it_all(live: Live) -> None:
    gate = live.gate("gate")
    size = 50_000_000
    program = (
        "block = b''.join(b'%098d\\n' % number for number in range(1000))\n"
        f"for number in range({size} // len(block)): os.write(2, block)\n"
        "open(ROOT / 'gate').read()\nprint('done')"
    )
    live.skill("floods", program)
    live.skill("says", "print('a line', file=sys.stderr)")
    live.invoke("says")
    small = peak(live, "says", live.root / "small")
    before = resident(live.owner())
    activation = live.detach("floods")
    (directory,) = until(lambda: live.attempts("floods"), "an attempt")
    until(lambda: (directory / "stderr").stat().st_size >= size - 99_000, "it is printed")
    live.release(gate)
    large = peak(live, "floods", live.root / "large", "--follow")
    printed = (directory / "stderr").read_bytes()
    assert (live.root / "large").read_bytes() == printed
    assert len(printed) > 49_000_000
    assert resident(live.owner()) - before < 25_000
    assert large - small < 25_000
    live.wait(activation)


def resident(pid: int) -> int:
    """Return the peak memory of a process in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def peak(live: Live, skill: str, to: Path, *words: str) -> int:
    """Print the stderr of a task to a file; return the command's peak memory in KiB."""
    with open(to, "wb") as file:
        process = subprocess.Popen(
            [COMMAND, "tasks", "logs", skill, "--stream", "stderr", *words],
            stderr=file,
            cwd=live.root,
            env=live.environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_the_text_of_a_long_log_says_that_there_is_more(served: Live) -> None:
    live = served
    live.skill("long", "print('done', end=''); print('x' * (1 << 20) + 'y', file=sys.stderr)")
    live.invoke("long")
    task = task_of(live, "long")
    shown = json.loads(raw(live, f"/tasks/{task}/logs"))
    assert shown["truncated"]
    assert shown["logs"].endswith(f"x\n[There is more: fabric-jobs tasks logs {task} --attempt 1]\n")
    head, _, text = raw(live, f"/tasks/{task}/logs/page?stream=stderr").partition(b"\n")
    assert json.loads(head)["more"]
    assert text == b"x" * (1 << 20)
    at = json.loads(head)["parts"][0][1] / 1000
    assert abs(datetime.now(UTC).timestamp() - at) < 3600
    for query in ("cursor=x", "stream=x", "since=x", "wait=61", "attempt=x"):
        assert refused(live, f"/tasks/{task}/logs/page?{query}") == 400
