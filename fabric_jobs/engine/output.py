"""Reads the output that the end of an attempt needs: a payload, or the reason of a failure. Runs in a lane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from fabric_jobs import json_text
from fabric_jobs.definitions import Action
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed, last_printed
from fabric_jobs.errors import InvalidInput, RecordTooLarge
from fabric_jobs.executors.base import AttemptExit, Executor
from fabric_jobs.records import Task


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the end of an attempt needs of its output."""

    payload: bytes | None = None  # records as NDJSON; None when nothing is sent
    refusal: str = ""  # why the output cannot be a payload
    printed: Printed = NOTHING_PRINTED  # the end of it, when it failed


NOTHING = Output()


def output_of(executor: Executor, handle: str, task: Task, action: Action, *, limit: int) -> Output:
    """Return the payload of an attempt that exited 0; `task` as it is now, `limit` in bytes."""
    if task.sent or task.rejected or action.api is not None:
        return NOTHING
    try:
        is_stream = action.receives == "stream"
        return Output(payload=response_of(executor, handle, action, is_stream=is_stream, limit=limit))
    except InvalidInput as error:
        return Output(refusal=error.message, printed=last_printed(executor, handle))


def ended_well(task: Task, ended: AttemptExit) -> bool:
    """Return whether an attempt succeeded, as far as is known; `task` as it is now."""
    return ended.code == 0 and not (ended.reason or task.cause or task.sender_open or task.cancel_requested)


def response_of(executor: Executor, handle: str, action: Action, *, is_stream: bool, limit: int) -> bytes | None:
    """Return the program's output as records, NDJSON; None when it has none: a stream skill that printed nothing.

    Raises RecordTooLarge above `limit` bytes, InvalidInput when the output for `response: json` or `jsonl` is not JSON.
    """
    text = (
        executor.merged(handle, limit + 1)
        if action.response == "combined"
        else executor.logs(handle, "stdout", 0, limit + 1)
    )
    if is_stream and not text.strip():
        return None
    if len(text) > limit:
        raise RecordTooLarge(
            f"its output is over the limit of a record ({limit} bytes); send records with send_message."
        )
    if action.response == "jsonl":
        return b"".join(_lines(text)) or None
    if action.response != "json":
        return json.dumps(text.decode(errors="replace")).encode() + b"\n"
    try:
        return _compact(text)
    except ValueError as error:
        raise InvalidInput(f"'response: json' needs one JSON value on stdout: {error}.") from error


def _lines(text: bytes) -> Iterator[bytes]:
    for number, line in enumerate(text.split(b"\n"), start=1):
        if line.strip():
            try:
                yield _compact(line)
            except ValueError as error:
                raise InvalidInput(
                    f"'response: jsonl' needs one JSON value on each line of stdout; line {number}: {error}."
                ) from error


def _compact(text: bytes) -> bytes:
    return json.dumps(json_text.loads(text), separators=(",", ":"), allow_nan=False).encode() + b"\n"
