"""Logs: as one text, as bytes by offset, in pages with times, or live as server-sent events (docs/reference/http.md).

Everything is read with `masked_logs`, which hides secrets.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import orjson
from starlette.responses import Response, StreamingResponse

from fabric_jobs.errors import ExecutorUnavailable, NotFound
from fabric_jobs.executors.base import STREAMS, LogPage, LogPart, LogQuery
from fabric_jobs.gateway import masked_logs
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.followers import AGAIN_SECONDS, WAKING, AttemptLog, News
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.live import Live
from fabric_jobs.gateway.lookup import find_task
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import WAIT, P, choice, flag, number, text, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Task
from fabric_jobs.store import tasks
from fabric_jobs.store.activations import RunFilter

LOG_BYTES = 1 << 20  # at most this much of a log in one answer

# The old CLI's parser fails on an event that is split over two reads of at most 64 KiB.
# So events are small, and bursts are short enough that the CLI can fall a few of them behind.
EVENT_CHARACTERS = 8_192
BURST_BYTES = 12_288
BURST_SECONDS = 0.02


class _Looking(NamedTuple):
    """How the gateway reads a log for a caller."""

    parts: Parts
    task_id: int
    attempt: int
    streams: tuple[str, ...] = STREAMS
    since: float = 0.0
    whole: bool = False
    patient: bool = False
    is_one_of_many: bool = False  # wait for later attempts too
    limit: int = LOG_BYTES

    @property
    def live(self) -> Live:
        """What wakes the waiting callers when the owner ends."""
        return self.parts.live

    @property
    def key(self) -> Hashable:
        """Which log it is, and which part is wanted."""
        shown = (self.streams, self.whole, self.patient, self.limit)
        return self.task_id, self.attempt, self.is_one_of_many, *shown

    async def look(self, cursor: str, *, whole: bool) -> News:
        """Return what follows a cursor now; raise ExecutorUnavailable or NotFound."""
        task = tasks.find(self.parts.store.read, self.task_id)
        if task is None:
            raise NotFound("the task has been deleted.")
        log = log_of(self.parts, task, self.attempt)
        begin = task.started_at or 0.0 if task.kind == "calls" else 0.0  # its daemon may have started earlier
        since = 0.0 if cursor else max(self.since, begin)
        query = LogQuery(cursor=cursor, streams=self.streams, since=since, whole=whole, limit=self.limit)
        page = await page_of(self.parts, log, query)
        ended = task.ended or self.attempt < task.attempt if self.is_one_of_many else log.ended
        return News(log=log, page=page, over=ended or self.live.closing)


STREAM = choice("stream", "Only this one of the two.", *STREAMS)
ATTEMPT = whole("attempt", "The number of the attempt; the last by default.", None)
OFFSET = whole("offset", "The first byte, of one stream.", 0)
FOLLOW = flag(
    "follow",
    'As server-sent events, each `data: {"log": "…"}`, until the task has ended; without `attempt` those of later attempts too.',
)
CURSOR = text(
    "cursor",
    "The `cursor` of the page before.",
    type="string",
    pattern="^([0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18})?$",
)
SINCE = number("since", "Only what was printed since then, in milliseconds since 1970.", 0)
WHOLE = flag("whole", "No line without its end while there may be more.")
RAW = flag("raw", "The whole log, the bytes as they came.")
HEADERS = {
    "x-fabric-state": "The state of the task.",
    "x-fabric-attempt": "The attempt whose log this is.",
    "x-fabric-attempts": "How many attempts there have been.",
}


async def show_logs(call: Call) -> Response:
    """Show the log of an attempt: merged, one stream of it as text from a byte on, or live.

    Merged: the first MiB of stdout and stderr; `truncated` is true if there is more. With `stream`: at most
    1 MiB of unchanged bytes, and the answer has the headers.
    """
    parts, task, number = call.parts, find_task(call), call.of(ATTEMPT)
    log = log_of(parts, task, task.attempt if number is None else number)
    if call.of(FOLLOW) and call.method == "GET":
        only = None if number is None else log.attempt
        return StreamingResponse(_events(followed(parts, task, only)), media_type="text/event-stream")
    if not call.of(STREAM):
        return await _text(parts, log)
    data = b""
    if log.handle:
        read = partial(masked_logs.part, parts, log)
        data = await asyncio.to_thread(read, call.of(STREAM), call.of(OFFSET), LOG_BYTES)
    said = (task.state.value, str(log.attempt), str(task.attempt))
    headers = dict(zip(HEADERS, said, strict=True))
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


async def show_log_page(call: Call) -> Response:
    """Show a page of a log, of about 1 MiB: a line of JSON that says what its parts are, then their bytes."""
    parts, task = call.parts, find_task(call)
    looking = _Looking(
        parts=parts,
        task_id=task.task_id,
        attempt=log_of(parts, task, call.of(ATTEMPT) or task.attempt).attempt,
        streams=(call.of(STREAM),) if call.of(STREAM) else STREAMS,
        since=call.of(SINCE) / 1000,
        whole=call.of(WHOLE),
    )
    news = await _within(looking, call.of(CURSOR), call.of(WAIT))
    return Response(_body(news.log, news.page), media_type="application/octet-stream")


async def _within(looking: _Looking, cursor: str, seconds: float) -> News:
    """Return what comes after a cursor within some seconds, or else the current state."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while seconds and not looking.live.closing:
                try:
                    return await looking.parts.followers.news(looking, cursor)
                except ExecutorUnavailable:
                    await looking.live.wait([WAKING], AGAIN_SECONDS)
    return await looking.look(cursor, whole=looking.whole)


async def show_skill_logs(call: Call) -> Response:
    """Show the log of the newest task of an action."""
    parts, name, action = call.parts, call.path_params["name"], call.path_params["action"]
    found = tasks.listed(parts.store.read, RunFilter(project_id=call.project, skill=name, action=action, limit=1))
    if not found:
        raise NotFound(
            f"no task of skill '{name}', action '{action}' has run.",
            hint="List the tasks with `fabric-jobs tasks list`.",
        )
    if call.of(RAW):
        log = log_of(parts, found[0], found[0].attempt)
        return StreamingResponse(_bytes(parts, log), media_type="text/plain; charset=utf-8")
    return await newest_log(parts, found[0])


async def newest_log(parts: Parts, task: Task) -> Response:
    """Answer with the log of a task's last attempt as one text."""
    return await _text(parts, log_of(parts, task, task.attempt))


def log_of(parts: Parts, task: Task, number: int) -> AttemptLog:
    """Return the log of an attempt of a task; for calls it is their daemon's log. Raises NotFound."""
    daemon = tasks.newest_daemon(parts.store.read, task) if task.kind == "calls" else None
    whose, which = (task.task_id, number) if daemon is None else (daemon.task_id, daemon.attempt)
    attempt = tasks.attempt(parts.store.read, whose, which)
    if attempt is None and number:
        raise NotFound(f"task '{task.name}' has no attempt {number}.", hint=f"It has had {task.attempt}.")
    return AttemptLog(
        task=task,
        attempt=number,
        executor=attempt.executor if attempt is not None else "",
        handle=attempt.handle if attempt is not None else None,
        ended=task.ended or number < task.attempt or (attempt is not None and attempt.ended_at is not None),
    )


async def _text(parts: Parts, log: AttemptLog) -> Response:
    """Return a log as one text (docs/reference/compatibility.md#logs), its first LOG_BYTES."""
    text, truncated = await asyncio.to_thread(masked_logs.merged, parts, log, LOG_BYTES) if log.handle else (b"", False)
    logs = text.decode(errors="replace")
    if truncated:
        end = "" if logs.endswith("\n") else "\n"
        logs += f"{end}[There is more: fabric-jobs tasks logs {log.task.name} --attempt {log.attempt}]\n"
    return Json({"success": True, "logs": logs, "truncated": truncated})


async def page_of(parts: Parts, log: AttemptLog, query: LogQuery) -> LogPage:
    """Return a page; once the attempt has ended, it includes an unfinished last line."""
    if not log.handle:
        return LogPage((), query.cursor, more=False)
    return await asyncio.to_thread(
        masked_logs.page, parts, log, replace(query, whole=query.whole and not log.ended)
    )  # not in the loop's thread: a slow disk would block other callers


def _body(log: AttemptLog, page: LogPage) -> bytes:
    head = {
        "task": log.task.name,
        "skill": log.task.skill_name,
        "state": log.task.state.value,
        "attempt": log.attempt,
        "attempts": log.task.attempt,
        "ended": log.ended,
        "more": page.more,
        "cursor": page.cursor,
        "parts": [[part.stream, milliseconds(part.at), len(part.bytes)] for part in page.parts],
    }
    return b"\n".join([orjson.dumps(head), b"".join(part.bytes for part in page.parts)])


async def _bytes(parts: Parts, log: AttemptLog) -> AsyncIterator[bytes]:
    query = LogQuery()
    more = True
    while more and not parts.live.closing:
        page = await page_of(parts, log, query)
        query, more = replace(query, cursor=page.cursor), page.more
        for part in page.parts:
            yield part.bytes


async def followed(parts: Parts, task: Task, only: int | None) -> AsyncIterator[LogPart]:
    """Yield the parts of a log as they come, in whole lines if possible, until the task or the attempt has ended."""
    number, cursor = only or task.attempt, ""
    while not parts.live.closing:
        looking = _Looking(
            parts=parts,
            task_id=task.task_id,
            attempt=number,
            whole=True,
            patient=True,
            is_one_of_many=only is None,
            limit=LOG_BYTES // 16,
        )
        try:
            news = await parts.followers.news(looking, cursor)
        except ExecutorUnavailable:  # tried again: the log is not lost
            await parts.live.wait([WAKING], AGAIN_SECONDS)
            continue
        except NotFound:
            return
        cursor = news.page.cursor
        for part in news.page.parts:
            yield part
        if news.page.more or not news.over:
            continue
        if only is not None or number >= news.log.task.attempt:
            return
        number, cursor = number + 1, ""


async def _events(followed: AsyncIterator[LogPart]) -> AsyncIterator[bytes]:
    """Yield server-sent events one at a time, as the old CLI requires: only `data:` lines, and no empty log."""
    decoders = {stream: codecs.getincrementaldecoder("utf-8")(errors="replace") for stream in STREAMS}
    burst = 0
    async for stream, data in _with_end(followed):
        for piece in _texts(decoders[stream].decode(data, final=not data)):
            event = b"data: " + json.dumps({"log": piece}).encode() + b"\n\n"
            yield event
            burst += len(event)
            if burst >= BURST_BYTES:
                burst = 0
                await asyncio.sleep(BURST_SECONDS)


async def _with_end(followed: AsyncIterator[LogPart]) -> AsyncIterator[tuple[str, bytes]]:
    async for part in followed:
        yield part.stream, part.bytes
    for stream in STREAMS:
        yield stream, b""


def _texts(text: str) -> Iterator[str]:
    """Yield a text in pieces, one for each event, cut at line ends; the CLI prints the last line end itself."""
    while text:
        cut = len(text)
        if cut > EVENT_CHARACTERS:
            cut = text.rfind("\n", 0, EVENT_CHARACTERS) + 1 or EVENT_CHARACTERS
        yield text[:cut].removesuffix("\n") or "\n"
        text = text[cut:]


# A task's name has no slash, but people also try a skill's name here, which may have one.
LOGS = P + "/tasks/{task:path}/logs"
OPERATIONS = (
    Operation(
        "GET", LOGS + "/page", show_log_page, parameters=(CURSOR, ATTEMPT, STREAM, SINCE, WHOLE, WAIT), answer="LogPage"
    ),
    Operation(
        "GET",
        LOGS,
        show_logs,
        parameters=(STREAM, OFFSET, ATTEMPT, FOLLOW),
        answer=("Log", "Text", "LogStream"),
        headers=HEADERS,
        not_yet=("verbose",),
    ),
    Operation(
        "GET",
        P + "/skills/{name:path}/action/{action:path}/logs",
        show_skill_logs,
        parameters=(RAW,),
        answer=("Log", "Text"),
    ),
)
