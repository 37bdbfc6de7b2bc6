"""The local executor: the contract with real processes, and what else can happen to them on a machine."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fabric_jobs
from fabric_jobs import state_dir
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import EXECUTORS
from fabric_jobs.executors.base import LOST, STOPPED, AttemptExit, AttemptSpec, ProcessSpec
from fabric_jobs.executors.local import LocalExecutor
from fabric_jobs.executors.local.shim import proc
from tests.acceptance.live import until
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.drivers import LocalDriver


class TestLocal(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        made = LocalDriver(tmp_path)
        yield made
        made.close()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[LocalDriver]:
    made = LocalDriver(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(driver: LocalDriver) -> Running:
    spec = driver.spec("attempt-1")
    return Running(spec, driver.executor.start(spec))


def spec_of(directory: Path, *command: str, name: str = "attempt-1", **changes: object) -> AttemptSpec:
    directory.mkdir(exist_ok=True)
    files = changes.pop("files", {})
    process = ProcessSpec(directory=directory, command=command, **changes)  # type: ignore[arg-type]
    return AttemptSpec(name=name, processes=(process,), files=files)  # type: ignore[arg-type]


def run(driver: LocalDriver, spec: AttemptSpec) -> tuple[AttemptExit, str, str]:
    """Run an attempt to its end; return its exit and its output."""
    handle = driver.executor.start(spec)
    found = ended(driver.executor, handle)
    stdout, stderr = (driver.executor.logs(handle, stream, 0, 1 << 20).decode() for stream in ("stdout", "stderr"))
    return found, stdout, stderr


def is_alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def await_death(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([descriptor], [], [], 30)
    os.close(descriptor)
    assert ready, f"process {pid} lives on"


def test_it_is_found_by_its_name(tmp_path: Path) -> None:
    executor = EXECUTORS["local"](tmp_path / "attempts", None)
    assert executor.name == "local"
    executor.close()


# Ends


@pytest.mark.parametrize("code", [0, 1, 3, 75, 255])
def test_the_exit_code_of_the_program(driver: LocalDriver, tmp_path: Path, code: int) -> None:
    assert run(driver, spec_of(tmp_path, "/bin/sh", "-c", f"exit {code}"))[0] == AttemptExit(code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_128_and_its_number(driver: LocalDriver, tmp_path: Path, number: signal.Signals) -> None:
    code = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), {int(number)})"
    assert run(driver, spec_of(tmp_path, "python", "-c", code))[0] == AttemptExit(128 + number)


def test_a_program_that_handles_the_request_ends_with_its_own_code(driver: LocalDriver, running: Running) -> None:
    driver.order(running, "trap 'echo cleaned; exit 9' TERM")
    driver.order(running, "sleep 1000 &", wait=True)
    driver.order(running, "wait", wait=False)
    driver.executor.stop(running.handle, 30)
    assert ended(driver.executor, running.handle) == AttemptExit(9, STOPPED)
    assert driver.executor.logs(running.handle, "stdout", 0, 100) == b"cleaned\n"


def test_every_process_of_a_program_is_asked(driver: LocalDriver, running: Running) -> None:
    place = driver.place("attempt-1")
    driver.order(running, f"sleep 1000 & echo $! >{place}/child")
    driver.executor.stop(running.handle, 30)
    await_death(int((place / "child").read_text()))


def test_a_program_that_does_not_listen_is_killed_with_its_children(driver: LocalDriver, running: Running) -> None:
    place = driver.place("attempt-1")
    driver.order(running, f"trap '' TERM; sleep 1000 & echo $! >{place}/child")
    driver.executor.stop(running.handle, 0.1)
    assert ended(driver.executor, running.handle) == AttemptExit(137, STOPPED)
    await_death(int((place / "child").read_text()))


def test_a_stop_right_after_the_start_is_heard(driver: LocalDriver) -> None:
    for number in range(5):
        spec = driver.spec(f"early-{number}")
        handle = driver.executor.start(spec)
        driver.executor.stop(handle, 5)
        assert ended(driver.executor, handle).reason == STOPPED


def test_children_that_outlive_the_program_do_not_keep_it_running(driver: LocalDriver, running: Running) -> None:
    place = driver.place("attempt-1")
    driver.order(running, f"sleep 1000 & echo $! >{place}/child")
    driver.end(running, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    assert is_alive(int((place / "child").read_text()))


# Processes of an attempt, in its group and outside, with its mark and without.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
kind, place = sys.argv[1:]
if kind == "own session":
    os.setsid()
with open(place, "w") as said:
    said.write(str(os.getpid()))
time.sleep(1000)
"""


def begin_stubborn(driver: LocalDriver, running: Running, kind: str) -> int:
    """Let the program start a child that ignores requests to end; return its pid."""
    place = driver.place(running.spec.name)
    (place / "stubborn.py").write_text(STUBBORN)
    begun = place / f"begun-{kind.replace(' ', '-')}"
    os.mkfifo(begun)
    clear = "env -i " if kind == "no mark" else ""
    driver.order(running, f"{clear}{sys.executable} {place}/stubborn.py '{kind}' {begun} &")
    return int(begun.read_text())


@pytest.mark.parametrize("kind", ["own session", "own group", "no mark"])
def test_a_stop_ends_what_outlives_the_program_after_the_grace(
    driver: LocalDriver, running: Running, kind: str
) -> None:
    child = begin_stubborn(driver, running, kind)
    driver.executor.stop(running.handle, 0.2)
    assert ended(driver.executor, running.handle) == AttemptExit(143, STOPPED)
    assert not is_alive(child)


def test_a_stopped_attempt_has_not_ended_while_something_of_it_lives(driver: LocalDriver, running: Running) -> None:
    child = begin_stubborn(driver, running, "own session")
    program = driver.program(running)
    driver.executor.stop(running.handle, 1000.0)
    await_death(program)
    assert driver.executor.poll(running.handle) is None
    assert driver.anew().poll(running.handle) is None
    assert is_alive(child)
    driver.executor.stop(running.handle, 0.0)
    assert ended(driver.executor, running.handle) == AttemptExit(143, STOPPED)
    assert not is_alive(child)


@pytest.mark.parametrize("kind", ["own session", "own group"])
def test_a_stop_after_a_good_end_takes_what_was_left(driver: LocalDriver, running: Running, kind: str) -> None:
    child = begin_stubborn(driver, running, kind)
    driver.end(running, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    assert is_alive(child)
    driver.anew().stop(running.handle, 0)
    await_death(child)
    assert driver.executor.poll(running.handle) == AttemptExit(0)


@pytest.mark.parametrize("kind", ["own session", "own group", "no mark"])
def test_a_bad_end_takes_what_it_left_before_anybody_is_told(driver: LocalDriver, running: Running, kind: str) -> None:
    child = begin_stubborn(driver, running, kind)
    driver.end(running, 3)
    assert ended(driver.executor, running.handle) == AttemptExit(3)
    assert not is_alive(child)


def test_what_a_good_end_leaves_running_is_remarked(driver: LocalDriver, running: Running) -> None:
    child = begin_stubborn(driver, running, "own session")
    driver.end(running, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    (remark,) = driver.executor.note(running.handle).remarks
    assert f"(process {child})" in remark
    assert "stubborn.py" in remark
    assert is_alive(child)


def test_a_killed_shim_loses_its_attempts_and_nothing_of_them_lives(driver: LocalDriver, running: Running) -> None:
    children = {kind: begin_stubborn(driver, running, kind) for kind in ("own session", "no mark")}
    orphans = [driver.program(running), *children.values()]
    os.kill(driver.shim(running), signal.SIGKILL)
    assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)
    assert not any(map(is_alive, orphans))
    assert driver.anew().poll(running.handle) == AttemptExit(None, LOST)
    spec = driver.spec("the-next-1")
    again = Running(spec, driver.executor.start(spec))
    driver.end(again, 0)
    assert ended(driver.executor, again.handle) == AttemptExit(0)


def test_a_stranger_that_got_the_number_of_a_program_is_never_signalled(driver: LocalDriver, running: Running) -> None:
    """After a restart of the machine, the pid in `begun` may belong to any process."""
    begun = Path(running.handle) / "begun"
    program = driver.program(running)
    os.kill(driver.shim(running), signal.SIGKILL)
    os.killpg(program, signal.SIGKILL)
    await_death(program)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        shim, _, started, inode = begun.read_text().split()
        begun.write_text(f"{shim}\n{stranger.pid} {int(started) - 1} {inode}\n")
        driver.executor.stop(running.handle, 0)
        assert ended(driver.executor, running.handle).reason == STOPPED
        stranger.terminate()
        assert stranger.wait() == -signal.SIGTERM, "it was not killed before"


def test_an_attempt_outlives_a_starter_that_is_killed(driver: LocalDriver, tmp_path: Path) -> None:
    driver.spec("attempt-1")  # makes the pipes
    starter = """
import os, signal, sys
from pathlib import Path
from tests.executors.drivers import LocalDriver
driver = LocalDriver(Path(sys.argv[1]))
print(driver.executor.start(driver.spec("attempt-1")), flush=True)
signal.pause()
"""
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", starter, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        handle = process.stdout.readline().strip()
        running = Running(driver.spec("attempt-1"), handle)
        driver.say(running, stdout=b"before\n")
        process.kill()
        process.wait()
    assert driver.executor.poll(handle) is None
    driver.say(running, stdout=b"after\n")
    driver.end(running, 3)
    assert ended(driver.executor, handle) == AttemptExit(3)
    assert driver.executor.logs(handle, "stdout", 0, 100) == b"before\nafter\n"


@pytest.mark.parametrize("half", ["", "1", "\0\0\0\0"])
def test_half_an_exit_code_is_lost(driver: LocalDriver, running: Running, half: str) -> None:
    driver.vanish(running)
    assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)
    (Path(running.handle) / "exit").write_text(half)
    assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)


# What the program sees


def test_the_arguments_come_last_and_as_they_are(driver: LocalDriver, tmp_path: Path) -> None:
    message = '{"payload": "it\'s $HOME \\n \\"quoted\\" \n žluť"}'
    code = "import sys; print(ascii(sys.argv[1:]))"
    _, stdout, _ = run(driver, spec_of(tmp_path, "python", "-c", code, "--fast", arguments=(message,)))
    assert stdout.strip() == ascii(["--fast", message])


def test_it_runs_in_its_directory_with_its_variables_and_nothing_on_stdin(driver: LocalDriver, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), os.environ['MINE'], os.environ['PYTHONUNBUFFERED'], sys.stdin.read())"
    home = tmp_path / "a directory"
    _, stdout, _ = run(driver, spec_of(home, "python", "-c", code, environment={"MINE": "a b", "EMPTY": ""}))
    assert stdout.strip() == f"{home} a b 1"


def test_python_means_the_interpreter_that_we_run_in(driver: LocalDriver, tmp_path: Path) -> None:
    for number, word in enumerate(("python", "python3")):
        code = "import sys; print(sys.executable)"
        _, stdout, _ = run(driver, spec_of(tmp_path, word, "-c", code, name=f"a-{number}"))
        assert stdout.strip() == sys.executable


def test_the_runtime_layer_comes_first_on_the_python_path(
    driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    code = "import fabric_skill, os; print(os.environ['PYTHONPATH'])"
    _, stdout, stderr = run(driver, spec_of(tmp_path, "python", "-c", code, environment={"PYTHONPATH": "/theirs"}))
    assert stderr == ""
    first, *others = stdout.strip().split(os.pathsep)
    assert first.endswith("fabric_jobs/runtime")
    assert others == ["/ours", "/theirs"]


def test_its_files_are_where_they_are_said_to_be(driver: LocalDriver, tmp_path: Path) -> None:
    code = "import os, sys; print(open(sys.argv[1]).read(), open(os.environ['WHERE']).read())"
    files = driver.executor.inside("attempt-1").files
    spec = spec_of(
        tmp_path, "python", "-c", code, f"{files}/a.json", files={"a.json": b'"a"', "b": b"b"},
        environment={"WHERE": f"{files}/b"},
    )  # fmt: skip
    assert run(driver, spec)[1].strip() == '"a" b'


# What cannot be started


def refused(driver: LocalDriver, spec: AttemptSpec) -> str:
    with pytest.raises(InvalidInput) as caught:
        driver.executor.start(spec)
    assert driver.executor.poll(str(driver._root / spec.name)) == AttemptExit(None, LOST)
    return str(caught.value)


def test_an_argument_that_is_too_long_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    assert "too long" in refused(driver, spec_of(tmp_path, "true", arguments=("x" * 200_000,)))


def test_a_null_byte_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    assert "null" in refused(driver, spec_of(tmp_path, "true", arguments=("a\0b",)))


def test_a_directory_that_is_missing_is_refused_by_name(driver: LocalDriver, tmp_path: Path) -> None:
    process = ProcessSpec(directory=tmp_path / "gone", command=("true",))
    message = refused(driver, AttemptSpec(name="a-1", processes=(process,)))
    assert str(tmp_path / "gone") in message


def test_an_action_without_a_program_is_refused(driver: LocalDriver, tmp_path: Path) -> None:
    assert "there is no program" in refused(driver, spec_of(tmp_path))


def test_what_was_refused_can_be_started_when_it_is_put_right(driver: LocalDriver, tmp_path: Path) -> None:
    wanted = tmp_path / "skill"
    process = ProcessSpec(directory=wanted, command=("/bin/sh", "-c", "echo right"))
    spec = AttemptSpec(name="a-1", processes=(process,))
    refused(driver, spec)
    wanted.mkdir()
    found, stdout, _ = run(driver, spec)
    assert (found, stdout) == (AttemptExit(0), "right\n")


def test_a_program_that_does_not_exist_ends_with_127_and_says_so(driver: LocalDriver, tmp_path: Path) -> None:
    found, _, stderr = run(driver, spec_of(tmp_path, "no-such-program"))
    assert found == AttemptExit(127)
    assert "no-such-program" in stderr


def test_a_program_that_may_not_be_run_ends_with_126(driver: LocalDriver, tmp_path: Path) -> None:
    (tmp_path / "main").write_text("not executable")
    assert run(driver, spec_of(tmp_path, "./main"))[0] == AttemptExit(126)


# Shims


def test_a_shim_ends_with_its_last_program_and_its_last_client(driver: LocalDriver, running: Running) -> None:
    shim = driver.shim(running)
    driver.executor.close()
    driver.end(running, 3)
    await_death(shim)
    assert list(Path(running.handle).parent.parent.glob("shims/*.sock")) == []
    other = driver.anew()
    assert other.poll(running.handle) == AttemptExit(3)
    spec = driver.spec("the-next-1")
    again = Running(spec, other.start(spec))
    assert driver.shim(again) != shim
    driver.end(again, 0)
    assert ended(other, again.handle) == AttemptExit(0)


def test_another_version_follows_the_programs_of_the_shim_before_and_lets_it_end(
    driver: LocalDriver, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fabric_jobs, "__version__", "99.0.0")
    other = driver.anew()
    assert other.poll(running.handle) is None
    spec = driver.spec("of-the-new-1")
    new = Running(spec, other.start(spec))
    old_shim, new_shim = driver.shim(running), driver.shim(new)
    assert old_shim != new_shim
    late = driver.spec("of-the-old-1")
    with pytest.raises(ExecutorUnavailable):
        driver.executor.start(late)  # the old shim was told to start nothing more
    driver.end(running, 6)
    assert ended(other, running.handle) == AttemptExit(6)
    await_death(old_shim)  # even though somebody is connected
    assert other.poll(new.handle) is None
    driver.end(new, 0)
    assert ended(other, new.handle) == AttemptExit(0)


def test_two_that_need_a_shim_at_once_start_one(driver: LocalDriver, tmp_path: Path) -> None:
    executors = [driver.anew() for _ in range(6)]
    specs = [driver.spec(f"at-once-{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        handles = list(pool.map(lambda executor, spec: executor.start(spec), executors, specs))
    runs = [Running(spec, handle) for spec, handle in zip(specs, handles, strict=True)]
    assert len({driver.shim(run) for run in runs}) == 1


def test_one_name_that_two_start_at_once_is_one_attempt(driver: LocalDriver) -> None:
    executors = [driver.anew() for _ in range(4)]
    for number in range(5):
        spec = driver.spec(f"both-{number}")
        with ThreadPoolExecutor(4) as pool:
            handles = set(pool.map(lambda executor, spec=spec: executor.start(spec), executors))
        run = Running(spec, handles.pop())
        assert not handles
        driver.end(run, 2)
        assert ended(driver.executor, run.handle) == AttemptExit(2)
        assert driver.starts(run) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_shim_survives_what_is_meant_for_programs(
    driver: LocalDriver, running: Running, number: signal.Signals
) -> None:
    os.kill(driver.shim(running), number)
    driver.end(running, 4)
    assert ended(driver.executor, running.handle) == AttemptExit(4)


def test_a_deep_state_directory_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    executor = LocalExecutor(deep / "attempts")
    handle = executor.start(spec_of(tmp_path, "true"))
    assert ended(executor, handle) == AttemptExit(0)
    assert not list(deep.glob("shims/*.sock"))
    executor.close()


def test_the_variable_that_marks_programs_is_the_one_that_the_shim_looks_for() -> None:
    assert proc.MARK == state_dir.ATTEMPT_VARIABLE


# Programs of version 0.3.0, each in a shell


def begin_as_before(driver: LocalDriver, name: str) -> Running:
    """Start a program as version 0.3.0 did."""
    spec = driver.spec(name)
    directory = Path(driver.executor.inside(name).files)
    directory.mkdir(parents=True)
    wrapper = 'trap : TERM INT HUP; echo $$ >"$0/pid"; ("$@") </dev/null; echo $? >"$0/exit"'
    with (
        open(directory / "lock", "a+") as lock,
        open(directory / "stdout", "ab") as stdout,
        open(directory / "stderr", "ab") as stderr,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = subprocess.Popen(
            ["/bin/sh", "-c", wrapper, str(directory), *spec.processes[0].command],
            stdin=lock,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, proc.MARK: str(directory)},
            start_new_session=True,
        )
    driver.old.append(child)
    running = Running(spec, str(directory))
    driver.order(running, ":")
    return running


@pytest.mark.parametrize("code", [0, 5])
def test_a_program_of_a_version_before_is_followed(driver: LocalDriver, code: int) -> None:
    running = begin_as_before(driver, "old-1")
    assert driver.executor.start(running.spec) == running.handle
    assert driver.executor.poll(running.handle) is None
    driver.say(running, stdout=b"still here\n")
    driver.end(running, code)
    assert ended(driver.executor, running.handle) == AttemptExit(code)
    assert driver.executor.logs(running.handle, "stdout", 0, 100) == b"still here\n"
    assert driver.starts(running) == 1


def test_a_program_of_a_version_before_can_be_stopped(driver: LocalDriver) -> None:
    running = begin_as_before(driver, "old-1")
    child = begin_stubborn(driver, running, "own session")
    driver.executor.stop(running.handle, 0.1)
    assert ended(driver.executor, running.handle).reason == STOPPED
    assert not is_alive(child)


def test_a_program_of_a_version_before_whose_shell_was_killed_is_lost(driver: LocalDriver) -> None:
    running = begin_as_before(driver, "old-1")
    program = driver.program(running)
    driver.old[-1].kill()
    driver.old[-1].wait()
    assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)
    assert not is_alive(program)


# Many at a time


def test_many_attempts_are_each_told_of(driver: LocalDriver, tmp_path: Path) -> None:
    handles = {
        driver.executor.start(spec_of(tmp_path, "/bin/sh", "-c", f"exit {number}", name=f"many-{number}")): number
        for number in range(20)
    }
    missing = set(handles)
    while missing:
        missing -= set(driver.executor.changed())
    assert {handle: driver.executor.poll(handle) for handle in handles} == {
        handle: AttemptExit(number) for handle, number in handles.items()
    }


def test_a_closed_executor_leaves_no_zombie_warning(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path / "attempts")
    handle = executor.start(spec_of(tmp_path, "sleep", "1000"))
    executor.close()
    other = LocalExecutor(tmp_path / "attempts")
    other.stop(handle, 30)
    assert ended(other, handle) == AttemptExit(143, STOPPED)
    other.close()


def test_many_that_do_not_listen_are_over_soon_after_the_grace(driver: LocalDriver, tmp_path: Path) -> None:
    """One scan of all processes serves all attempts."""
    script = "trap '' TERM; echo ready; while :; do sleep 1000; done"
    handles = [
        driver.executor.start(spec_of(tmp_path, "/bin/sh", "-c", script, name=f"deaf-{number}")) for number in range(60)
    ]
    for handle in handles:
        while driver.executor.logs(handle, "stdout", 0, 10) != b"ready\n":
            time.sleep(0.01)
    begun = time.monotonic()
    for handle in handles:
        driver.executor.stop(handle, 0.5)
    missing = set(handles)
    while missing:
        missing -= set(driver.executor.changed())
    assert time.monotonic() - begun < 0.5 + 5.0  # takes a fraction of that; one by one it took 40 s
    assert {driver.executor.poll(handle) for handle in handles} == {AttemptExit(137, STOPPED)}


def test_many_sleepers_need_neither_threads_nor_descriptors_here(driver: LocalDriver, tmp_path: Path) -> None:
    def start(numbers: range) -> None:
        for number in numbers:
            driver.executor.start(spec_of(tmp_path, "sleep", "1000", name=f"sleeper-{number}"))

    def used() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    start(range(5))
    before = used()
    start(range(5, 60))
    until(lambda: used() <= before, "no more of either than for five")  # a file may be open just now
