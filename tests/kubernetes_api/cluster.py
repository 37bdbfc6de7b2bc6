"""What controllers and the kubelet of a cluster do: pods for Jobs, programs for pods, ends, and what goes with its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.kubernetes_api.objects import Object, Objects, Refused, now

PROGRAM = "program"
JOB_NAME = "batch.kubernetes.io/job-name"
ADDRESS = "127.0.0.1"  # of every pod


class NotStarted(Exception):
    """The program of a pod cannot be started."""


@dataclass(eq=False)
class Pod:
    """A pod on its way. Its program is told by `asked` that it should end within `grace` seconds."""

    body: Object
    objects: Objects
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    log: bytearray = field(default_factory=bytearray)
    rotated: int = 0  # bytes of it that the node shows no more
    grace: float = 30.0

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self.body["metadata"]["namespace"])

    def get(self, kind: str, name: str) -> Object:
        """Return an object of its namespace. Raises Refused."""
        return self.objects.get(kind, self.namespace, name)

    def set(self, status: Object) -> None:
        """Change its status."""
        with suppress(Refused):  # it was deleted by force
            self.body = self.objects.change("pods", self.namespace, self.name, {"status": status})


Program = Callable[[Pod], Awaitable[int]]  # returns an exit code; raises NotStarted


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long things take, in seconds. The defaults are what a real node takes, as the executor's tests measure it."""

    schedule: float = 0.0
    start: float = 0.6  # from a node to a running program
    notice: float = 0.3  # from the end of a program to its status
    phase: float = 1.0  # then to the pod's phase
    job: float = 1.0  # then to the Job's condition


QUICK = Pace(start=0.01, notice=0.0, phase=0.01, job=0.01)


class Node:
    """Runs pods, and is the controller of Jobs."""

    def __init__(self, objects: Objects, program: Program, *, pace: Pace = QUICK, room: int = 1_000_000) -> None:
        """Run at most `room` pods at a time; others wait for a node, and say so."""
        self.pods: dict[tuple[str, str], Pod] = {}
        self.most = 0  # pods that ran at a time
        self._objects = objects
        self._program = program
        self._pace = pace
        self._room = asyncio.Semaphore(room)
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        objects.on_change.append(self._note)

    def delete(self, kind: str, namespace: str, name: str, grace: float | None) -> Object:
        """Delete an object as users do: pods are first asked to end, and what it owns goes with it."""
        if kind == "pods" and (pod := self.pods.get((namespace, name))) is not None and grace != 0:
            pod.grace = pod.grace if grace is None else grace
            body = {"deletionTimestamp": now(), "deletionGracePeriodSeconds": int(pod.grace)}
            pod.body = self._objects.change(kind, namespace, name, {"metadata": body})
            pod.asked.set()
            self._later(pod.grace, pod.killed.set)
            return pod.body
        found = self._objects.delete(kind, namespace, name)
        if kind == "pods" and (pod := self.pods.get((namespace, name))) is not None:
            pod.asked.set()
            pod.killed.set()
        for owned, each in self._objects.owned(namespace, found["metadata"]["uid"]) if kind != "pods" else ():
            with suppress(Refused):
                self.delete(owned, namespace, each, None)
        return found

    async def close(self) -> None:
        """End all pods."""
        for pod in self.pods.values():
            pod.asked.set()
            pod.killed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, event: str, kind: str, found: Object) -> None:
        if kind == "jobs" and event != "DELETED" and not found["spec"].get("suspend"):
            self._make_pods(found)
        elif kind == "pods" and event == "ADDED":
            pod = self.pods[found["metadata"]["namespace"], found["metadata"]["name"]] = Pod(found, self._objects)
            self._begin(self._run(pod))

    def _make_pods(self, job: Object) -> None:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        if job.get("status"):  # they are made
            return
        spec = job["spec"]
        count = int(spec.get("parallelism", 1))
        self._objects.change("jobs", namespace, name, {"status": {"active": count, "startTime": now()}})
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
        for number in range(count):
            template = spec["template"]
            metadata = template.get("metadata") or {}
            notes = dict(metadata.get("annotations") or {})
            if spec.get("completionMode") == "Indexed":
                notes["batch.kubernetes.io/job-completion-index"] = str(number)
            body = {
                "metadata": {
                    "generateName": f"{name}-",
                    "labels": {**(metadata.get("labels") or {}), JOB_NAME: name},
                    "annotations": notes,
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
            self._begin(self._make_pod(namespace, body))

    async def _make_pod(self, namespace: str, body: Object) -> None:
        self._objects.create("pods", namespace, body)

    async def _run(self, pod: Pod) -> None:
        """Take a pod from its creation to its end, and away once it was to be deleted."""
        if self._room.locked():
            words = "0/1 nodes are available: 1 Too many pods."
            unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
            pod.set({"conditions": [unfit]})
        async with self._room:
            self._running += 1
            self.most = max(self.most, self._running)
            try:
                await self._live(pod)
            finally:
                self._running -= 1
        await _either(pod.killed, pod.asked)
        self.pods.pop((pod.namespace, pod.name), None)
        with suppress(Refused):
            self._objects.delete("pods", pod.namespace, pod.name)

    async def _live(self, pod: Pod) -> None:
        await asyncio.sleep(self._pace.schedule)
        placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
        creating = {"waiting": {"reason": "ContainerCreating"}}
        pod.set({"conditions": [placed], "containerStatuses": _statuses(pod, creating)})
        await _unless(pod.asked, self._pace.start)
        if pod.asked.is_set():
            return
        program = asyncio.ensure_future(self._program(pod))
        started = now()
        running = {"state": {"running": {"startedAt": started}}}
        if not program.done():
            addresses = {"podIP": ADDRESS, "hostIP": ADDRESS}
            statuses = _statuses(pod, running["state"], ready=True)
            pod.set({"phase": "Running", **addresses, "containerStatuses": statuses})
        try:
            code, reason, words = await program, "", ""
        except NotStarted as error:
            code, reason, words = 128, "StartError", str(error)
        await asyncio.sleep(self._pace.notice)
        ended = {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "startedAt": started,
            "finishedAt": now(),
            **({"message": words} if words else {}),
        }
        pod.set({"containerStatuses": _statuses(pod, {"terminated": ended})})
        await _unless(pod.asked, self._pace.phase)
        pod.set({"phase": "Failed" if code else "Succeeded"})
        self._begin(self._end_job(pod, failed=bool(code)))

    async def _end_job(self, pod: Pod, *, failed: bool) -> None:
        await asyncio.sleep(self._pace.job)
        name = pod.body["metadata"]["labels"].get(JOB_NAME, "")
        with suppress(Refused):
            job = self._objects.get("jobs", pod.namespace, name)
            status = job.get("status") or {}
            key = "failed" if failed else "succeeded"
            left, done = int(status.get("active", 1)) - 1, int(status.get(key, 0)) + 1
            patch: Object = {"active": left, key: done}
            if not left:
                over = {"type": "Failed" if failed else "Complete", "status": "True", "lastTransitionTime": now()}
                patch |= {"conditions": [over], "completionTime": now()}
            self._objects.change("jobs", pod.namespace, name, {"status": patch})

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, step)


def _statuses(pod: Pod, state: Object, *, ready: bool = False) -> list[Object]:
    return [
        {"name": each["name"], "image": each["image"], "restartCount": 0, "ready": ready, "state": state}
        for each in pod.body["spec"]["containers"]
    ]


async def _unless(event: asyncio.Event, seconds: float) -> None:
    """Sleep, but not beyond an event."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _either(*events: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
