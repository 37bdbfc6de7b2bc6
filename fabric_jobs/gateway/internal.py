"""The routes that jobs call: commit, pull, and send_message (docs/reference/compatibility.md#sending-messages)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotAllowed, PlaceUnavailable, RecordTooLarge, ReplayDiffers, StaleAttempt
from fabric_jobs.gateway import record_text, rejects, replay, shares
from fabric_jobs.gateway.caller import task_claims
from fabric_jobs.gateway.json_response import Json, body_of
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.parameters import header, text
from fabric_jobs.gateway.parts import Parts, parts_of
from fabric_jobs.gateway.replay import answer_with
from fabric_jobs.gateway.sender_files import SenderFiles
from fabric_jobs.names import nearest
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import sending_id
from fabric_jobs.store import activations, channels, commits, tasks
from fabric_jobs.store.commits import Acked, Commit
from fabric_jobs.store.dead_letters import NewDeadLetter
from fabric_jobs.store.sent import Sent, count_of

PULL_SECONDS = 20.0  # how long a pull waits for records
PULL_BYTES = 256 << 10  # about this many bytes of records in one answer
RAISED_CHARACTERS = 1000  # of an exception that are kept
OVER = "this attempt is over: another is the current one, or the task has ended or been cancelled"


async def commit(request: Request) -> Response:
    """Take what an attempt sent and acknowledges; answered after one transaction holds all of it."""
    parts, task = attempt_of(request)
    body = await body_of(request, parts.settings.body_bytes)
    files = SenderFiles(parts, task)
    head, wanted = _parse(body, parts.settings.record_bytes, partial(rejects.letters, parts, task), files)
    if wanted.raised:
        wanted = replace(wanted, raised=parts.secrets.masks(task.project_id).text(wanted.raised))
    outputs = {sent.output for sent in wanted.sent}
    found = [channel for output in outputs for channel in targets_of(parts, task, output)]
    if not wanted.hold:
        await await_credit(parts, task, found)
    try:
        await asyncio.wrap_future(parts.store.write(lambda tx: commits.apply(tx, task.task_id, task.attempt, wanted)))
    except ReplayDiffers as error:
        cause = error.message
        await asyncio.wrap_future(parts.store.write(lambda tx: tasks.condemn(tx, task.task_id, task.attempt, cause)))
        raise
    rejects.check_goes_on(wanted.rejected)
    return Response(files.proposal(head, len(body)), media_type="application/json")


async def pull(request: Request) -> Response:
    """Answer with records of whichever input has some; wait for them when there are none."""
    parts, task = attempt_of(request)
    if task.receives != "stream":
        raise InvalidInput(
            f"the program of action '{task.action_name}' calls messages(), but the action is not a stream.",
            hint=f"Write 'receives: stream' under action '{task.action_name}' in skill.yaml, or use message().",
        )
    sender = request.query_params.get("sender", "")
    if sender:
        await asyncio.wrap_future(
            parts.store.write(lambda tx: commits.open_sender(tx, task.task_id, task.attempt, sender))
        )
    positions = _positions(request.query_params.get("at", ""))
    parts.store.handed_out.note(task.task_id, task.attempt, positions)
    at_end = request.query_params.get("acknowledge") == "end"
    sees = bool(request.query_params.get("files"))
    deadline = asyncio.get_running_loop().time() + PULL_SECONDS
    while True:
        found = channels.of_attempt(parts.store.read, task.task_id, task.attempt)
        if not found:
            raise StaleAttempt(OVER)
        if at_end:
            for channel in found:
                at = channel.dispatched if task.worker else positions.get(channel.channel_id, channel.acked)
                parts.live.delivered(channel.channel_id, at)
        with parts.live.watching([("channel", channel.channel_id) for channel in found]) as touched:
            if task.worker:
                answer = await shares.records(parts, task, found, positions, at_end=at_end)
            elif task.attempt > 1:
                answer = await replay.records(parts, task, found, positions)
            else:
                answer = _records(parts, task, found, positions, sees)
            if answer is not None:
                return answer
            if channels.of_attempt(parts.store.read, task.task_id, task.attempt) != found:
                continue  # it has changed while this call waited for the store
            alone = not task.worker
            if all(_is_drained(each, positions) for each in found) if alone else shares.is_drained(parts, task, found):
                return Response(status_code=204, headers={"x-fabric-end": "1"})
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not await touched(left):
                return Response(status_code=503 if parts.live.closing else 204)
        is_plain = task.attempt == 1 and alone
        answer = _newest(parts, task, found, positions, sees) if is_plain else None
        if answer is not None:
            return answer


async def send_message(request: Request) -> Response:
    """Store one record for an output; answered once it is on the disk, with exactly 200 and JSON."""
    parts = parts_of(request)
    claims = task_claims(request)
    task = _task(parts, claims)  # the transaction checks that the attempt is the current one
    activation_id, channel = request.path_params["activation"], request.path_params["channel"]
    ids = (str(task.activation_id), unquote(str(task.activation_id)))  # plain clients encode it, or do not
    if activation_id not in ids or channel != sending_id(ids[0], task.node):
        raise NotAllowed("the token is valid only for the outputs of its own task.")
    body = await body_of(request, parts.settings.record_bytes)
    try:
        record_text.check(body)
    except ValueError as error:
        raise InvalidInput(f"the record is not JSON: {error}.") from error
    # One line, otherwise unchanged: a line break in JSON text is white space.
    record = body.replace(b"\n", b" ").replace(b"\r", b" ").strip() + b"\n"
    output = request.path_params["output"]
    await await_credit(parts, task, targets_of(parts, task, output))
    sent = Sent(output=output, count=1, bytes=record)
    key = request.headers.get("idempotency-key")
    await asyncio.wrap_future(
        parts.store.write(lambda tx: commits.message(tx, task.task_id, task.attempt, sent, key=key))
    )
    return Json({"success": True})


def attempt_of(request: Request) -> tuple[Parts, Task]:
    """Return the task of a route as of its attempt's first call, if the token belongs to that attempt."""
    parts = parts_of(request)
    claims = task_claims(request)
    name = request.path_params["attempt"]
    if name != f"{claims['task']}-{claims['attempt']}":
        raise NotAllowed("the token is valid only for its own attempt.")
    return parts, _task(parts, claims)


def _task(parts: Parts, claims: dict[str, Any]) -> Task:
    task_id, attempt = claims["task"], claims["attempt"]
    task = parts.live.tasks.get((task_id, attempt))
    if task is None:
        task = tasks.find(parts.store.read, task_id)
        if task is None or task.attempt != attempt:
            raise StaleAttempt(OVER)
        parts.live.tasks.put((task_id, attempt), task)
    if task.activation_id != claims["activation"]:
        raise StaleAttempt(OVER)  # the task was deleted, and another one has its number now
    return task


def _check_current(parts: Parts, known: Task) -> None:
    task = tasks.find(parts.store.read, known.task_id)
    if task is None or task.attempt != known.attempt or task.ended or task.cancel_requested:
        raise StaleAttempt(OVER)


def targets_of(parts: Parts, task: Task, output: str) -> list[Channel]:
    """Return the channels that an output leads to. These never change; only their positions do."""
    key = (str(task.activation_id), task.node, output)
    found = parts.live.targets.get(key)
    if found is None:
        _check_output(parts, task, output)
        found = channels.of_output(parts.store.read, key[0], sending_id(key[0], task.node), output)
        parts.live.targets.put(key, found)
    return found


def _check_output(parts: Parts, task: Task, output: str) -> None:
    activation = activations.find(parts.store.read, str(task.activation_id))
    assert activation is not None
    node = parts.engine.plans.of(parts.store.read, activation).nodes[task.node]
    if output != node.output and output not in node.outputs:
        raise InvalidInput(f"skill '{task.skill_name}' has no output '{output}'.", hint=nearest(output, node.outputs))


async def await_credit(parts: Parts, task: Task, found: list[Channel]) -> None:
    """Wait until the consumers of these channels have caught up enough; raise StaleAttempt if the attempt ends meanwhile."""
    while keys := parts.live.without_credit(found):
        with parts.live.held_up(task.task_id):
            await parts.live.wait([*keys, ("activation", str(task.activation_id))], PULL_SECONDS)
        if parts.live.closing:
            raise PlaceUnavailable("this owner is ending.", hint="Try again: the next owner continues.")
        _check_current(parts, task)


def _parse(
    body: bytes, record_bytes: int, letters: Callable[[Sequence[Any]], tuple[NewDeadLetter, ...]], files: SenderFiles
) -> tuple[dict[str, Any], Commit]:
    end = body.find(b"\n")
    try:
        head: dict[str, Any] = orjson.loads(body[:end])
        sent = _cut(body, end + 1, head, files)
        _check_lengths(sent, record_bytes)
        return head, Commit(
            sequence=whole_number(head["sequence"]),
            sender=str(head.get("sender", "")),
            open=bool(head.get("open")),
            sent=sent,
            acks=tuple(
                Acked(channel_id=whole_number(c), first=whole_number(f), next=whole_number(n))
                for c, f, n in head["acks"]
            ),
            hand=_record(head["hand"]),
            left=_record(head.get("left")),
            raised=str(head.get("raised", ""))[:RAISED_CHARACTERS],
            rejected=letters(head["rejects"]) if head.get("rejects") else (),
            hold=bool(head["hold"]),
            prologue=bool(head.get("prologue")),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidInput(f"this is not a commit: {error!r}.") from error


def whole_number(value: Any) -> int:
    """Return a value of a commit that must be a whole number; raise ValueError."""
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is not a whole number that can be")
    return value


def _record(value: Any) -> tuple[int, int] | None:
    return (whole_number(value[0]), whole_number(value[1])) if value else None


def _cut(body: bytes, start: int, head: dict[str, Any], files: SenderFiles) -> tuple[Sent, ...]:
    found = []
    outputs, parents = head["outputs"], head.get("parents") or ()
    if parents and len(parents) != len(outputs):
        raise ValueError("the number of origins differs from the number of outputs")
    for index, (name, count, size, *place) in enumerate(outputs):
        runs = parents[index] if parents else ()
        part, written = files.read(head["file"], size, *place) if place else (body[start : start + size], None)
        if len(part) != size or part.count(b"\n") != count or not part.endswith(b"\n"):
            raise ValueError(f"output '{name}' is not {count} records of {size} bytes in all")
        try:
            record_text.check_lines(part)
        except ValueError as error:
            raise ValueError(f"a record for output '{name}' is not JSON: {error}") from error
        if runs and count_of(runs) != count:
            raise ValueError(f"output '{name}' has {count} records, and the origins of {count_of(runs)}")
        text = orjson.dumps(runs).decode() if runs else ""
        found.append(Sent(output=str(name), count=count, bytes=part, parents=text, written=written))
        start += 0 if place else size
    if start != len(body):
        raise ValueError("there are bytes after the last output")
    return tuple(found)


def _check_lengths(parts: tuple[Sent, ...], record_bytes: int) -> None:
    for sent in parts:
        if len(sent.bytes) > record_bytes and max(map(len, sent.bytes.split(b"\n"))) > record_bytes:
            raise RecordTooLarge(f"a record for output '{sent.output}' is over the limit of {record_bytes} bytes.")


def _positions(text: str) -> dict[int, int]:
    try:
        pairs = [part.split(":") for part in text.split(",") if part]
        return {int(channel): int(offset) for channel, offset in pairs}
    except ValueError as error:
        raise InvalidInput(f"'at' is channel:offset,…, not '{text}'.") from error


def _records(parts: Parts, task: Task, found: list[Channel], positions: dict[int, int], sees: bool) -> Response | None:
    for channel in found:
        offset = positions.get(channel.channel_id, channel.acked)
        segment = (
            parts.store.records(channel.channel_id, offset, max_bytes=PULL_BYTES)
            if offset < channel.next_offset
            else None
        )
        if segment is not None:
            return answer_with(parts, task, channel.channel_id, segment, sees=sees)
    return None


def _newest(parts: Parts, task: Task, found: list[Channel], positions: dict[int, int], sees: bool) -> Response | None:
    """Return records that have just come and are still in memory, since a consumer is waiting for them."""
    for channel in found:
        offset = positions.get(channel.channel_id, channel.acked)
        segment = parts.store.newest(channel.channel_id, offset, max_bytes=PULL_BYTES)
        if segment is not None:
            return answer_with(parts, task, channel.channel_id, segment, sees=sees)
    return None


def _is_drained(channel: Channel, positions: dict[int, int]) -> bool:
    return channel.ended and max(positions.get(channel.channel_id, 0), channel.acked) >= channel.next_offset


# Called for every record or every few; see gateway.app.
HOT = {("POST", "commit"): commit, ("GET", "pull"): pull, ("POST", "messages"): send_message}
AT = text(
    "at", "`channel:offset,…`: where to read on in each.", type="string", pattern="^([0-9]+:[0-9]+(,[0-9]+:[0-9]+)*)?$"
)
ACKNOWLEDGE = text("acknowledge", "`end`: acknowledgements come with the exit.")
SENDER = text("sender", "Who sends what is made from the records; its commits have the same.")
FILES = text("files", "`1`: this program sees the directory of records; it is told where they are.")
KEY = header("Idempotency-Key", "Two records with one key are stored once.")
OPERATIONS = (
    Operation(
        "POST",
        "/internal/attempts/{attempt}/commit",
        commit,
        body="Commit",
        is_read=False,
        answer="Empty",
        errors=("409", "422"),
        caller="task",
    ),
    Operation(
        "GET",
        "/internal/attempts/{attempt}/pull",
        pull,
        parameters=(AT, ACKNOWLEDGE, SENDER, FILES),
        answer="Records",
        headers={
            "x-fabric-channel": "The channel of the records.",
            "x-fabric-first": "The offset of the first record.",
            "x-fabric-careful": "There is one record, and the next pull comes after its acknowledgement.",
            "x-fabric-parts": "With `files`: numbers of bytes of the body, and [file, at, bytes, CRC-32], in their order.",
        },
        others={"204": ("Nothing came for 20 seconds; with the header `x-fabric-end` nothing can.",)},
        errors=("409",),
        caller="task",
    ),
    Operation(
        "POST",
        "/internal/messages/{activation}/{channel}/{output}",
        send_message,
        parameters=(KEY,),
        body="Record",
        is_read=False,
        answer="Success",
        errors=("409",),
        caller="task",
    ),
)
