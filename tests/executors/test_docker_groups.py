"""Attempts of several containers: the contract, and what the containers have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.base import (
    LOST,
    NOT_STARTED,
    OUT_OF_MEMORY,
    STOPPED,
    AttemptExit,
    AttemptSpec,
    Health,
    Limits,
    ProcessSpec,
)
from fabric_jobs.executors.docker import DockerExecutor
from tests.acceptance.live import until
from tests.docker_place import BASE_IMAGE, docker, needs_docker
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.docker_driver import DockerDriver
from tests.executors.docker_driver import docker_driver as docker_driver
from tests.executors.dying import start_and_die

pytestmark = needs_docker

MEBIBYTE = 1 << 20
FOR_EVER = ("sleep", "1000000")


def program(*command: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(**{"directory": None, "command": command, "image": BASE_IMAGE, **more})


def python(code: str, **more: Any) -> ProcessSpec:
    return program("python3", "-u", "-c", code, **more)


def group(*processes: ProcessSpec, name: str = "attempt-1", **more: Any) -> AttemptSpec:
    return AttemptSpec(name=name, processes=processes, **{"shared": ("/mnt", "/cortex"), **more})


class GroupDriver(DockerDriver):
    """The first container takes orders; another one runs beside it until it is asked to end."""

    def spec(self, name: str) -> AttemptSpec:
        spec = super().spec(name)
        return replace(spec, processes=(*spec.processes, program(*FOR_EVER)), shared=("/mnt",))

    def vanish(self, running: Running) -> None:
        self.order(running, ":")
        docker("rm", "--force", f"fabric-jobs-{self.executor._reach.owner}-{running.spec.name}.0")


class TestGroup(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
        made = GroupDriver(tmp_path, monkeypatch)
        yield made
        made.close()


def nothing_is_left(driver: DockerDriver) -> None:
    until(lambda: not driver.containers(), "no container is left")
    until(lambda: not driver.volumes(), "no volume is left")


# Ends


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("code", [0, 3])
def test_the_one_that_ends_by_itself_ends_all_and_its_exit_counts(driver: DockerDriver, place: int, code: int) -> None:
    programs = [program(*FOR_EVER) for _ in range(3)]
    programs[place] = program("/bin/sh", "-c", f"echo ends; echo why >&2; exit {code}")
    assert driver.run(group(*programs)) == (AttemptExit(code), b"ends\n", b"why\n")
    nothing_is_left(driver)


def test_the_one_that_takes_too_much_memory_is_told(driver: DockerDriver) -> None:
    greedy = python(f"taken = bytearray(300 * {MEBIBYTE})", limits=Limits(memory=64 * MEBIBYTE))
    assert driver.run(group(program(*FOR_EVER), greedy))[0] == AttemptExit(137, OUT_OF_MEMORY)


def test_one_that_does_not_listen_to_the_end_of_another_is_killed(
    driver: DockerDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fabric_jobs.executors.docker.group.GRACE_SECONDS", 0.2)
    deaf = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path("/mnt/deaf").touch()
time.sleep(1000)
"""
    first = """
import time
from pathlib import Path
while not Path("/mnt/deaf").exists():
    time.sleep(0.01)
raise SystemExit(5)
"""
    assert driver.run(group(python(first), python(deaf)))[0] == AttemptExit(5)
    nothing_is_left(driver)


def test_a_second_container_that_vanishes_is_lost(driver: DockerDriver) -> None:
    running = Running(spec := group(program(*FOR_EVER), program(*FOR_EVER)), driver.executor.start(spec))
    name = f"fabric-jobs-{driver.executor._reach.owner}-attempt-1.1"
    until(lambda: "true" in docker("inspect", "-f", "{{.State.Running}}", name, check=False).stdout, "it runs")
    docker("rm", "--force", name)
    assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)
    nothing_is_left(driver)


@pytest.mark.parametrize("place", [0, 1])
def test_an_image_that_cannot_be_had_ends_the_attempt_with_the_reason(driver: DockerDriver, place: int) -> None:
    programs = [program(*FOR_EVER), program(*FOR_EVER)]
    programs[place] = program("true", image="localhost:1/no/such:image")
    found, _, said = driver.run(group(*programs))
    assert found == AttemptExit(125, NOT_STARTED)
    assert b"localhost:1/no/such:image" in said
    nothing_is_left(driver)


@pytest.mark.parametrize("place", [0, 1])
def test_one_that_is_not_well_is_killed(driver: DockerDriver, place: int) -> None:
    programs = [program(*FOR_EVER), program(*FOR_EVER)]
    check = Health(("/bin/sh", "-c", "exit 4"), delay=0, period=0.1, timeout=10, failures=2)
    programs[place] = program(*FOR_EVER, health=check)
    found, _, said = driver.run(group(*programs))
    assert (found, said) == (AttemptExit(137), f"container {place} is killed: its liveness probe fails\n".encode())
    nothing_is_left(driver)


def test_one_that_is_well_goes_on(driver: DockerDriver) -> None:
    check = Health(("true",), delay=0, period=0.1, timeout=10, failures=1)
    brief = python("import time; time.sleep(0.5); print('well')")
    assert driver.run(group(brief, program(*FOR_EVER, health=check))) == (AttemptExit(0), b"well\n", b"")


def test_a_stop_before_anything_runs(driver: DockerDriver) -> None:
    handle = driver.executor.start(group(program(*FOR_EVER), program(*FOR_EVER)))
    driver.executor.stop(handle, 5)
    assert ended(driver.executor, handle).reason == STOPPED
    nothing_is_left(driver)


# What they have in common


def test_they_share_a_network_whose_low_ports_are_free(driver: DockerDriver) -> None:
    server = """
import socket
with socket.create_server(("127.0.0.1", 80)) as listener:
    client, _ = listener.accept()
    print(client.recv(100).decode())
"""
    client = """
import socket, time
while True:
    try:
        connection = socket.create_connection(("operator.default.svc.cluster.local", 80))
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
connection.sendall(b"hello")
time.sleep(1000)
"""
    spec = group(python(server), python(client), hosts=("operator.default.svc.cluster.local",))
    assert driver.run(spec) == (AttemptExit(0), b"hello\n", b"")


def test_they_share_directories_that_begin_with_files(driver: DockerDriver) -> None:
    first = """
import time
from pathlib import Path
while not Path("/mnt/told").exists():
    time.sleep(0.01)
print(Path("/mnt/told").read_text(), oct(Path("/mnt").stat().st_mode & 0o777))
"""
    second = """
import shutil, time
shutil.copy("/cortex/spec/job.json", "/mnt/part")
shutil.move("/mnt/part", "/mnt/told")
time.sleep(1000)
"""
    files: dict[str, Any] = {"files": {"job.json": b'{"job_id": "7"}'}, "placed": {"/cortex/spec/job.json": "job.json"}}
    found = driver.run(group(python(first), python(second), **files))
    assert found == (AttemptExit(0), b'{"job_id": "7"} 0o777\n', b"")
    nothing_is_left(driver)


def test_only_the_first_has_what_leads_to_the_gateway(driver: DockerDriver) -> None:
    look = "import os; print(sorted(os.listdir('/run')), os.environ.get('PYTHONPATH'))"
    files: dict[str, Any] = {"files": {"secret": b"token"}}
    handle = driver.executor.start(group(program(*FOR_EVER), python(look), **files))
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert b"fabric-jobs" not in driver.output(handle)[0]
    assert driver.output(handle)[0].endswith(b"None\n")


def test_each_has_its_own_limits(driver: DockerDriver) -> None:
    look = "import os; found = os.statvfs('/dev/shm'); print(found.f_blocks * found.f_frsize)"
    spec = group(program(*FOR_EVER), python(look, limits=Limits(shm=8 * MEBIBYTE)))
    assert driver.run(spec) == (AttemptExit(0), b"%d\n" % (8 * MEBIBYTE), b"")


# Restarts

CHATTY = """
import os, sys, time
from pathlib import Path
for number in range(200):
    os.write(1, f"{sys.argv[1]} {number}\\n".encode())  # at once: the others print, too
    time.sleep(0.005)
os.write(1, f"end of {sys.argv[1]}\\n".encode())
Path(f"/mnt/{sys.argv[1]}").touch()
while sys.argv[1] != "a" or not all(Path(f"/mnt/{name}").exists() for name in sys.argv[2]):
    time.sleep(0.005)
"""


def chatty(*, until_told: bool = False) -> AttemptSpec:
    """Return three programs that print. They end by themselves, or after `tell_to_end`."""
    awaited = "abc" + "e" * until_told
    return group(*(program("python3", "-u", "-c", CHATTY, name, awaited) for name in "abc"))


def tell_to_end(driver: DockerDriver) -> None:
    docker("exec", f"fabric-jobs-{driver.executor._reach.owner}-attempt-1.0", "touch", "/mnt/e")


def whole(found: bytes) -> bool:
    """Tell whether each of the three has printed each of its lines once, in order."""
    lines = found.decode().splitlines()
    return all(
        [line for line in lines if line.split()[0] == name] == [f"{name} {number}" for number in range(200)]
        and lines.count(f"end of {name}") == 1
        for name in "abc"
    )


def test_an_owner_that_ends_and_comes_back_keeps_every_line(driver: DockerDriver) -> None:
    handle = driver.executor.start(chatty(until_told=True))
    for number in (20, 300):
        until(lambda at=number: driver.output(handle)[0].count(b"\n") > at, "they print")  # type: ignore[misc]
        driver.again()
        assert driver.executor.poll(handle) is None
    tell_to_end(driver)
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert whole(driver.output(handle)[0])
    nothing_is_left(driver)


@pytest.mark.parametrize(
    "step",
    [
        "before it is made",
        "after it is made",
        "before it starts",
        "after it starts",
        "after it is copied",
        "before the end is written",
        "before it is deleted",
    ],
)
def test_an_owner_that_is_killed_keeps_every_line(driver: DockerDriver, step: str) -> None:
    process = start_and_die(driver.root, chatty(), step)
    process.join()
    executor = driver.again()
    handle = executor.start(chatty())
    assert ended(executor, handle) == AttemptExit(0)
    assert whole(driver.output(handle)[0])
    nothing_is_left(driver)


def test_another_process_sees_the_same_end(driver: DockerDriver) -> None:
    handle = driver.executor.start(chatty(until_told=True))
    until(lambda: driver.output(handle)[0].count(b"\n") > 20, "they print")
    other: DockerExecutor = driver.anew()
    assert other.poll(handle) is None
    tell_to_end(driver)
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert ended(other, handle) == AttemptExit(0)
    assert whole(driver.output(handle)[0])


def test_a_volume_whose_attempt_is_gone_is_swept(driver: DockerDriver) -> None:
    handle = driver.executor.start(group(program("true"), program(*FOR_EVER)))
    assert ended(driver.executor, handle) == AttemptExit(0)
    nothing_is_left(driver)
    owner = driver.executor._reach.owner
    labels = ("--label", f"fabric-jobs.owner={owner}", "--label", "fabric-jobs.attempt=gone-1")
    docker("volume", "create", *labels, f"fabric-jobs-{owner}-gone-1-0")
    assert driver.again().start(group(program("true"), program(*FOR_EVER), name="attempt-2"))
    until(lambda: not driver.volumes(), "the volumes are gone")


def test_the_accepted_spec_says_what_is_common(driver: DockerDriver) -> None:
    spec = group(program("true"), program(*FOR_EVER), placed={"/mnt/a": "a"}, files={"a": b"1"})
    handle = driver.executor.start(spec)
    common = json.loads((Path(handle) / "spec.json").read_text())
    assert common == {"members": 2, "shared": ["/mnt", "/cortex"], "placed": {"/mnt/a": "a"}}
    assert ended(driver.executor, handle) == AttemptExit(0)
    attempt_files.mark(Path(handle) / "stopped")  # too late to matter
    assert driver.executor.poll(handle) == AttemptExit(0)
