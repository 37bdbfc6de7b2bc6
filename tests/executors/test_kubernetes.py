"""The Kubernetes executor: the contract with real pods, the ends of programs, and what a cluster may do to them."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors import EXECUTORS
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, REFUSED, STOPPED, AttemptExit, Limits
from fabric_jobs.executors.kubernetes import events
from tests.executors.contract import Contract, Driver, Running, ended
from tests.executors.kubernetes_driver import KubernetesDriver, spec_of
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.kubernetes_place import a_namespace, kubectl, needs_cluster, until

pytestmark = needs_cluster

MEBIBYTE = 1 << 20
# It writes to the memory, since memory that is only reserved costs nothing.
GREEDY = f"taken = bytearray(300 * {MEBIBYTE})"


class TestKubernetes(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
        with a_namespace() as namespace:
            made = KubernetesDriver(tmp_path, monkeypatch, namespace)
            yield made
            made.close()


@pytest.fixture
def running(driver: KubernetesDriver) -> Running:
    spec = driver.spec("attempt-1")
    return Running(spec, driver.executor.start(spec))


def test_it_is_found_by_its_name(tmp_path: Path) -> None:
    executor = EXECUTORS["kubernetes"](tmp_path, None)
    assert executor.name == "kubernetes"
    executor.close()


# Ends


def test_exit_codes_and_signals(driver: KubernetesDriver) -> None:
    die = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), {})"
    programs = {code: ("/bin/sh", "-c", f"exit {code}") for code in (0, 1, 3, 75, 255)}
    numbers = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT)
    programs |= {128 + number: ("python3", "-c", die.format(int(number))) for number in numbers}
    handles = {code: driver.executor.start(spec_of(*words, name=f"code-{code}")) for code, words in programs.items()}
    assert {code: ended(driver.executor, handle) for code, handle in handles.items()} == {
        code: AttemptExit(code) for code in programs
    }


def test_a_program_that_handles_the_request_ends_with_its_own_code(driver: KubernetesDriver, running: Running) -> None:
    driver.order(running, "trap 'echo cleaned; exit 9' TERM")
    driver.order(running, "sleep 1000 &")
    driver.order(running, "wait", wait=False)
    driver.executor.stop(running.handle, 30)
    assert ended(driver.executor, running.handle) == AttemptExit(9, STOPPED)
    assert driver.output(running.handle) == (b"cleaned\n", b"")


def test_a_stop_right_after_the_start_is_heard(driver: KubernetesDriver) -> None:
    for number in range(3):
        handle = driver.executor.start(driver.spec(f"early-{number}"))
        driver.executor.stop(handle, 1.0)
        assert ended(driver.executor, handle).reason == STOPPED
    until(lambda: not driver.left(), "nothing is left")


def test_what_has_ended_leaves_nothing_in_the_cluster(driver: KubernetesDriver) -> None:
    code, stdout, stderr = driver.run(spec_of("/bin/sh", "-c", "echo out; echo err >&2; exit 4"))
    assert (code, stdout, stderr) == (AttemptExit(4), b"out\n", b"err\n")
    until(lambda: not driver.left(), "nothing is left")


def test_too_little_memory_is_said(driver: KubernetesDriver) -> None:
    spec = spec_of("python3", "-c", GREEDY, limits=Limits(memory=64 * MEBIBYTE))
    found, _, _ = driver.run(spec)
    assert found == AttemptExit(137, OUT_OF_MEMORY)


def test_the_message_and_the_variables_are_those_of_the_spec(driver: KubernetesDriver) -> None:
    program = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['A'], os.environ['PYTHONUNBUFFERED']]))"
    words = ("a b", "$(A)", "ü\n", '{"x": "$HOME"}')
    spec = spec_of("python3", "-c", program, arguments=words, environment={"A": "$(B) c"})
    found, stdout, stderr = driver.run(spec)
    assert (found, stderr) == (AttemptExit(0), b"")
    assert json.loads(stdout) == [list(words), "$(B) c", "1"]


def test_nothing_of_the_message_can_be_read_in_the_description_of_the_pod(
    driver: KubernetesDriver, running: Running
) -> None:
    driver.order(running, ":")
    described = kubectl("describe", "jobs,pods", "--namespace", driver.namespace).stdout
    assert "a.b.c" not in described
    assert driver.pod(running) in described


def test_an_image_without_python_starts_its_own_program(driver: KubernetesDriver) -> None:
    words = ("/bin/sh", "-c", 'echo "out $1 $A"; echo err >&2; cat /run/fabric-jobs/files/payload.json; exit 5', "x")
    spec = spec_of(
        *words,
        image="rig.local/busybox:1",
        arguments=("the $(A)",),
        environment={"A": "b"},
        files={"payload.json": b"{}\n"},
    )
    handle = driver.executor.start(spec)
    assert ended(driver.executor, handle) == AttemptExit(5)
    stdout, stderr = driver.output(handle)
    assert (sorted(stdout.splitlines()), stderr) == ([b"err", b"out the $(A) b", b"{}"], b"")
    assert driver.executor.note(handle).remarks == ("its image has no python3, so stdout and stderr are one stream",)


def test_a_program_that_does_not_exist_is_said(driver: KubernetesDriver) -> None:
    found, _, stderr = driver.run(spec_of("/no/such/program"))
    assert found.code in (125, 127)
    assert b"/no/such/program" in stderr


# What a cluster may do


def test_an_image_that_cannot_be_pulled_is_told_at_once_and_given_up(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PULL_SECONDS", 0.5)
    handle = driver.executor.start(spec_of("x", image="rig.local/no-such-image:1"))
    found = ended(driver.executor, handle)
    assert (found.code, found.reason) == (None, REFUSED)
    assert "rig.local/no-such-image:1" in found.cause


def test_an_image_whose_name_is_wrong_is_refused(driver: KubernetesDriver) -> None:
    found = ended(driver.executor, driver.executor.start(spec_of("x", image="No Image")))
    assert found.reason == REFUSED
    assert "No Image" in found.cause


def test_what_no_node_has_room_for_waits_and_says_so(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(spec_of("/bin/true", limits=Limits(cpu=1000)))
    until(lambda: "Insufficient cpu" in driver.executor.note(handle).doing, "it says why")
    assert driver.executor.note(handle).waits
    assert driver.executor.poll(handle) is None
    driver.executor.stop(handle, 1)
    assert ended(driver.executor, handle) == AttemptExit(143, STOPPED)


def test_a_full_quota_waits_says_so_and_goes_on(driver: KubernetesDriver) -> None:
    kubectl("create", "quota", "none", "--hard=pods=0", "--namespace", driver.namespace)
    handle = driver.executor.start(spec_of("/bin/true"))
    until(lambda: "exceeded quota" in driver.executor.note(handle).doing, "it says why")
    assert driver.executor.note(handle).waits
    kubectl("delete", "quota", "none", "--namespace", driver.namespace)
    assert ended(driver.executor, handle) == AttemptExit(0)


def test_what_the_cluster_does_not_admit_is_refused_in_its_words(driver: KubernetesDriver) -> None:
    adds: tuple[dict[str, Any], ...] = ({"path": "/containers/0/resources", "value": {"limits": {"cpu": "lots"}}},)
    found = ended(driver.executor, driver.executor.start(spec_of("/bin/true", pod_spec=adds)))
    assert found.reason == REFUSED
    assert "lots" in found.cause or "quantities" in found.cause


def test_a_pod_deleted_by_hand_is_lost_and_what_was_seen_is_kept(driver: KubernetesDriver, running: Running) -> None:
    driver.say(running, stdout=b"seen\n")
    kubectl("delete", "pod", driver.pod(running), "--namespace", driver.namespace, "--wait=false", "--grace-period=1")
    found = ended(driver.executor, running.handle)
    assert (found.code, found.reason) == (None, LOST)
    assert driver.output(running.handle)[0] == b"seen\n"
    assert driver.starts(running) == 1


def test_a_program_that_ends_well_because_its_pod_is_deleted_is_lost(
    driver: KubernetesDriver, running: Running
) -> None:
    driver.order(running, "trap 'exit 0' TERM")
    driver.order(running, "sleep 1000 &")
    driver.order(running, "wait", wait=False)
    kubectl("delete", "pod", driver.pod(running), "--namespace", driver.namespace, "--wait=false")
    found = ended(driver.executor, running.handle)
    assert (found.code, found.reason) == (None, LOST)
    assert "its pod was deleted by somebody else" in driver.executor.note(running.handle).remarks


def test_an_init_container_that_fails_is_named(driver: KubernetesDriver) -> None:
    fetch = {"name": "fetch", "image": "rig.local/busybox:1", "command": ["/bin/sh", "-c", "exit 3"]}
    found, _, stderr = driver.run(spec_of("/bin/true", pod_spec=({"path": "/initContainers/-", "value": fetch},)))
    assert (found.code, found.reason) == (3, NOT_STARTED)
    assert b"init container 'fetch' ended with exit code 3" in stderr


def test_a_job_deleted_by_hand_is_lost(driver: KubernetesDriver, running: Running) -> None:
    driver.order(running, ":")
    job = driver.objects("jobs")[0]["metadata"]["name"]
    kubectl("delete", "job", job, "--namespace", driver.namespace, "--wait=false")
    assert ended(driver.executor, running.handle).reason == LOST
    assert driver.starts(running) == 1


def test_a_pod_deleted_while_nobody_watches_is_lost(driver: KubernetesDriver, running: Running) -> None:
    driver.order(running, ":")
    pod, job = driver.pod(running), driver.objects("jobs")[0]["metadata"]["name"]
    driver.executor.close()
    kubectl("delete", "pod", pod, "--namespace", driver.namespace, "--force", "--grace-period=0")
    kubectl("wait", "--for=condition=Failed", f"job/{job}", "--namespace", driver.namespace, "--timeout=60s")
    assert ended(driver.again(), running.handle) == AttemptExit(None, LOST)
    assert driver.starts(running) == 1


def test_an_evicted_pod_is_lost(driver: KubernetesDriver, running: Running) -> None:
    driver.order(running, ":")
    name = driver.pod(running)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": driver.namespace}}
    path = f"/api/v1/namespaces/{driver.namespace}/pods/{name}/eviction"
    kubectl("create", "--raw", path, "--filename", "-", input=json.dumps(body))
    found = ended(driver.executor, running.handle)
    assert (found.code, found.reason) == (None, LOST)


def test_a_namespace_that_does_not_exist_is_named(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "no-such-namespace")
    found = ended(other := driver.again(), other.start(spec_of("/bin/true")))
    assert found.reason == REFUSED
    assert "no-such-namespace" in found.cause


def test_a_cluster_that_is_away_for_a_while_changes_nothing(driver: KubernetesDriver, running: Running) -> None:
    driver.say(running, stdout=b"before\n")
    driver.proxy.away()
    driver.say(running, stdout=b"meanwhile\n")
    driver.end(running, 6)
    until(lambda: "terminated" in json.dumps(driver.objects("pods")), "it ends")
    driver.proxy.back()
    assert until(lambda: read_exit(Path(running.handle)), "its end is recorded") == AttemptExit(6)
    assert driver.output(running.handle) == (b"before\nmeanwhile\n", b"")


def test_what_an_owner_that_was_killed_left_is_swept(driver: KubernetesDriver, running: Running) -> None:
    driver.order(running, ":")
    driver.executor.close()
    (Path(running.handle) / "spec.json").unlink()
    other = driver.again()
    other.poll(running.handle)
    assert ended(other, other.start(spec_of("/bin/true", name="another-1"))) == AttemptExit(0)
    until(lambda: not driver.left(), "nothing is left")


def test_many_at_a_time_need_no_thread_each(driver: KubernetesDriver) -> None:
    runs: list[Running] = []
    threads: set[str] = set()
    for number in range(10):
        spec = driver.spec(f"many-{number}")
        runs.append(Running(spec, driver.executor.start(spec)))
        if number == 0:
            driver.order(runs[0], ":")
            threads = threads_of_the_product()
    for each in runs:
        driver.order(each, ":")
    assert threads_of_the_product() == threads
    for number, each in enumerate(runs):
        driver.end(each, number)
    assert [ended(driver.executor, each.handle) for each in runs] == [AttemptExit(number) for number in range(10)]


def threads_of_the_product() -> set[str]:
    """Return the names of all threads but those of the servers of a test, which have one per connection."""
    ours = ("(process_request_thread)", "(_copy)")
    return {thread.name for thread in threading.enumerate() if not thread.name.endswith(ours)}


def test_secrets_are_never_on_a_disk(driver: KubernetesDriver) -> None:
    spec = spec_of("/bin/sh", "-c", 'test "$1" = hunter"$A"', "x", arguments=("hunter2",), environment={"A": "2"})
    spec = replace(spec, processes=(replace(spec.processes[0], is_secret=True),))
    handle = driver.executor.start(spec)
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert not [path for path in Path(handle).rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_what_cannot_be_started_says_why(driver: KubernetesDriver) -> None:
    spec = spec_of("/no/program", image="rig.local/busybox:1")
    found, _, stderr = driver.run(spec)
    assert (found.code, found.reason) == (125, NOT_STARTED)
    assert b"/no/program" in stderr
