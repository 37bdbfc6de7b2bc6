"""What is kept of the output of attempts, most of them without a launcher, with an API server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import LOST, AttemptExit
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from fabric_jobs.executors.kubernetes.output import UNREAD
from fabric_jobs.executors.kubernetes.salvage import CUT
from tests.acceptance.live import until
from tests.executors.contract import ended
from tests.executors.kubernetes_driver import spec_of
from tests.kubernetes_api.cluster import NotStarted, Pod
from tests.kubernetes_api.server import Running, Server, serving

PYTHON = "python3"


class Printing:
    """The program of a pod, which a test lets print and end."""

    def __init__(self, *, has_python: bool = False) -> None:
        self.pod: Pod | None = None
        self.code = 0
        self._has_python = has_python
        self._may_end: asyncio.Event | None = None

    async def __call__(self, pod: Pod) -> int:
        """Run."""
        if not self._has_python and pod.body["spec"]["containers"][0]["command"][0] == PYTHON:
            raise NotStarted(f'exec: "{PYTHON}": executable file not found in $PATH')
        self._may_end = asyncio.Event()
        self.pod = pod
        asking = asyncio.ensure_future(pod.asked.wait())
        ending = asyncio.ensure_future(self._may_end.wait())
        await asyncio.wait([asking, ending], return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        ending.cancel()
        return self.code if self._may_end.is_set() else 143

    def print(self, *numbers: int, rotated: int = 0) -> None:
        """Print lines; of all that were printed the node then shows no more the first `rotated` ones."""
        assert self.pod is not None
        for number in numbers:
            self.pod.log += line(number)
        self.pod.rotated = sum(len(line(number)) for number in range(rotated))

    def end(self) -> None:
        """End."""
        assert self._may_end is not None
        self._may_end.set()


class Attempt:
    """One attempt, whose owner may end and come back."""

    def __init__(self, root: Path, api: Running, program: Printing) -> None:
        self.root = root
        self.api = api
        self.program = program
        self.executor = KubernetesExecutor(root)
        self.handle = self.executor.start(spec_of("print", image="busybox"))
        until(lambda: program.pod is not None, "it runs")

    def print(self, *numbers: int, rotated: int = 0) -> None:
        """Let its program print."""
        self.api.call(lambda _: self.program.print(*numbers, rotated=rotated))

    def end(self) -> AttemptExit:
        """Let its program end."""
        self.api.call(lambda _: self.program.end())
        return ended(self.executor, self.handle)

    def again(self) -> None:
        """Let another owner take over."""
        self.executor = KubernetesExecutor(self.root)
        self.executor.poll(self.handle)

    @property
    def stdout(self) -> bytes:
        """What is there."""
        return (Path(self.handle) / "stdout").read_bytes()

    @property
    def trouble(self) -> str:
        """Why its state is unknown."""
        try:
            self.executor.poll(self.handle)
        except ExecutorUnavailable as error:
            return error.message
        return ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is said about its output."""
        return tuple(each for each in self.executor.note(self.handle).remarks if "no python3" not in each)


def line(number: int) -> bytes:
    return b"line %d\n" % number


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Attempt]:
    program = Printing(has_python=getattr(request, "param", False))
    with serving(program) as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "default")
        made = Attempt(tmp_path / "attempts", api, program)
        yield made
        made.executor.close()


def whole(*numbers: int) -> bytes:
    return b"".join(map(line, numbers))


def test_an_owner_that_comes_back_after_a_rotation_keeps_every_line(attempt: Attempt) -> None:
    attempt.print(*range(5))
    until(lambda: attempt.stdout == whole(*range(5)), "it is there")
    attempt.executor.close()
    attempt.print(5, 6, rotated=4)
    attempt.again()
    until(lambda: attempt.stdout == whole(*range(7)), "the rest is there")
    attempt.print(7)
    assert attempt.end() == AttemptExit(0)
    assert (attempt.stdout, attempt.remarks) == (whole(*range(8)), ())


def test_what_was_dropped_while_no_owner_was_there_is_said(attempt: Attempt) -> None:
    attempt.print(*range(3))
    until(lambda: attempt.stdout == whole(*range(3)), "it is there")
    attempt.executor.close()
    attempt.print(*range(3, 8), rotated=6)
    attempt.again()
    assert attempt.end() == AttemptExit(0)
    assert (attempt.stdout, attempt.remarks) == (whole(0, 1, 2, 6, 7), (UNREAD,))


def test_a_pod_that_is_deleted_by_force_leaves_what_was_seen_and_says_so(attempt: Attempt) -> None:
    attempt.print(0)
    until(lambda: attempt.stdout == whole(0), "it is there")

    def delete(server: Server) -> None:
        server.faults.cuts_logs = True
        pod = attempt.program.pod
        assert pod is not None
        server.node.delete("pods", pod.namespace, pod.name, 0)

    attempt.api.call(delete)
    assert ended(attempt.executor, attempt.handle).reason == LOST
    assert (attempt.stdout, attempt.remarks) == (whole(0), (UNREAD, "its pod was deleted by somebody else"))


def test_what_an_evicted_program_printed_without_an_owner_is_read(attempt: Attempt) -> None:
    attempt.print(0)
    until(lambda: attempt.stdout == whole(0), "it is there")
    attempt.executor.close()
    attempt.print(1)

    def evict(_: Server) -> None:
        program = attempt.program
        assert program.pod is not None
        reason = {"type": "DisruptionTarget", "status": "True", "message": "the node was low on memory"}
        program.pod.set({"conditions": [reason]})
        program.code = 137
        program.end()

    attempt.api.call(evict)
    attempt.again()
    assert ended(attempt.executor, attempt.handle).reason == LOST
    assert (attempt.stdout, attempt.remarks) == (whole(0, 1), ("the node was low on memory",))


@pytest.mark.parametrize("attempt", [True], indirect=True)
def test_a_launcher_that_is_deleted_by_force_may_have_sent_less_than_it_had(attempt: Attempt) -> None:
    (Path(attempt.handle) / "stdout").write_bytes(b"sent\n")

    def delete(server: Server) -> None:
        pod = attempt.program.pod
        assert pod is not None
        server.node.delete("pods", pod.namespace, pod.name, 0)

    attempt.api.call(delete)
    assert ended(attempt.executor, attempt.handle).reason == LOST
    assert attempt.remarks == (CUT, "its pod was deleted by somebody else")


def test_a_right_that_is_missing_is_told_and_costs_no_output(attempt: Attempt) -> None:
    denied = attempt.api.faults.denied
    attempt.executor.close()
    denied.add(("get", "log"))
    attempt.api.call(lambda _: attempt.program.print(0))
    attempt.again()
    attempt.api.call(lambda _: attempt.program.end())
    until(lambda: "cannot get" in attempt.trouble, "the right is named")
    denied.clear()
    until(lambda: not attempt.trouble, "the right is granted")
    assert ended(attempt.executor, attempt.handle) == AttemptExit(0)
    assert (attempt.stdout, attempt.remarks) == (whole(0), ())
