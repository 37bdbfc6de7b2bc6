"""Attempts forked from template processes: the contract, and what only concerns template processes."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.executors.base import STOPPED, AttemptExit, AttemptSpec, ProcessSpec
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.test_warm_template import state
from tests.executors.warm_driver import WarmDriver


class TestWarm(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        made = WarmDriver(tmp_path)
        yield made
        made.close()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[WarmDriver]:
    made = WarmDriver(tmp_path)
    yield made
    made.close()


def started(driver: WarmDriver, name: str) -> Running:
    spec = driver.spec(name)
    return Running(spec, driver.executor.start(spec))


def test_attempts_of_a_program_have_one_parent_which_is_not_the_shim(driver: WarmDriver) -> None:
    first, second = started(driver, "a-1"), started(driver, "b-1")
    assert driver.template(first) == driver.template(second)
    assert driver.template(first) != driver.shim(first)


def test_a_killed_template_process_takes_no_attempt_and_no_exit_code_with_it(driver: WarmDriver) -> None:
    running = [started(driver, f"{name}-1") for name in "abc"]
    before = driver.template(running[0])
    os.kill(before, signal.SIGKILL)
    running.append(started(driver, "d-1"))
    assert driver.template(running[3]) != before
    for code, each in enumerate(running, start=10):
        driver.end(each, code)
        assert ended(driver.executor, each.handle) == AttemptExit(code)
        assert driver.starts(each) == 1


def program(directory: Path, text: str, **files: str) -> Path:
    """Write a program, `main.py`, and modules beside it."""
    directory.mkdir(exist_ok=True)
    for name, content in {"main": text, **files}.items():
        (directory / f"{name}.py").write_text(content)
    return directory


def run(driver: WarmDriver, name: str, directory: Path, *words: str, **changes: object) -> tuple[int | None, str]:
    """Run `main.py`, warm by default; return its exit code, its output and its remarks."""
    command = changes.pop("command", (sys.executable, "main.py"))
    process = ProcessSpec(directory=directory, command=command, arguments=words, **{"warm": (), **changes})  # type: ignore[arg-type]
    handle = driver.executor.start(AttemptSpec(name=name, processes=(process,)))
    code = ended(driver.executor, handle).code
    texts = [driver.executor.logs(handle, stream, 0, 10_000).decode() for stream in ("stdout", "stderr")]
    return code, "".join([*texts, *(f"[{remark}]" for remark in driver.executor.note(handle).remarks)])


PARENT = "import os; print(os.getppid(), end='')"


def test_a_template_process_is_made_anew_when_a_module_has_changed(driver: WarmDriver, tmp_path: Path) -> None:
    place = program(tmp_path / "p", "import part, os; print(part.x, os.getppid(), end='')", part="x = 'old'")
    _, before = run(driver, "a-1", place, warm=("part",))
    assert run(driver, "b-1", place, warm=("part",)) == (0, before)
    program(place, "import part, os; print('main', part.x, os.getppid(), end='')", part="x = 'new!'")
    code, after = run(driver, "c-1", place, warm=("part",))
    assert (code, after.split()[:2]) == (0, ["main", "new!"])
    assert after.split()[2] != before.split()[1]


def test_programs_and_environments_share_nothing(driver: WarmDriver, tmp_path: Path) -> None:
    one, two = program(tmp_path / "one", PARENT), program(tmp_path / "two", PARENT)
    found = {
        run(driver, "a-1", one),
        run(driver, "b-1", two),
        run(driver, "c-1", one, warm=("json",)),
        run(driver, "d-1", one, environment={"MINE": "x"}),
        run(driver, "e-1", one, command=(sys.executable, "-O", "main.py")),
    }
    assert len(found) == 5
    assert run(driver, "f-1", one, "a", environment={"CORTEX_PAYLOAD": "x", "CORTEX_TOKEN": "y"}) == run(
        driver, "g-1", one
    )


def test_what_cannot_be_forked_starts_cold_with_a_remark(driver: WarmDriver, tmp_path: Path) -> None:
    busy = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    place = program(tmp_path / "p", "print('runs', end='')", busy=busy)
    why = "runs[starts cold: 'busy' started a thread when it was imported]"
    assert run(driver, "a-1", place, warm=("busy",)) == (0, why)
    assert run(driver, "b-1", place, warm=("busy",)) == (0, why)
    program(place, "print('runs', end='')", busy="calm = True")
    assert run(driver, "c-1", place, warm=("busy",)) == (0, "runs")
    assert run(driver, "d-1", place, command=("sh", "-c", "printf runs")) == (
        0,
        "runs[starts cold: 'sh' is not a Python]",
    )
    assert run(driver, "e-1", place, warm=("absent",))[1].startswith("runs[starts cold: 'absent' cannot be imported: ")
    program(place, "print('runs', end='')", absent="")
    assert run(driver, "f-1", place, warm=("absent",)) == (0, "runs")


def test_a_template_process_that_dies_at_once_lets_its_program_start_cold(driver: WarmDriver, tmp_path: Path) -> None:
    place = program(tmp_path / "p", "print('runs', end='')", deadly="import os; os._exit(3)")
    why = "runs[starts cold: its template process has died]"
    assert run(driver, "a-1", place, warm=("deadly",)) == (0, why)


def test_a_program_that_is_not_there_is_said_as_ever(driver: WarmDriver, tmp_path: Path) -> None:
    place = program(tmp_path / "p", "")
    assert run(driver, "a-1", place, command=("/no/such/python3", "main.py")) == (
        127,
        "fabric-jobs: /no/such/python3: not found\n",
    )


def test_an_attempt_that_waits_for_its_template_process_can_be_stopped(driver: WarmDriver, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    place = program(tmp_path / "p", "print('ran')", slow=f"open({str(tmp_path / 'gate')!r}).read()")
    command = (sys.executable, "main.py")
    process = ProcessSpec(directory=place, command=command, warm=("slow",))
    handle = driver.executor.start(AttemptSpec(name="a-1", processes=(process,)))
    assert driver.executor.poll(handle) is None
    driver.executor.stop(handle, 30)
    assert ended(driver.executor, handle) == AttemptExit(143, STOPPED)
    (tmp_path / "gate").write_text("go")
    assert driver.executor.logs(handle, "stdout", 0, 100) == b""


def test_a_forked_program_leaves_nothing_behind_when_it_is_stopped(driver: WarmDriver) -> None:
    running = started(driver, "a-1")
    place = driver.place("a-1")
    driver.order(
        running,
        f"if not os.fork():\n    os.setsid(); open({str(place / 'other')!r}, 'w').write(str(os.getpid())); signal.pause()",
    )
    for _ in range(3000):
        if (place / "other").exists() and (place / "other").read_text():
            break
        time.sleep(0.01)
    other = int((place / "other").read_text())
    driver.executor.stop(running.handle, 0.1)
    assert ended(driver.executor, running.handle).reason == STOPPED
    assert state(other) in ("", "Z")


@pytest.mark.parametrize("attempts", [24])
def test_template_processes_are_killed_at_random_and_every_attempt_ends_once(
    driver: WarmDriver, tmp_path: Path, attempts: int
) -> None:
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    place = program(tmp_path / "p", "import sys\nopen(sys.argv[2], 'a').write('x')\nsys.exit(int(sys.argv[1]))")
    handles = []
    for number in range(attempts):
        words = (str(number), str(tmp_path / f"ran-{number}"))
        process = ProcessSpec(directory=place, command=(sys.executable, "main.py"), arguments=words, warm=())
        handles.append(driver.executor.start(AttemptSpec(name=f"a{number}-1", processes=(process,))))
        if chance.random() < 0.4:
            time.sleep(chance.random() * 0.03)
            for pid in templates(driver, handles[0]):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert [ended(driver.executor, handle).code for handle in handles] == list(range(attempts))
    assert [(tmp_path / f"ran-{number}").read_text() for number in range(attempts)] == ["x"] * attempts


def templates(driver: WarmDriver, handle: str) -> list[int]:
    """Return the template processes of an attempt's shim."""
    shim = driver.shim(Running(driver.spec("none"), handle))
    found = []
    for pid in Path(f"/proc/{shim}/task/{shim}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            if b"run_template.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found
