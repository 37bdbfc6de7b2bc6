"""Hands batches to the workers of APIs, and takes their reports (docs/explanation/batches.md)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fabric_jobs.engine import workers
from fabric_jobs.errors import InvalidInput, StaleAttempt
from fabric_jobs.gateway import record_text
from fabric_jobs.gateway.internal import OVER, PULL_SECONDS, attempt_of, await_credit, targets_of, whole_number
from fabric_jobs.gateway.json_response import body_of
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.shares import node_of
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import Node
from fabric_jobs.store import Tx, batches, channels, leases
from fabric_jobs.store.batches import Done, Failed, Handed, Report, Rules
from fabric_jobs.store.sent import Sent

ERROR_CHARACTERS = 4000  # of a batch's error that are kept
MOST = 64  # batches that a worker may hold


class WorkerCall(NamedTuple):
    """A worker's call."""

    said: Report
    want: int
    held: frozenset[tuple[int, int]]  # batches that the worker has: channel and first offset


async def exchange(request: Request) -> Response:
    """Note what a worker reports, and answer with batches, with the call of on-job-complete, or with the end."""
    parts, task = attempt_of(request)
    node = node_of(parts, task)
    if node.action.api is None or not node.action.api.is_batch:
        raise InvalidInput(f"skill '{task.skill_name}' is not a Batch API, so its tasks get no batches.")
    body = await body_of(request, parts.settings.body_bytes)
    asked = _parse(body, node.output, parts.settings.record_bytes)
    if any(done.sent for done in asked.said.done):
        await await_credit(parts, task, targets_of(parts, task, node.output))
    rules = parts.live.rules.get(task.task_id)
    if rules is None:
        rules = workers.rules_of(parts.store.read, node, str(task.activation_id))
        parts.live.rules.put(task.task_id, rules)
    deadline = asyncio.get_running_loop().time() + PULL_SECONDS
    since: float | None = None  # when the first incomplete batch was seen
    said = asked.said
    # The lease of another worker may run out meanwhile.
    others = parts.settings.lease_seconds_in(task.place) or math.inf
    while True:
        found = channels.of_attempt(parts.store.read, task.task_id, task.attempt)
        now = asyncio.get_running_loop().time()
        since = (since or now) if any(_is_partial(channel, rules) for channel in found) else None
        flush = since is not None and now - since >= _patience(node, rules)
        asked = asked._replace(said=said)
        step = partial(_step, parts=parts, task=task, rules=rules, asked=asked, flush=flush)
        keys: list[tuple[str, int | str]] = [("channel", channel.channel_id) for channel in found]
        with parts.live.watching([*keys, ("activation", str(task.activation_id))]) as touched:
            handed = await asyncio.wrap_future(parts.store.write(step))
            said = Report(ready=False)  # the rest is stored
            new = [batch for batch in handed if batch[:2] not in asked.held]
            if new or asked.held or not asked.want:
                return _answer(parts, task, new)
            found = channels.of_attempt(parts.store.read, task.task_id, task.attempt)
            if found and workers.is_drained(found):
                return await _at_the_end(parts, task, found, rules)
            left = min(
                deadline - now, others, _until_due(parts, task), math.inf if since is None else since + 1.0 - now
            )
            await touched(max(0.0, left))
        if parts.live.closing or asyncio.get_running_loop().time() >= deadline:
            return Response(status_code=503 if parts.live.closing else 204)


def _step(tx: Tx, *, parts: Parts, task: Task, rules: Rules, asked: WorkerCall, flush: bool) -> list[Handed]:
    """Note the report and hand out batches; return all that the worker holds. Raises StaleAttempt."""
    lease_seconds = parts.settings.lease_seconds_in(task.place)
    could_call = parts.awake.seconds() >= lease_seconds  # all workers, since this gateway was there for so long
    batches.report(tx, task.task_id, task.attempt, asked.said, rules)
    inbound = channels.of_attempt(tx, task.task_id, task.attempt)
    if not inbound:
        raise StaleAttempt(OVER)
    if lease_seconds:
        leases.extend(tx, task.task_id, time.time() + lease_seconds)  # before the expired ones go back
    again = [lease for lease in leases.held(tx, task.task_id) if lease[:2] not in asked.held]  # the answer was lost
    want = asked.want - len(again)
    for channel in inbound:
        if could_call:
            batches.expire(tx, channel.channel_id)
        if want > 0:
            is_whole = channel.ended or (flush and not rules.whole)
            want -= len(batches.take(tx, task, channel, rules, want, flush=is_whole))
    if lease_seconds:
        leases.extend(tx, task.task_id, time.time() + lease_seconds)
    return batches.held(tx, task.task_id)


async def _at_the_end(parts: Parts, task: Task, found: list[Channel], rules: Rules) -> Response:
    counts = await asyncio.wrap_future(parts.store.write(lambda tx: batches.claim_completion(tx, task)))
    if counts is None:
        return _ndjson({"batches": [], "complete": None, "end": True})
    told = {"job_id": task.activation_id, **workers.summary(counts, found, rules.size)}
    return _ndjson({"batches": [], "complete": told, "end": False})


def _answer(parts: Parts, task: Task, handed: Iterable[Handed]) -> Response:
    heads, bodies, lease = [], [], parts.settings.lease_seconds_in(task.place) or None
    for batch in handed:
        body = _body(parts, batch)
        name = batches.batch_id(str(task.activation_id), batch.channel_id, batch.first)
        heads.append([batch.channel_id, batch.first, batch.below - batch.first, batch.attempt, name, len(body)])
        bodies.append(body)
    return _ndjson({"batches": heads, "complete": None, "end": False, "lease": lease}, *bodies)


def _ndjson(head: dict[str, Any], *bodies: bytes) -> Response:
    return Response(b"".join((orjson.dumps(head), b"\n", *bodies)), media_type="application/x-ndjson")


def _body(parts: Parts, batch: Handed) -> bytes:
    """Return the records of a batch as a JSON array, with their exact text."""
    lines = parts.lines.of(parts.store, batch.channel_id, batch.first, batch.below)
    return b"[" + b",".join(lines) + b"]\n"


def _is_partial(channel: Channel, rules: Rules) -> bool:
    """Return whether an incomplete batch waits for more records."""
    return 0 < channel.next_offset - channel.dispatched < rules.size and not channel.ended


def _patience(node: Node, rules: Rules) -> float:
    """Return how long an incomplete batch waits, in seconds."""
    return math.inf if rules.whole or node.action.batch is None else node.action.batch.seconds


def _until_due(parts: Parts, task: Task) -> float:
    now = time.time()
    due = batches.next_due(parts.store.read, str(task.activation_id), now)
    return math.inf if due is None else due - now


def _parse(body: bytes, output: str, record_bytes: int) -> WorkerCall:
    end = body.find(b"\n")
    try:
        head: dict[str, Any] = orjson.loads(body[:end] if end >= 0 else body)
        done, at = [], end + 1
        for channel, first, seconds, count in head.get("done", ()):
            sent, at = _sent(body, at, output, whole_number(count))
            done.append(Done(whole_number(channel), whole_number(first), float(seconds), sent))
        if end >= 0 and at != len(body):
            raise ValueError("there are bytes after the last record")
        failed = tuple(
            Failed(whole_number(channel), whole_number(first), str(error)[:ERROR_CHARACTERS], float(seconds))
            for channel, first, error, seconds in head.get("failed", ())
        )
        completed = head.get("completed")
        said = Report(bool(head.get("ready")), tuple(done), failed, "" if completed is None else _completed(completed))
        held = frozenset((whole_number(channel), whole_number(first)) for channel, first in head.get("held", ()))
        too_long = max((len(line) for each in done if each.sent for line in each.sent.bytes.split(b"\n")), default=0)
        if too_long > record_bytes:
            raise ValueError(f"a record is over the limit of {record_bytes} bytes")
        return WorkerCall(said, min(MOST, whole_number(head.get("want", 0))), held)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidInput(f"this is not a worker's report: {error!r}.") from error


def _sent(body: bytes, at: int, output: str, count: int) -> tuple[Sent | None, int]:
    """Return the next `count` records of a body, and where they end."""
    end = at
    for _ in range(count):
        end = body.index(b"\n", end) + 1
    if not count:
        return None, at
    data = body[at:end]
    record_text.check_lines(data)
    return Sent(output=output, count=count, bytes=data), end


def _completed(value: dict[str, Any]) -> str:
    error = str(value.get("error") or "")
    return error[:ERROR_CHARACTERS] or str(whole_number(value.get("status", 200)))


HOT = {("POST", "batches"): exchange}
OPERATIONS = (
    Operation(
        "POST",
        "/internal/attempts/{attempt}/batches",
        exchange,
        body="BatchReport",
        is_read=False,
        answer="Records",
        others={"204": ("No batch came for 20 seconds.",)},
        errors=("409",),
        caller="task",
    ),
)
