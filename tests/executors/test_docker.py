"""The Docker executor: the contract with real containers, the ends of programs, and what they may do."""

from __future__ import annotations

import errno
import json
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import EXECUTORS, attempt_files
from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, STOPPED, AttemptExit, Limits
from fabric_jobs.executors.docker import DockerExecutor, life
from tests.acceptance.live import until
from tests.docker_place import needs_docker
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.docker_driver import DockerDriver, spec_of
from tests.executors.docker_driver import docker_driver as docker_driver

pytestmark = needs_docker

MEBIBYTE = 1 << 20
# It writes to the memory, since memory that is only reserved costs nothing.
GREEDY = f"taken = bytearray(300 * {MEBIBYTE})"


class TestDocker(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
        made = DockerDriver(tmp_path, monkeypatch)
        yield made
        made.close()


@pytest.fixture
def running(driver: DockerDriver) -> Running:
    spec = driver.spec("attempt-1")
    return Running(spec, driver.executor.start(spec))


def test_it_is_found_by_its_name(tmp_path: Path) -> None:
    executor = EXECUTORS["docker"](tmp_path, None)
    assert executor.name == "docker"
    executor.close()


# Ends


@pytest.mark.parametrize("code", [0, 1, 3, 75, 255])
def test_the_exit_code_of_the_program(driver: DockerDriver, code: int) -> None:
    assert driver.run(spec_of("/bin/sh", "-c", f"exit {code}"))[0] == AttemptExit(code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_is_128_and_its_number(driver: DockerDriver, number: signal.Signals) -> None:
    code = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), {int(number)})"
    assert driver.run(spec_of("python3", "-c", code))[0] == AttemptExit(128 + number)


def test_a_program_that_handles_the_request_ends_with_its_own_code(driver: DockerDriver, running: Running) -> None:
    driver.order(running, "trap 'echo cleaned; exit 9' TERM")
    driver.order(running, "sleep 1000 &")
    driver.order(running, "wait", wait=False)
    driver.executor.stop(running.handle, 30)
    assert ended(driver.executor, running.handle) == AttemptExit(9, STOPPED)
    assert driver.output(running.handle) == (b"cleaned\n", b"")


def test_a_stop_right_after_the_start_is_heard(driver: DockerDriver) -> None:
    for number in range(3):
        spec = driver.spec(f"early-{number}")
        handle = driver.executor.start(spec)
        driver.executor.stop(handle, 5)
        assert ended(driver.executor, handle).reason == STOPPED
    until(lambda: not driver.containers(), "no container is left")


def test_many_that_do_not_listen_end_together_and_no_thread_waits_for_each(driver: DockerDriver) -> None:
    many = [Running(spec, driver.executor.start(spec)) for spec in map(driver.spec, map("deaf-{}".format, range(4)))]
    for running in many:
        driver.deafen(running)
    before, began = threading.active_count(), time.monotonic()
    for running in many:
        driver.executor.stop(running.handle, 0.5)
    assert threading.active_count() <= before
    assert time.monotonic() - began < 0.5, "whoever stops does not wait for the end"
    for running in many:
        assert ended(driver.executor, running.handle) == AttemptExit(137, STOPPED)
    until(lambda: not driver.containers(), "no container is left")


def test_children_end_with_the_program(driver: DockerDriver, running: Running) -> None:
    driver.order(running, "sleep 1000 &")
    driver.end(running, 4)
    assert ended(driver.executor, running.handle) == AttemptExit(4)
    until(lambda: not driver.containers(), "no container is left")


# Limits


def test_what_takes_more_memory_than_it_may_is_told_so(driver: DockerDriver) -> None:
    spec = spec_of("python3", "-c", GREEDY, limits=Limits(memory=64 * MEBIBYTE))
    assert driver.run(spec)[0] == AttemptExit(137, OUT_OF_MEMORY)


def test_a_program_that_survives_its_greedy_child_has_not_failed(driver: DockerDriver) -> None:
    code = f'import subprocess, sys; print(subprocess.run([sys.executable, "-c", "{GREEDY}"]).returncode)'
    ran = driver.run(spec_of("python3", "-c", code, limits=Limits(memory=64 * MEBIBYTE)))
    assert ran == (AttemptExit(0), b"-9\n", b"")


def test_what_a_program_may_do_is_what_the_engine_was_told(driver: DockerDriver) -> None:
    spec = driver.spec("attempt-1")
    process = spec.processes[0]
    limited = spec_of(*process.command, workspace=process.workspace, limits=Limits(cpu=0.5, memory=64 * MEBIBYTE))
    running = Running(limited, driver.executor.start(limited))
    driver.order(running, ":")
    found = driver.inspect(running)["HostConfig"]
    assert found["NanoCpus"] == 500_000_000
    assert found["Memory"] == found["MemorySwap"] == 64 * MEBIBYTE
    assert found["CapDrop"] == ["ALL"]
    assert found["SecurityOpt"] == ["no-new-privileges"]
    assert found["Privileged"] is False
    assert found["NetworkMode"] == "fabric-jobs"


def test_a_program_has_no_rights_beside_those_of_its_files(driver: DockerDriver) -> None:
    found, stdout, _ = driver.run(spec_of("grep", "-E", "CapEff|CapBnd|NoNewPrivs", "/proc/self/status"))
    assert found == AttemptExit(0)
    assert {line.split()[1] for line in stdout.splitlines()} == {b"0000000000000000", b"1"}


# What a program sees


@pytest.mark.parametrize("name", ["workspace", "link"])
def test_the_state_directory_is_hidden_from_programs(driver: DockerDriver, tmp_path: Path, name: str) -> None:
    state = tmp_path / "workspace" / ".fabric-jobs"
    state.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "workspace")
    workspace = tmp_path / name
    (state / "owner.json").write_text("secret")
    (workspace / "input").write_text("visible")
    executor = DockerExecutor(state / "attempts")
    code = 'cat input; ls -A .fabric-jobs; touch .fabric-jobs/mine || echo refused; touch "$1"/result'
    spec = spec_of("/bin/sh", "-c", f'cd "$1"; {code}', "sh", str(workspace), workspace=str(workspace))
    handle = executor.start(spec)
    assert ended(executor, handle) == AttemptExit(0)
    assert executor.logs(handle, "stdout", 0, 100) == b"visiblerefused\n"
    assert (state / "owner.json").read_text() == "secret"
    assert (workspace / "result").exists()
    executor.close()


def test_the_runtime_layer_and_the_files_can_be_read_and_not_written(driver: DockerDriver) -> None:
    code = """
import os, fabric_skill
from pathlib import Path
from typing import Any
layer, files = Path(fabric_skill.__file__).parent, Path("/run/fabric-jobs/files")
print((files / "payload.json").read_text())
for place in (layer, files):
    try:
        (place / "mine").write_text("")
    except OSError as error:
        print(error.strerror)
"""
    ran = driver.run(spec_of("python3", "-c", code, files={"payload.json": b'{"a": 1}'}))
    assert ran == (AttemptExit(0), b'{"a": 1}\n' + b"Read-only file system\n" * 2, b"")


def test_variables_reach_the_program_as_they_are(driver: DockerDriver) -> None:
    values = {"ONE": "a = b", "TWO": "line\nline", "THREE": "hä $HOME `id`", "FOUR": ""}
    code = "import json, os, sys; print(json.dumps({name: os.environ.get(name) for name in sys.argv[1:]}))"
    found, stdout, stderr = driver.run(spec_of("python3", "-c", code, *values, environment=values))
    assert found == AttemptExit(0), stderr
    assert json.loads(stdout) == values


@pytest.mark.parametrize("message", ['{"a": "$HOME `id` \\"q\\""}', "", "-c", "two\nlines", "x" * 100_000])
def test_a_message_reaches_the_program_as_it_is(driver: DockerDriver, message: str) -> None:
    code = "import sys; sys.stdout.write(sys.argv[-1])"
    ran = driver.run(spec_of("python3", "-c", code, arguments=(message,)))
    assert ran == (AttemptExit(0), message.encode(), b"")


# Programs that cannot be started


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"image": "fabric-jobs-tests/never-built:1"},
            "the image fabric-jobs-tests/never-built:1 is not on this engine",
        ),
        ({"image": "Not An Image"}, "'Not An Image' is not a valid image"),
        ({"image": "UPPER/case:1"}, "'UPPER/case:1' is not a valid image"),
        ({"image": ""}, "the action has no image"),
    ],
    ids=["missing image", "no name", "upper case", "no image"],
)
def test_what_cannot_be_started_says_why(driver: DockerDriver, changes: dict[str, Any], said: str) -> None:
    found, stdout, stderr = driver.run(spec_of("true", **changes))
    assert found == AttemptExit(125, NOT_STARTED)
    assert stdout == b""
    assert said in stderr.decode()
    until(lambda: not driver.containers(), "no container is left")


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [("no-such-program", 127, b"No such file or directory"), ("/etc/hostname", 126, b"Permission denied")],
    ids=["missing", "no program"],
)
def test_a_command_that_is_no_program_ends_as_in_a_shell(
    driver: DockerDriver, program: str, code: int, said: bytes
) -> None:
    found, _, stderr = driver.run(spec_of(program))
    assert found == AttemptExit(code)
    assert program.encode() in stderr
    assert said in stderr


def test_the_next_attempt_is_not_spoilt_by_the_one_before(driver: DockerDriver) -> None:
    assert driver.run(spec_of("true", image="fabric-jobs-tests/never-built:1"))[0].reason == NOT_STARTED
    assert driver.run(spec_of("echo", "here", name="attempt-2"))[:2] == (AttemptExit(0), b"here\n")


# A bad or full disk


def test_an_emptied_spec_is_a_lost_attempt_and_its_container_goes(driver: DockerDriver, running: Running) -> None:
    driver.say(running, stdout=b"runs\n")
    driver.executor.close()
    (Path(running.handle) / "spec.json").write_text("")
    other = driver.anew()
    assert ended(other, running.handle) == AttemptExit(None, LOST)
    assert not driver.containers()


def test_an_emptied_exit_is_a_lost_attempt_of_which_nothing_is_left(driver: DockerDriver, running: Running) -> None:
    driver.say(running, stdout=b"runs\n")
    driver.executor.close()
    (Path(running.handle) / "exit").write_text("")
    other = driver.anew()
    assert ended(other, running.handle) == AttemptExit(None, LOST)
    assert not driver.containers()


def test_a_stop_that_cannot_write_is_to_be_tried_again(
    driver: DockerDriver, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.say(running, stdout=b"runs\n")

    def full(path: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(attempt_files, "mark", full)
        with pytest.raises(ExecutorUnavailable, match="Too many open files"):
            driver.executor.stop(running.handle, 0)
    assert driver.executor.poll(running.handle) is None
    driver.executor.stop(running.handle, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(137, STOPPED)


def test_used_up_descriptors_do_not_end_the_thread_that_watches(
    driver: DockerDriver, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.say(running, stdout=b"runs\n")
    driver.executor.close()
    monkeypatch.setattr(life, "AGAIN_SECONDS", 0.01)
    other = driver.anew()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        watching = other._life(Path(running.handle))
        until(lambda: watching.trouble, "it cannot open a file")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    until(lambda: watching.trouble is None, "it looks after the container again")
    driver.end(running, 4)
    assert ended(other, running.handle) == AttemptExit(4)
