"""What the pod of an attempt sends and fetches, since its files are on another machine (docs/explanation/executors.md)."""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from starlette.responses import Response, StreamingResponse

from fabric_jobs.errors import NotAllowed, NotFound, PlaceUnavailable, StaleAttempt
from fabric_jobs.executors import archives
from fabric_jobs.executors.attempt_files import exits, shipped, specs
from fabric_jobs.executors.base import STREAMS, AttemptSpec
from fabric_jobs.gateway.caller import task_claims
from fabric_jobs.gateway.json_response import Json, body_of
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import choice, flag, whole
from fabric_jobs.gateway.uploads import OCTETS
from fabric_jobs.state_dir import attempts_dir
from fabric_jobs.store import tasks

OUTPUT_BYTES = 4 << 20  # in one request
PIECE_BYTES = 1 << 20
STREAM = choice("stream", "Which of the two.", *STREAMS, default="stdout")
OFFSET = whole("offset", "How many bytes of the stream come before the body.", 0)
WHOLE = flag("whole", "All has been sent; there is no body.")


async def take_output(call: Call) -> Json:
    """Append output of a program, and answer with the size of the stream. What is there already is not appended again."""
    directory = _attempt_of(call)
    body = await body_of(call, OUTPUT_BYTES)
    try:
        size = await asyncio.to_thread(shipped.take, directory, call.of(STREAM), call.of(OFFSET), body)
        if call.of(WHOLE):
            await asyncio.to_thread(shipped.finish, directory)
    except FileNotFoundError as error:
        raise _gone(call) from error
    except OSError as error:
        raise PlaceUnavailable(f"the output cannot be stored: {error.strerror}.", hint="Try again.") from error
    return Json({"size": size, **shipped.asks(directory)})


async def fetch_file(call: Call) -> Response:
    """Answer with a file that the attempt was given, such as a large payload."""
    directory = _attempt_of(call)
    name = call.path_params["name"]
    spec = _spec_of(call, directory)
    if name not in spec.files:
        raise NotFound(f"this attempt has no file '{name}'.")
    read = (
        partial(_hidden, call, spec.name, name)
        if specs.holds_secrets(spec)
        else (directory / "files" / name).read_bytes
    )
    try:
        content = await asyncio.to_thread(read)
    except FileNotFoundError as error:
        raise _gone(call) from error
    return Response(content, media_type=OCTETS)


async def fetch_project(call: Call) -> Response:
    """Answer with a tar archive of the directory of the program's action, if the program starts in it."""
    process = _spec_of(call, _attempt_of(call)).processes[0]
    if not process.is_project or process.directory is None:
        raise NotFound("the program of this attempt does not see its project.")
    try:
        descriptor, size = await asyncio.to_thread(_packed, process.directory)
    except OSError as error:
        raise PlaceUnavailable(f"the project cannot be packed: {error.strerror}.", hint="Try again.") from error
    return StreamingResponse(_pieces(descriptor), media_type="application/x-tar", headers={"content-length": str(size)})


def _attempt_of(call: Call) -> Path:
    """Return the directory of the attempt that a token was made for, as long as its end is not recorded.

    Its task may be over: a program prints while it ends.
    """
    claims, parts = task_claims(call), call.parts
    task_id, attempt = claims["task"], claims["attempt"]
    if call.path_params["attempt"] != f"{task_id}-{attempt}":
        raise NotAllowed("the token is valid only for its own attempt.")
    task = tasks.find(parts.store.read, task_id)
    if task is None or task.activation_id != claims["activation"]:  # deleted, and the number may be another task's now
        raise _gone(call)
    directory = attempts_dir(parts.settings.state_dir) / f"{task.name}-{attempt}"
    if (directory / exits.FILE).exists():
        raise StaleAttempt("this attempt is over: its end is recorded.")
    if not directory.is_dir():
        raise _gone(call)
    return directory


def _spec_of(call: Call, directory: Path) -> AttemptSpec:
    try:
        return specs.read_spec(directory)
    except (OSError, specs.Unreadable) as error:
        raise _gone(call) from error


def _hidden(call: Call, attempt: str, name: str) -> bytes:
    """Return a file of an attempt that holds secrets; raise StaleAttempt if it was kept by a process that has ended."""
    from fabric_jobs.executors.kubernetes import KubernetesExecutor  # late: few owners use a cluster

    executor = call.parts.executors["kubernetes"]
    found = executor.hidden_file(attempt, name) if isinstance(executor, KubernetesExecutor) else None
    if found is None:
        raise StaleAttempt(
            "its files have secrets, and the gateway that had them in memory has ended; it is to start again."
        )
    return found


def _gone(call: Call) -> NotFound:
    return NotFound(
        f"there are no files of attempt {call.path_params['attempt']} here.",
        hint="Its activation may have been deleted. Nothing that it sends is kept.",
    )


def _packed(directory: Path) -> tuple[int, int]:
    """Return the descriptor of a temporary file with a tar archive of a directory, and its size."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            archives.add_directory(tar, directory, ".")
        size = file.tell()
        file.seek(0)
        return os.dup(file.fileno()), size


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    with open(descriptor, "rb", buffering=0) as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


OPERATIONS = (
    Operation(
        "POST",
        "/internal/attempts/{attempt}/output",
        take_output,
        parameters=(STREAM, OFFSET, WHOLE),
        body="Bytes",
        is_read=False,
        answer="OutputSize",
        errors=("404", "409"),
        caller="task",
    ),
    Operation(
        "GET",
        "/internal/attempts/{attempt}/files/{name}",
        fetch_file,
        answer="Bytes",
        errors=("404", "409"),
        caller="task",
    ),
    Operation(
        "GET",
        "/internal/attempts/{attempt}/project",
        fetch_project,
        answer="Bytes",
        errors=("404", "409"),
        caller="task",
    ),
)
