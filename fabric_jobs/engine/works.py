"""Gives a lane what it needs for an attempt: the description for the executor, and what to read at the end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fabric_jobs.clock import steady
from fabric_jobs.engine.lanes import Work
from fabric_jobs.engine.launch import Issuing, attempt_spec, process_of, scheduled_at
from fabric_jobs.engine.output import NOTHING, Output, ended_well, output_of
from fabric_jobs.engine.printed import Printed, last_printed
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptExit, AttemptSpec, Executor, Inside
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import SOURCE, Node, sending_id
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, channels, definitions, tasks

READ_BYTES = 1 << 20  # of records at a time
ASK_SECONDS = 1.0  # at least, between two checks whether a place still waits


def given_up(task: Task) -> Work:
    """Return the work for stopping an attempt whose activation is unreadable."""

    def make(inside: Inside) -> AttemptSpec:
        raise InvalidInput("its activation has been given up")

    return Work(
        task=task, make=make, read=lambda *_: NOTHING, note=lambda handle: None, postpone=lambda still_waits: None
    )


class Works:
    """Makes works. Their functions run in a lane's thread, and read the store over that thread's connection."""

    def __init__(self, store: Store, settings: Settings, issuing: Issuing) -> None:
        self._store = store
        self._settings = settings
        self._issuing = issuing

    def of(self, activation: Activation, task: Task, node: Node) -> Work:
        """Return the work of the current attempt of a task."""
        return Work(
            task=task,
            make=partial(self._make, activation, task, node),
            read=partial(self._read, task, node),
            note=partial(self._note, task),
            postpone=partial(self._postpone, task, node.action.timeout or 0.0),
        )

    def workspace_of(self, activation: Activation, task: Task, node: Node) -> str:
        """Return the workspace that a task's program can use; empty when there is none."""
        return process_of(self._store.read, activation, task.skill_name, node.action).workspace

    def _make(self, activation: Activation, task: Task, node: Node, inside: Inside) -> AttemptSpec:
        process = process_of(self._store.read, activation, task.skill_name, node.action)
        process = replace(process, shell=self._issuing.shells.of(activation.activation_id))
        issued = self._issuing.to(activation, task, inside, scheduled_at=scheduled_at(self._store.read, activation))
        opened = self._issuing.opened(node, activation.project_id)
        process = replace(process, is_secret=opened is not node)
        spec = attempt_spec(activation, task, opened, self._payload(task), process, issued)
        if node.action.api is not None:
            spec = self._of_worker(spec, activation, opened, inside)
        return replace(spec, records=self._records(activation, task, node)) if inside.shows else spec

    def _of_worker(self, spec: AttemptSpec, activation: Activation, node: Node, inside: Inside) -> AttemptSpec:
        """Return the attempt of an API's worker, with what it reads about itself."""
        from fabric_jobs.engine.worker_file import with_worker, worker_content  # late: most owners have no APIs
        from fabric_jobs.store import jobs

        sql, version = self._store.read, activation.pins["skills"][node.skill_name]
        saved = definitions.find(sql, activation.project_id, "skill", node.skill_name, version)
        if saved is None or node.action.api is None:
            raise InvalidInput("its API has been deleted")
        content = worker_content(activation, node, saved, jobs.find(sql, activation.activation_id))
        content["ready_seconds"] = self._settings.ready_seconds
        return with_worker(spec, content, node.action.api, inside.files, self._settings.worker_image)

    def _records(self, activation: Activation, task: Task, node: Node) -> tuple[tuple[str, bool], ...]:
        """Make the directories of records that a program sees: its own, and those of the senders to a stream."""
        make, found = self._store.files.make_directory, []
        own, caller = (sending_id(activation.activation_id, key) for key in (node.key, SOURCE))
        if self._settings.sender_files:
            found.append((make(activation.activation_id, own, task.attempt_name), True))
        if task.receives == "stream":
            inbound = channels.inbound(self._store.read, activation.activation_id, node.key)
            senders = {channel.sending_id for channel in inbound} - {own, caller}
            found += [(make(activation.activation_id, sender), False) for sender in sorted(senders)]
        return tuple(found)

    def _payload(self, task: Task) -> bytes | None:
        if task.channel_id is None or task.record_offset is None:
            return None
        if task.receives != "batch":
            return b"".join(self._lines(task, 1))
        lines = self._lines(task, task.records)
        size = sum(map(len, lines))
        if size > self._settings.record_bytes:
            raise InvalidInput(
                f"its batch of {task.records} records has {size:,} bytes; the limit is {self._settings.record_bytes:,}, as "
                "for one record. Make the batch's 'size' smaller"
            )
        return b"[" + b",".join(lines) + b"]"

    def _lines(self, task: Task, count: int) -> list[bytes]:
        """Return the first `count` records of a task; raise InvalidInput when they are gone."""
        assert task.channel_id is not None
        assert task.record_offset is not None
        lines: list[bytes] = []
        while len(lines) < count:
            offset = task.record_offset + len(lines)
            segment = self._store.records(task.channel_id, offset, max_bytes=1 if count == 1 else READ_BYTES)
            if segment is None:  # older versions let a program acknowledge records of other tasks
                raise InvalidInput("its record is gone: another task has acknowledged it")
            lines += segment.part(offset, count - len(lines)).bytes.split(b"\n")[:-1]
        return lines

    def _note(self, task: Task, handle: str) -> None:
        self._store.write_soon(lambda tx: tasks.activate(tx, task, handle))

    def _postpone(self, task: Task, timeout: float, still_waits: bool) -> None:
        """Restart the program's time, since its place was waiting; if it still is, ask again soon."""
        begun_at = steady() - (timeout - max(ASK_SECONDS, timeout / 10) if still_waits else 0.0)
        self._store.write(lambda tx: tasks.postpone(tx, task, begun_at)).result()

    def _read(self, task: Task, node: Node, executor: Executor, handle: str, ended: AttemptExit) -> Output:
        now = tasks.find(self._store.read, task.task_id)
        if now is None:
            return NOTHING
        if ended_well(now, ended):
            found = output_of(executor, handle, now, node.action, limit=self._settings.record_bytes)
            return replace(found, printed=self._shown(task, found.printed))
        if ended.code == 0:
            executor.stop(handle, 0)  # executors leave processes running after exit 0, but this was no success
        return Output(printed=self._shown(task, last_printed(executor, handle)))

    def _shown(self, task: Task, printed: Printed) -> Printed:
        """Return lines without secrets: they become part of an error."""
        if not printed.lines:
            return printed
        return replace(printed, lines=self._issuing.secrets.masks(task.project_id).lines(printed.lines))
