"""The logs of all workers of a job, as one stream of lines of JSON (docs/reference/jobs.md#logs)."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import orjson
from starlette.responses import Response, StreamingResponse

from fabric_jobs.errors import ExecutorUnavailable, NotFound
from fabric_jobs.executors.base import STREAMS, LogPart, LogQuery
from fabric_jobs.gateway import logs
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.jobs import find_job
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, flag, text
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.jobs import Job
from fabric_jobs.records import Task
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.activations import RunFilter

WORKERS = 1000  # whose logs are in one answer; each of the others has its own
WAITING_PARTS = 64  # that were read and not sent yet
LOOK_SECONDS = 5.0  # between two looks for new workers, though nothing has happened

FOLLOW = flag("follow", "Go on until the job has ended, with the workers that start meanwhile.")
WORKER = text("worker", "Only of this worker: the name of its task.")


async def show_job_logs(call: Call) -> Response:
    """Show the logs of all workers of a job, with all their attempts: a line of JSON for each piece.

    Each has `worker` (the name of its task), `attempt`, `stream`, `at` in milliseconds since 1970, and `log`. Without `follow`,
    one worker comes after the other; with it, all together, as they print.
    """
    job, only = find_job(call), call.of(WORKER)
    if only and not any(task.name == only for task in _workers(call.parts, job)):
        raise NotFound(f"job {job.activation_id} has no worker '{only}'.", hint="See `fabric-jobs tasks list`.")
    pieces = (
        followed(call.parts, job, only) if call.of(FOLLOW) and call.method == "GET" else _now(call.parts, job, only)
    )
    return StreamingResponse(pieces, media_type="application/x-ndjson")


class _Pieces:
    """Turns the parts of one attempt's log into lines of JSON; a character that is cut in two comes whole."""

    def __init__(self, task: Task, attempt: int) -> None:
        self._head = {"worker": task.name, "attempt": attempt}
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")(errors="replace") for stream in STREAMS}

    def line(self, part: LogPart) -> bytes:
        """Return the line of a part; empty if it has no whole character."""
        said = self._decoders[part.stream].decode(part.bytes)
        shown = {**self._head, "stream": part.stream, "at": milliseconds(part.at), "log": said}
        return orjson.dumps(shown) + b"\n" if said else b""


async def _now(parts: Parts, job: Job, only: str) -> AsyncIterator[bytes]:
    """Yield what there is, worker by worker, in the order in which they began."""
    for task in _workers(parts, job):
        if only in ("", task.name):
            for attempt in range(1, task.attempt + 1):
                async for line in _attempt_now(parts, task, attempt):
                    yield line


async def _attempt_now(parts: Parts, task: Task, attempt: int) -> AsyncIterator[bytes]:
    pieces, query, more = _Pieces(task, attempt), LogQuery(), True
    while more and not parts.live.closing:
        try:
            page = await logs.page_of(parts, logs.log_of(parts, task, attempt), query)
        except (ExecutorUnavailable, NotFound):  # its place is away, or what it has kept; the others are shown
            return
        query, more = replace(query, cursor=page.cursor), page.more
        for part in page.parts:
            yield pieces.line(part)


async def followed(parts: Parts, job: Job, only: str) -> AsyncIterator[bytes]:
    """Yield the lines of all workers as they come, until the job and its logs have ended."""
    lines: asyncio.Queue[bytes] = asyncio.Queue(WAITING_PARTS)
    watching = asyncio.create_task(_watch(parts, job, only, lines))
    try:
        while not watching.done():
            getting = asyncio.ensure_future(lines.get())
            try:
                await asyncio.wait({getting, watching}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not getting.done():
                    getting.cancel()
            if getting.done() and not getting.cancelled():
                yield getting.result()
        while not lines.empty():
            yield lines.get_nowait()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(parts: Parts, job: Job, only: str, lines: asyncio.Queue[bytes]) -> None:
    """Follow every worker that starts; return when the job has ended, and all its logs are read."""
    readers: dict[int, asyncio.Task[None]] = {}
    try:
        is_over = False
        while not is_over and not parts.live.closing:
            is_over = not activations.is_pending(parts.store.read, job.activation_id)
            for task in _workers(parts, job):
                if task.attempt and task.task_id not in readers and only in ("", task.name):
                    readers[task.task_id] = asyncio.create_task(_follow_one(parts, task, lines))
            if not is_over:
                key = job.activation_id
                await parts.live.wait([("activation", key), ("over", key)], LOOK_SECONDS)
        await asyncio.gather(*readers.values())
    finally:
        for reader in readers.values():
            reader.cancel()


async def _follow_one(parts: Parts, task: Task, lines: asyncio.Queue[bytes]) -> None:
    attempt = 1
    while not parts.live.closing:
        pieces = _Pieces(task, attempt)
        async for part in logs.followed(parts, task, attempt):
            if line := pieces.line(part):
                await lines.put(line)
        now = await _later(parts, task, attempt)
        if now is None or now.attempt == attempt:
            return
        attempt += 1


async def _later(parts: Parts, task: Task, attempt: int) -> Task | None:
    """Return a task once it has ended or has a later attempt; None if it is deleted."""
    while not parts.live.closing:
        now = tasks.find(parts.store.read, task.task_id)
        if now is None or now.ended or now.attempt > attempt:
            return now
        await parts.live.wait([("activation", str(task.activation_id))], LOOK_SECONDS)
    return None


def _workers(parts: Parts, job: Job) -> list[Task]:
    wanted = RunFilter(project_id=job.project_id, activation_id=job.activation_id, oldest_first=True, limit=WORKERS)
    return tasks.listed(parts.store.read, wanted)


OPERATIONS = (Operation("GET", P + "/jobs/{job}/logs", show_job_logs, parameters=(FOLLOW, WORKER), answer="JobLog"),)
