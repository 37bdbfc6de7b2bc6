"""kill -9 of the process that handles an attempt, at every step: still one start, one end and the whole output."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.executors.base import LOST, AttemptExit, AttemptSpec
from fabric_jobs.executors.docker import DockerExecutor
from tests.acceptance.live import until
from tests.docker_place import BASE_IMAGE, docker, needs_docker
from tests.executors.contract import Running, ended
from tests.executors.docker_driver import DockerDriver, spec_of
from tests.executors.docker_driver import docker_driver as docker_driver
from tests.executors.dying import STEPS, start_and_die

pytestmark = needs_docker

LINES = 2000
# It prints, waits at a gate, and prints again.
PROGRAM = """
import sys
place = sys.argv[1]
open(f"{place}/starts", "a").write("start\\n")
for number in range(2000):
    print("line", number)
    print("error", number, file=sys.stderr)
open(f"{place}/orders").close()
print("end", end="")
sys.exit(7)
"""
STDOUT = b"".join(b"line %d\n" % number for number in range(LINES)) + b"end"
STDERR = b"".join(b"error %d\n" % number for number in range(LINES))
# At these steps the program has already ended.
ENDED = ("after it is copied", "before the end is written", "before it is deleted")


@pytest.fixture
def spec(driver: DockerDriver) -> AttemptSpec:
    driver.spec("attempt-1")  # makes the pipes
    place = str(driver.place("attempt-1"))
    return spec_of("python3", "-c", PROGRAM, place, workspace=place)


def pass_gate(driver: DockerDriver) -> threading.Thread:
    """Let the program go on once it reaches the gate."""
    passing = threading.Thread(target=(driver.place("attempt-1") / "orders").write_bytes, args=(b"",), daemon=True)
    passing.start()
    return passing


def await_death(process: BaseProcess) -> None:
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def ends_as_if_nothing_were(driver: DockerDriver, spec: AttemptSpec) -> None:
    handle = str(driver.root / spec.name)
    assert ended(driver.executor, handle) == AttemptExit(7)
    assert driver.output(handle) == (STDOUT, STDERR)
    assert driver.executor.start(spec) == handle
    assert driver.starts(Running(spec, handle)) == 1
    until(lambda: not driver.containers(), "no container is left")


@pytest.mark.parametrize("step", STEPS)
def test_what_is_found_again_ends_as_if_nothing_were(driver: DockerDriver, spec: AttemptSpec, step: str) -> None:
    dying = start_and_die(driver.root, spec, step)
    if step in ENDED:
        pass_gate(driver)
    await_death(dying)
    if step not in ENDED:
        assert driver.executor.poll(str(driver.root / spec.name)) is None
        pass_gate(driver)
    ends_as_if_nothing_were(driver, spec)


def with_secrets(spec: AttemptSpec) -> AttemptSpec:
    """Return a spec whose message must not be on a disk."""
    process = replace(spec.processes[0], arguments=("hunter2",), environment={"KEY": "hunter2"}, is_secret=True)
    return replace(spec, processes=(process,))


def test_one_with_secrets_is_lost_if_its_container_was_not_made(driver: DockerDriver, spec: AttemptSpec) -> None:
    await_death(start_and_die(driver.root, with_secrets(spec), "before it is made"))
    directory = driver.root / spec.name
    assert not any(b"hunter2" in path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert ended(driver.executor, str(directory)) == AttemptExit(None, LOST)
    assert not driver.containers()


@pytest.mark.parametrize("step", ["before it is made", "after it is made", "while it is copied"])
def test_one_with_secrets_goes_on_with_its_container_or_when_it_is_started_again(
    driver: DockerDriver, spec: AttemptSpec, step: str
) -> None:
    secret = with_secrets(spec)
    await_death(start_and_die(driver.root, secret, step))
    assert driver.executor.start(secret) == str(driver.root / spec.name)
    pass_gate(driver)
    ends_as_if_nothing_were(driver, secret)
    assert not any(b"hunter2" in path.read_bytes() for path in driver.root.rglob("*") if path.is_file())


def test_many_deaths_are_one_attempt(driver: DockerDriver, spec: AttemptSpec) -> None:
    for step in ("before it is made", "after it is made", "before it starts", "while it is copied"):
        await_death(start_and_die(driver.root, spec, step))
    for _ in range(3):
        await_death(start_and_die(driver.root, spec, "while it is copied"))
    pass_gate(driver)
    ends_as_if_nothing_were(driver, spec)


def test_a_start_that_was_asked_for_by_the_dead_is_seen(
    driver: DockerDriver, spec: AttemptSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine starts the container between our look and our attaching, and the program prints meanwhile."""
    await_death(start_and_die(driver.root, spec, "before it starts"))
    attach, place = DockerEngine.attach, driver.place("attempt-1")

    def late(engine: DockerEngine, name: str) -> object:
        if not (place / "starts").exists():
            engine.start(name)
            os.close(os.open(place / "orders", os.O_WRONLY))  # it has printed
        return attach(engine, name)

    monkeypatch.setattr(DockerEngine, "attach", late)
    ends_as_if_nothing_were(driver, spec)


def test_two_processes_that_start_it_at_once_start_it_once(driver: DockerDriver, spec: AttemptSpec) -> None:
    others = [start_and_die(driver.root, spec, "before it is deleted") for _ in range(2)]
    driver.executor.start(spec)
    pass_gate(driver)
    ended(driver.executor, str(driver.root / spec.name))
    for other in others:
        await_death(other)
    ends_as_if_nothing_were(driver, spec)


def test_two_roots_are_two_places_for_one_name(driver: DockerDriver, tmp_path: Path) -> None:
    other = DockerExecutor(tmp_path / "other" / "attempts")
    handle = other.start(spec_of("sh", "-c", "echo other; exit 3"))
    assert driver.run(spec_of("sh", "-c", "echo one; exit 2")) == (AttemptExit(2), b"one\n", b"")
    assert ended(other, handle) == AttemptExit(3)
    assert other.logs(handle, "stdout", 0, 100) == b"other\n"
    other.close()


def test_containers_whose_attempt_is_gone_are_deleted_and_those_of_others_are_not(
    driver: DockerDriver, tmp_path: Path
) -> None:
    other = DockerExecutor(tmp_path / "other" / "attempts")
    owners = {"ours": driver.executor._reach.owner, "theirs": other._reach.owner}
    made = {}
    for whose, owner in owners.items():
        labels = ("--label", f"fabric-jobs.owner={owner}", "--label", "fabric-jobs.attempt=gone-1")
        made[whose] = docker("create", *labels, BASE_IMAGE, "true").stdout.strip()
    assert driver.run(spec_of("true"))[0] == AttemptExit(0)
    until(lambda: not driver.containers(), "no container is left")
    assert docker("inspect", made["theirs"]).returncode == 0
    handle = other.start(spec_of("true"))
    ended(other, handle)
    until(lambda: docker("inspect", made["theirs"], check=False).returncode, "the other one is deleted")
    other.close()
