"""The owner process: one at a time, started on demand, in the foreground or the background, gone when idle."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fabric_jobs import state_dir as places
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.runtime.cortex_worker.ports import free_port
from fabric_jobs.runtime.fabric_skill.http import Connection
from tests.acceptance.live import COMMAND, PROJECT, Live, is_alive, names, until

ECHO = "print(message()['payload'], end='')"
HELD = "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()\nprint('through', end='')"


def end(pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(pid, number)
    until(lambda: not is_alive(pid), "the end of the owner")


def test_commands_that_start_at_once_share_one_owner(live: Live) -> None:
    live.skill("who", "print(os.environ['FABRIC_JOBS_SOCKET'], message()['apiEndpoint'], end='')")
    started = [live.start("skills", "invoke", "who", "--payload", "1", "-o", "json") for _ in range(6)]
    ran = [process.finish() for process in started]
    assert {result.code for result in ran} == {0}, ran
    assert len({result.value["response"] for result in ran}) == 1
    assert len(live.ok("activations", "list", "-o", "json").value) == 6


def test_an_idle_owner_ends_and_the_next_command_works(tmp_path: Path) -> None:
    live = Live(tmp_path / "w", idle_seconds=0.1)
    try:
        live.skill("echo", ECHO)
        first = live.invoke("echo", 1)["activationId"]
        until(lambda: live.address() is None, "the owner forgets its address")
        assert live.invoke("echo", 2)["response"] == "2"
        assert first in names(live.ok("activations", "list", "-o", "json").value, "activationId")
        until(lambda: live.address() is None, "the owner forgets its address")
    finally:
        live.close()


def test_commands_meet_an_owner_that_is_about_to_end(tmp_path: Path) -> None:
    """The owner ends as soon as it is idle, so every command meets one that starts, works or ends."""
    live = Live(tmp_path / "w", idle_seconds=0.0)
    try:
        live.skill("echo", ECHO)

        def some(worker: int) -> list[str]:
            return [live.ok("skills", "invoke", "echo", "--payload", f"{worker}{n}").out for n in range(6)]

        with ThreadPoolExecutor(2) as pool:
            outs = list(pool.map(some, (1, 2)))
        assert outs == [[f"{worker}{n}\n" for n in range(6)] for worker in (1, 2)]
    finally:
        live.close()


def test_an_owner_stays_while_something_is_under_way(tmp_path: Path) -> None:
    live = Live(tmp_path / "w", idle_seconds=0.1)
    try:
        gate = live.gate("gate")
        live.skill("held", HELD)
        live.skill("echo", ECHO)
        activation = live.detach("held")
        until((live.root / "began").exists, "the job runs")
        pid = live.owner()
        for _ in range(3):
            live.invoke("echo")  # takes longer than the owner would stay
        assert live.owner() == pid
        live.release(gate)
        assert live.wait(activation)["response"] == "through"
        until(lambda: not is_alive(pid), "the end of the owner")
    finally:
        live.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_is_used_by_commands_until_a_signal(live: Live, number: signal.Signals) -> None:
    live.skill("echo", ECHO)
    serving = live.start("serve")
    serving.wait_for("Serving")
    assert live.owner() == serving.pid
    assert live.invoke("echo", 1)["response"] == "1"
    assert live.owner() == serving.pid
    serving.signal(number)
    ran = serving.finish()
    assert ran.code == 0
    assert live.address() is None
    assert "http://127.0.0.1:" in ran.err
    assert live.invoke("echo", 2)["response"] == "2"


def test_serve_does_not_end_when_idle_unless_asked(tmp_path: Path) -> None:
    live = Live(tmp_path / "w", idle_seconds=0.05)
    try:
        live.skill("echo", ECHO)
        assert live.start("serve", "--until-idle").finish().code == 0
        serving = live.start("serve")
        serving.wait_for("Serving")
        live.start(
            "serve", "--until-idle", "--state-dir", str(tmp_path / "other")
        ).finish()  # as long as an idle one takes
        assert live.owner() == serving.pid
        assert live.invoke("echo", 1)["response"] == "1"
    finally:
        live.close()


def test_a_second_serve_says_who_serves(live: Live) -> None:
    serving = live.start("serve")
    serving.wait_for("Serving")
    said = live.fails(2, "serve")
    assert f"another process already serves {live.state}" in said
    assert live.owner() == serving.pid
    assert live.get("/skills")["success"] is True


def test_serve_takes_over_from_an_idle_owner(tmp_path: Path) -> None:
    live = Live(tmp_path / "w", idle_seconds=600)  # longer than the test
    try:
        live.skill("echo", ECHO)
        assert live.invoke("echo", 1)["response"] == "1"
        idle = live.owner()
        serving = live.start("serve")
        serving.wait_for("Serving")
        assert live.owner() == serving.pid != idle
        assert live.invoke("echo", 2)["response"] == "2"
    finally:
        live.close()


def test_serve_does_not_take_over_while_an_activation_runs(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("held", HELD)
    activation = live.detach("held")
    until((live.root / "began").exists, "the job runs")
    owner = live.owner()
    assert "ends once its activations have ended" in live.fails(2, "serve")
    assert live.owner() == owner
    live.release(gate)
    assert live.wait(activation)["status"] == "COMPLETE"


def test_an_owner_is_not_retired_over_tcp(live: Live) -> None:
    live.ok("tasks", "list")
    address = live.address()
    assert address is not None
    request = urllib.request.Request(
        f"{address.url}/fabric/v4/projects/local/state/retire",
        data=b"{}",
        headers={"Authorization": f"Bearer {address.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"success": True, "ending": False}
    assert live.owner() == address.pid


def test_jobs_go_on_when_serve_ends_and_the_next_owner_completes_them(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("held", HELD)
    live.skill("after", "print(message()['payload'] + ' and on', end='')")
    live.agent("pair", ("input", "held"), ("held", "after"), ("after", "output"))
    serving = live.start("serve")
    serving.wait_for("Serving")
    activation = live.detach("pair", kind="agents")
    until((live.root / "began").exists, "the job runs")
    serving.signal(signal.SIGTERM)
    assert serving.finish().code == 0
    assert not (live.attempts("held")[0] / "exit").exists()

    live.release(gate)
    again = live.start("serve")
    again.wait_for("Serving")
    assert live.wait(activation)["response"] == "through and on"
    assert live.owner() == again.pid


def test_a_stream_outlasts_several_owners(live: Live) -> None:
    """A runtime skill that has lost its gateway goes on with the next one, at whatever address."""
    live.skill("source", "for n in range(3000): send_message(n)\nflush(); (ROOT / 'sent').touch()")
    program = """
    for n in messages():
        if n % 1000 == 0:
            (ROOT / f"at-{n}").touch()
            open(ROOT / f"gate-{n}").read()
        send_message(n)
    """
    live.skill("slow", program, receives="stream")
    live.agent("line", ("input", "source"), ("source", "slow"), ("slow", "output"))
    gates = {n: live.gate(f"gate-{n}") for n in (0, 1000, 2000)}
    activation = live.detach("line", kind="agents")
    until((live.root / "sent").exists, "all is sent")
    for n, gate in gates.items():
        until((live.root / f"at-{n}").exists, f"record {n} is there")
        end(live.owner())
        live.release(gate)
        live.ok("tasks", "list")
    assert live.wait(activation)["response"]["count"] == 3000
    lines = live.ok("activations", "response", activation).out.split()
    assert lines == [str(n) for n in range(3000)]
    assert live.ok("tasks", "show", "slow", "-o", "json").value["attempt"] == 1


def test_an_owner_that_ends_while_a_command_waits_is_replaced(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("held", HELD)
    waiting = live.start("skills", "invoke", "held", "--payload", "1")
    until((live.root / "began").exists, "the job runs")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        before = live.owner()
        end(before, number)
        until(lambda b=before: (found := live.address()) is not None and found.pid != b, "the next owner")  # type: ignore[misc]
    live.release(gate)
    ran = waiting.finish()
    assert (ran.code, ran.out) == (0, "through\n")


def test_the_port_is_kept_from_owner_to_owner(live: Live) -> None:
    live.ok("tasks", "list")
    url = live.published().url
    end(live.owner(), signal.SIGKILL)
    live.ok("tasks", "list")
    assert live.published().url == url
    end(live.owner())
    serving = live.start("serve")
    serving.wait_for(url)


def test_a_kept_port_that_is_taken_meanwhile_is_replaced(live: Live) -> None:
    live.skill("echo", ECHO)
    live.ok("tasks", "list")
    host, _, port = live.published().url.removeprefix("http://").partition(":")
    end(live.owner())
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        assert live.invoke("echo", 1)["response"] == "1"
        assert not live.published().url.endswith(f":{port}")


def test_serve_listens_where_it_is_told_to(live: Live) -> None:
    port = free_port()
    serving = live.start("serve", "--port", port)
    serving.wait_for(f"http://127.0.0.1:{port}")
    address = live.published()
    connection = Connection(("127.0.0.1", port), address.token)
    assert connection.request("GET", f"{PROJECT}/skills", timeout=30).status == 200
    connection.close()


def test_what_a_dead_owner_left_behind_is_no_obstacle(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    end(live.owner(), signal.SIGKILL)
    assert live.address() is not None
    (live.state / "owner.json").write_text("{half")
    assert live.invoke("echo", 1)["response"] == "1"
    end(live.owner(), signal.SIGKILL)
    (live.state / "owner.json").unlink()
    (live.state / "owner.json").mkdir()
    said = live.run("tasks", "list")
    assert said.code in (0, 5)
    (live.state / "owner.json").rmdir() if (live.state / "owner.json").is_dir() else None
    assert live.invoke("echo", 2)["response"] == "2"


def test_an_owner_that_hangs_is_an_error_that_names_the_lock(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric_jobs.client.owner.PATIENCE_SECONDS", 0.3)
    live.state.mkdir()
    with open(live.state / "owner.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PlaceUnavailable, match="does not answer") as raised:
            Gateway(live.state).get("/tasks")
    assert "owner.lock" in raised.value.hint


def post(live: Live, skill: str, query: str = "") -> str:
    connection = Connection(live.published().socket, live.published().token)
    path = f"{PROJECT}/skillinvoke/{skill}/inputs/request{query}"
    answer = connection.request("POST", path, json.dumps({"payload": 1}).encode(), timeout=60)
    connection.close()
    return str(json.loads(answer.body)["activationId"])


def test_a_silent_engine_holds_up_neither_local_jobs_nor_the_end_of_the_owner(tmp_path: Path) -> None:
    """The engine accepts connections, but never answers."""
    live = Live(tmp_path / "w", idle_seconds=600)
    try:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(tmp_path / "silent"))
            silent.listen(64)
            live.skill("echo", ECHO)
            live.ok("skills", "invoke", "echo", "--payload", "1", DOCKER_HOST=f"unix://{tmp_path / 'silent'}")
            held = post(live, "echo", "?executor=docker")
            until(
                lambda: "sends nothing" in live.progress(held)["echo"]["note"],
                "it is told that the place is silent",
            )
            began = time.monotonic()
            for _ in range(3):
                assert live.wait(post(live, "echo"))["response"] == "1"
            assert time.monotonic() - began < 30, "it was held up by the other place"
            began = time.monotonic()
            end(live.owner())
            assert time.monotonic() - began < 5.5
    finally:
        live.close()


def test_where_open_files_are_few_attempts_start_later(tmp_path: Path) -> None:
    """The owner reports its limit once, and every stream completes."""
    live = Live(tmp_path / "w", idle_seconds=600)
    try:
        live.skill("reads", "for n in messages(): send_message(n)", receives="stream")
        words = [str(COMMAND), "skills", "invoke", "reads", "--payload", "1"]
        limited = ["/bin/sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *words]
        environment = {**os.environ, "FABRIC_JOBS_IDLE_SECONDS": "600"}
        subprocess.run(limited, cwd=live.root, env=environment, check=True, capture_output=True)
        started = [post(live, "reads") for _ in range(12)]
        assert {live.wait(activation)["status"] for activation in started} == {"COMPLETE"}
        said = places.log_file(live.root / ".fabric-jobs").read_text().splitlines()
        assert sum("files that one process may open" in line for line in said) == len(said) <= 8
    finally:
        live.close()
