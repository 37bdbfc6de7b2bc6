"""The output of real pods: whole, in time, and what is left of it when the launcher is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import LOST, AttemptExit, LogQuery
from fabric_jobs.executors.kubernetes import salvage
from fabric_jobs.executors.kubernetes.salvage import CUT, FOUND
from fabric_jobs.kubernetes.failures import Missing
from tests.executors.contract import Running, ended
from tests.executors.kubernetes_driver import KubernetesDriver, spec_of
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.kubernetes_place import kubectl, needs_cluster, until

pytestmark = needs_cluster

LINES = 400_000
PRINTING = f"import sys\nfor n in range({LINES}): print(f'{{n:099d}}', file=sys.stderr if n % 4 == 3 else sys.stdout)"


@pytest.fixture
def running(driver: KubernetesDriver) -> Running:
    spec = driver.spec("attempt-1")
    return Running(spec, driver.executor.start(spec))


def test_forty_megabytes_are_kept_though_the_cluster_keeps_ten(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(spec_of("python3", "-c", PRINTING))
    assert ended(driver.executor, handle) == AttemptExit(0)
    stdout, stderr = driver.output(handle)
    assert stdout == b"".join(b"%099d\n" % number for number in range(LINES) if number % 4 != 3)
    assert stderr == b"".join(b"%099d\n" % number for number in range(3, LINES, 4))
    assert driver.executor.note(handle).remarks == ()


def test_what_is_printed_arrives_while_the_program_waits(driver: KubernetesDriver, running: Running) -> None:
    printed = b""
    for number in range(20):
        text = b"%d" % number + b"\n" * (number % 2)  # also a part of a line
        printed += text
        driver.say(running, stdout=text)
        assert driver.output(running.handle)[0] == printed


def test_the_output_of_a_short_program_has_its_times(driver: KubernetesDriver) -> None:
    """The cluster says that it runs only after it has ended."""
    handle = driver.executor.start(spec_of("/bin/sh", "-c", "date +%s.%N; echo error >&2"))
    assert ended(driver.executor, handle) == AttemptExit(0)
    parts = driver.executor.page(handle, LogQuery()).parts
    printed = float(next(part.bytes for part in parts if part.stream == "stdout"))
    ended_at = json.loads((Path(handle) / "exit").read_text())["at"]
    assert [part.stream for part in parts] == ["stdout", "stderr"]
    for part in parts:
        assert part.at is not None
        assert printed - 0.1 <= part.at <= ended_at + 2.0  # which the cluster tells in whole seconds


def test_the_program_is_not_process_1_and_orphans_are_collected(driver: KubernetesDriver) -> None:
    orphans = "(sleep 0.1 &) ; (sleep 0.1 &) ; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status; echo $PPID"
    assert driver.run(spec_of("/bin/sh", "-c", orphans)) == (AttemptExit(0), b"1\n", b"")


def test_what_a_program_leaves_behind_ends_with_it(driver: KubernetesDriver) -> None:
    found = driver.run(spec_of("/bin/sh", "-c", "setsid sleep 1000 & echo over; exit 3"))
    assert found == (AttemptExit(3), b"over\n", b"")


def test_files_of_an_attempt_are_fetched(driver: KubernetesDriver) -> None:
    text = os.urandom(2 << 20)
    words = ("/bin/sh", "-c", "md5sum < /run/fabric-jobs/files/payload.json; cat /run/fabric-jobs/files/payload.json")
    code, stdout, _ = driver.run(spec_of(*words, files={"payload.json": text}))
    assert code == AttemptExit(0)
    assert stdout.split(b"\n", 1)[1] == text


@pytest.fixture
def deaf(driver: KubernetesDriver, running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a program print two lines of which one arrives, since the gateway then takes no more."""
    monkeypatch.setattr(salvage, "SENT_SECONDS", 0.5)
    driver.say(running, stdout=b"arrived\n", stderr=b"error\n")
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> int:
            raise OSError("the test")

        patch.setattr(shipped, "take", refuse)
        driver.order(running, "echo more; echo and more")
        until(lambda: "only in the log" in logs(driver, running), "the launcher gives up")
        yield patch


def logs(driver: KubernetesDriver, running: Running) -> str:
    return kubectl("logs", driver.pod(running), "--namespace", driver.namespace, check=False).stdout


def test_what_was_not_sent_is_read_from_the_containers_log(
    driver: KubernetesDriver, running: Running, deaf: pytest.MonkeyPatch
) -> None:
    deaf.undo()
    driver.end(running, 4)
    assert ended(driver.executor, running.handle) == AttemptExit(4)
    stdout, stderr = driver.output(running.handle)
    assert stdout == b"arrived\nmore\nand more\n"
    assert stderr.startswith(b"error\nfabric_pod: ")
    assert driver.executor.note(running.handle).remarks == (FOUND,)


def test_a_killed_launcher_is_no_loss_either(
    driver: KubernetesDriver, running: Running, deaf: pytest.MonkeyPatch
) -> None:
    """As when the kernel ends all of a container that needs too much memory."""
    deaf.undo()
    os.kill(launcher(running), signal.SIGKILL)
    assert ended(driver.executor, running.handle).code == 128 + signal.SIGKILL
    assert driver.output(running.handle)[0] == b"arrived\nmore\nand more\n"
    assert driver.executor.note(running.handle).remarks == (FOUND,)


def test_a_deleted_pod_leaves_what_has_arrived(
    driver: KubernetesDriver, running: Running, deaf: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> bytes:
        raise Missing("the test")

    deaf.undo()
    monkeypatch.setattr(salvage, "_read", gone)  # with its pod, though the cluster may take its time
    driver.vanish(running)
    assert ended(driver.executor, running.handle).reason == LOST
    assert driver.output(running.handle)[0] == b"arrived\n"
    assert CUT in driver.executor.note(running.handle).remarks


def launcher(running: Running) -> int:
    """Return the process id, on this machine, of the launcher of an attempt: its order names the directory of this test."""
    mark = str(Path(running.handle).parent.parent).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            order = path.parent / "root/run/fabric-jobs/order/order.json"
            if b"runtime.zip" in path.read_bytes() and mark in order.read_bytes():
                return int(path.parent.name)
    raise AssertionError("there is no launcher")
