"""Attempts of several containers in one pod: the contract, and what the containers have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.base import (
    LOST,
    NOT_STARTED,
    OUT_OF_MEMORY,
    REFUSED,
    STOPPED,
    AttemptExit,
    AttemptSpec,
    Health,
    Limits,
    ProcessSpec,
)
from fabric_jobs.executors.kubernetes import events
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.kubernetes_driver import KubernetesDriver, told
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.kubernetes_place import BASE_IMAGE, a_namespace, kubectl, needs_cluster, until

pytestmark = needs_cluster

MEBIBYTE = 1 << 20
FOR_EVER = ("sleep", "1000000")


def program(*command: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(**{"directory": None, "command": command, "image": BASE_IMAGE, **more})


def python(code: str, **more: Any) -> ProcessSpec:
    return program("python3", "-u", "-c", code, **more)


def group(*processes: ProcessSpec, name: str = "attempt-1", **more: Any) -> AttemptSpec:
    first = replace(processes[0], environment={**processes[0].environment, **told(name)})
    given = {"shared": ("/mnt", "/cortex"), **more}
    return AttemptSpec(name=name, processes=(first, *processes[1:]), **given)


class GroupDriver(KubernetesDriver):
    """The first container takes orders; another one runs beside it until it is asked to end."""

    def spec(self, name: str) -> AttemptSpec:
        spec = super().spec(name)
        return replace(spec, processes=(*spec.processes, program(*FOR_EVER)), shared=("/mnt",))


class TestGroup(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
        with a_namespace() as namespace:
            made = GroupDriver(tmp_path, monkeypatch, namespace)
            yield made
            made.close()


def nothing_is_left(driver: KubernetesDriver) -> None:
    until(lambda: not driver.left(), "nothing is left")


# Ends


@pytest.mark.parametrize("code", [0, 3])
def test_the_one_that_ends_by_itself_ends_all_and_its_exit_counts(driver: KubernetesDriver, code: int) -> None:
    handles = []
    for place in range(3):
        programs = [program(*FOR_EVER) for _ in range(3)]
        programs[place] = program("/bin/sh", "-c", f"echo ends; exit {code}")
        handles.append(driver.executor.start(group(*programs, name=f"place-{place}")))
    for handle in handles:
        assert ended(driver.executor, handle) == AttemptExit(code)
        assert driver.output(handle) == (b"ends\n", b"")
        assert driver.executor.note(handle).remarks == ()
    nothing_is_left(driver)


def test_a_worker_that_has_ended_does_not_run_again(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric_jobs.executors.kubernetes.group.GRACE_SECONDS", 4.0)
    count = """
import os, time
with open("/mnt/runs", "a") as file:
    file.write("x")
while not os.path.exists("/mnt/deaf"):
    time.sleep(0.01)
"""
    deaf = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path("/mnt/deaf").touch()
while True:
    time.sleep(0.5)
    print(Path("/mnt/runs").read_text(), flush=True)
"""
    handle = driver.executor.start(group(python(count), python(deaf)))
    assert ended(driver.executor, handle) == AttemptExit(0)
    lines = driver.output(handle)[0].splitlines()
    assert (set(lines), len(lines) > 3) == ({b"x"}, True)


def test_both_streams_of_the_first_and_one_of_the_others_are_kept(driver: KubernetesDriver) -> None:
    first = program("/bin/sh", "-c", "echo out; echo err >&2; while [ ! -e /mnt/told ]; do sleep 0.1; done; exit 2")
    second = program("/bin/sh", "-c", "echo two; echo too >&2; touch /mnt/told; exec sleep 1000")
    found, stdout, stderr = driver.run(group(first, second))
    assert (found, stderr) == (AttemptExit(2), b"err\n")
    assert sorted(stdout.splitlines()) == [b"out", b"too", b"two"]


def test_the_one_that_takes_too_much_memory_is_told(driver: KubernetesDriver) -> None:
    greedy = python(f"taken = bytearray(b'x' * 300 * {MEBIBYTE})", limits=Limits(memory=64 * MEBIBYTE))
    assert driver.run(group(program(*FOR_EVER), greedy))[0] == AttemptExit(137, OUT_OF_MEMORY)


def test_one_that_does_not_listen_to_the_end_of_another_is_killed(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fabric_jobs.executors.kubernetes.group.GRACE_SECONDS", 1.0)
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


@pytest.mark.parametrize("place", [0, 1])
def test_an_image_that_cannot_be_had_is_told_and_given_up(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(events, "PULL_SECONDS", 0.5)
    programs = [program(*FOR_EVER), program(*FOR_EVER)]
    programs[place] = program("true", image="rig.local/no-such-image:1")
    found = ended(driver.executor, driver.executor.start(group(*programs)))
    assert (found.code, found.reason) == (None, REFUSED)
    assert "rig.local/no-such-image:1" in found.cause
    nothing_is_left(driver)


@pytest.mark.parametrize("place", [0, 1])
def test_one_that_cannot_be_started_says_why(driver: KubernetesDriver, place: int) -> None:
    programs = [program(*FOR_EVER), program(*FOR_EVER)]
    programs[place] = program("/no/program", image="rig.local/busybox:1")
    found, _, stderr = driver.run(group(*programs))
    assert (found.code, found.reason) == (125, NOT_STARTED)
    assert (b"python3", b"/no/program")[place] in stderr
    nothing_is_left(driver)


@pytest.mark.early
def test_one_that_is_not_well_is_killed(driver: KubernetesDriver) -> None:
    check = Health(("/bin/sh", "-c", "exit 4"), delay=0, period=1, timeout=10, failures=1)
    found, _, said = driver.run(group(program(*FOR_EVER), program(*FOR_EVER, health=check, name="api")))
    assert (found, said) == (AttemptExit(137), b"container 'api' is killed: its liveness probe fails\n")
    nothing_is_left(driver)


def test_one_that_is_well_goes_on(driver: KubernetesDriver) -> None:
    check = Health(("true",), delay=0, period=1, timeout=10, failures=1)
    brief = python("import time; time.sleep(3); print('well')")
    assert driver.run(group(brief, program(*FOR_EVER, health=check))) == (AttemptExit(0), b"well\n", b"")


def test_a_stop_before_anything_runs(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(group(program(*FOR_EVER), program(*FOR_EVER)))
    driver.executor.stop(handle, 5)
    assert ended(driver.executor, handle).reason == STOPPED
    nothing_is_left(driver)


@pytest.mark.parametrize("force", [False, True])
def test_a_pod_deleted_by_hand_is_lost_also_when_its_programs_end_well(driver: KubernetesDriver, force: bool) -> None:
    polite = python(
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('runs'); time.sleep(1000)"
    )
    running = Running(spec := group(polite, polite), driver.executor.start(spec))
    until(lambda: driver.output(running.handle)[0].count(b"runs\n") == 2, "both run")
    words = ("--force", "--grace-period=0") if force else ("--grace-period=5",)
    kubectl("delete", "pod", driver.pod(running), "--namespace", driver.namespace, "--wait=false", *words)
    found = ended(driver.executor, running.handle)
    assert (found.code, found.reason) == (None, LOST)
    nothing_is_left(driver)


# What they have in common


def test_they_share_a_network_whose_low_ports_are_free(driver: KubernetesDriver) -> None:
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


def test_they_share_directories_that_begin_with_files(driver: KubernetesDriver) -> None:
    first = """
import time
from pathlib import Path
while not Path("/mnt/told").exists():
    time.sleep(0.01)
print(Path("/mnt/told").read_text(), Path("/cortex/spec/job.json").read_text(), oct(Path("/mnt").stat().st_mode & 0o777))
"""
    second = """
import shutil, time
shutil.copy("/cortex/spec/job.json", "/mnt/part")
shutil.move("/mnt/part", "/mnt/told")
open("/cortex/mine", "w").close()
time.sleep(1000)
"""
    files: dict[str, Any] = {"files": {"job.json": b'{"job_id": "7"}'}, "placed": {"/cortex/spec/job.json": "job.json"}}
    found = driver.run(group(python(first), python(second), **files))
    assert found == (AttemptExit(0), b'{"job_id": "7"} {"job_id": "7"} 0o777\n', b"")


def test_only_the_first_has_what_leads_to_the_gateway(driver: KubernetesDriver) -> None:
    look = "import os; print(os.path.exists('/run/fabric-jobs'), os.environ.get('PYTHONPATH'), os.environ.get('CORTEX_TOKEN'))"
    files: dict[str, Any] = {"files": {"secret": b"token"}}
    handle = driver.executor.start(group(program(*FOR_EVER), python(look), **files))
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert driver.output(handle)[0] == b"False None None\n"


def test_each_has_its_own_limits_and_texts(driver: KubernetesDriver) -> None:
    look = "import os, sys; found = os.statvfs('/dev/shm'); print(found.f_blocks * found.f_frsize, os.environ['A'], sys.argv[1])"
    process = python(look, limits=Limits(shm=8 * MEBIBYTE), environment={"A": "$(B) $$ $$(A)"}, arguments=("$(A) $$",))
    found = driver.run(group(program(*FOR_EVER), process))
    assert found == (AttemptExit(0), b"%d $(B) $$ $$(A) $(A) $$\n" % (8 * MEBIBYTE), b"")


# Restarts

CHATTY = """
import sys, time
from pathlib import Path
for number in range(400):
    print(f"{sys.argv[1]} {number}")
    time.sleep(0.005)
print("end of", sys.argv[1])
Path(f"/mnt/{sys.argv[1]}").touch()
while sys.argv[1] != "a" or not all(Path(f"/mnt/{name}").exists() for name in sys.argv[2]):
    time.sleep(0.005)
"""


def chatty(*, until_told: bool = False) -> AttemptSpec:
    """Return three programs that print. They end by themselves, or after `tell_to_end`."""
    awaited = "abc" + "e" * until_told
    return group(*(program("python3", "-u", "-c", CHATTY, name, awaited) for name in "abc"))


def tell_to_end(driver: KubernetesDriver) -> None:
    (pod,) = driver.objects("pods")
    kubectl("exec", pod["metadata"]["name"], "--namespace", driver.namespace, "--", "touch", "/mnt/e")


def whole(found: bytes) -> bool:
    """Tell whether each of the three has printed each of its lines once, in order."""
    lines = found.decode().splitlines()
    return all(
        [line for line in lines if line.split()[0] == name] == [f"{name} {number}" for number in range(400)]
        and lines.count(f"end of {name}") == 1
        for name in "abc"
    )


def test_an_owner_that_ends_and_comes_back_keeps_every_line(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(chatty(until_told=True))
    for number in (20, 600):
        until(lambda at=number: driver.output(handle)[0].count(b"\n") > at, "they print")  # type: ignore[misc]
        driver.again()
        assert driver.executor.poll(handle) is None
    tell_to_end(driver)
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert whole(driver.output(handle)[0])
    nothing_is_left(driver)


def test_an_owner_that_was_away_at_the_end_finds_it(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(chatty())
    until(lambda: driver.output(handle)[0].count(b"\n") > 20, "they print")
    driver.executor.close()
    job = driver.objects("jobs")[0]["metadata"]["name"]
    until(lambda: "lastState" in sidecar(driver) and sidecar(driver)["lastState"], f"the worker of {job} has ended")
    assert ended(driver.again(), handle) == AttemptExit(0)
    assert whole(driver.output(handle)[0])
    nothing_is_left(driver)


def sidecar(driver: KubernetesDriver) -> dict[str, Any]:
    """Return the status of the first container."""
    (pod,) = driver.objects("pods")
    found: dict[str, Any] = pod["status"]["initContainerStatuses"][0]
    return found
