"""The state of the owner: its size, what may go, a backup, a check."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.json_response import Json, object_of
from fabric_jobs.gateway.parts import flag_of, milliseconds, number_of, over_tcp, parts_of, project_of, whole_of
from fabric_jobs.store import activations
from fabric_jobs.upkeep import Backup, BackupWanted, Candidate, Criteria

SLICE_SECONDS = 2.0  # a call deletes for so long; who wants more calls again
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.05  # between two looks for somebody who waits
TOP = 10


async def show_size(request: Request) -> Response:
    """Show how large the state is, and the activations that have most of it."""
    upkeep = parts_of(request).upkeep
    project_of(request)
    top = whole_of(request, "top", TOP, high=10_000)
    sizes = await asyncio.to_thread(upkeep.sizes)
    body = {
        "success": True,
        "database": {"bytes": sizes.database, "free": sizes.free, "wal": sizes.wal},
        "attempts": {"bytes": sizes.attempts, "leftovers": sizes.leftovers},
        "bytes": sizes.database + sizes.wal + sizes.attempts,
        "used": sizes.used,
        "counts": _camel(asdict(sizes.counts)),
        "activations": [
            {
                "activationId": share.activation_id,
                "name": share.name,
                "status": share.state,
                "bytes": share.size,
                "database": share.database,
                "attempts": share.attempts,
            }
            for share in sizes.shares[:top]
        ],
    }
    return Json(body)


async def retire_owner(request: Request) -> Response:
    """End an owner that a command has started, for `serve` to take its place, unless something runs or this came from elsewhere."""
    parts = parts_of(request)
    project_of(request)
    is_busy = parts.upkeep.busy or parts.traffic.in_flight > 1 or bool(activations.unsettled(parts.store.read))
    is_ending = parts.settings.until_idle and not is_busy and not over_tcp(request)
    if is_ending:
        parts.live.retiring.set()
    return Json({"success": True, "ending": is_ending})


async def check_state(request: Request) -> Response:
    """Look for what cannot be, and count every record."""
    upkeep = parts_of(request).upkeep
    project_of(request)
    found = asdict(await asyncio.to_thread(upkeep.check))
    violations = found.pop("violations")
    return Json({"success": True, "healthy": not violations, "violations": violations, "counts": _camel(found)})


async def choose_prunable(request: Request) -> Response:
    """Answer with the activations that are to go, oldest first; nothing is deleted."""
    upkeep, project_id = parts_of(request).upkeep, project_of(request)
    query = request.query_params
    wanted = Criteria(
        older_than_seconds=number_of(request, "olderThanSeconds", 0) if query.get("olderThanSeconds") else None,
        max_bytes=whole_of(request, "maxBytes", 0) if query.get("maxBytes") else None,
        keep_last=whole_of(request, "keepLast", 0),
        dead_letters=flag_of(request, "deadLetters"),
    )
    chosen = await asyncio.to_thread(upkeep.choose, wanted, project_id)
    return Json({"success": True, "activations": [_choice(choice) for choice in chosen]})


async def prune_state(request: Request) -> Response:
    """Delete activations for some seconds; `seen` says how many of them are through, `finished` that nothing is half done."""
    parts, project_id = parts_of(request), project_of(request)
    body = await object_of(request, parts.settings.body_bytes)
    activation_ids = body.get("activations", [])
    if not isinstance(activation_ids, list) or not all(isinstance(item, str) for item in activation_ids):
        raise InvalidInput("'activations' is a list of ids.")
    dead_letters = _flag(body, "deadLetters", default=False)
    pruned = await asyncio.to_thread(
        parts.upkeep.prune, activation_ids, project_id, dead_letters=dead_letters, seconds=SLICE_SECONDS
    )
    return Json({"success": True, **asdict(pruned)})


async def compact_state(request: Request) -> Response:
    """Give what is free in the database back to the disk, unless that would hold somebody up."""
    upkeep = parts_of(request).upkeep
    project_of(request)
    reason = await asyncio.to_thread(upkeep.compact)
    return Json({"success": True, "compacted": not reason, "reason": reason})


async def start_backup(request: Request) -> Response:
    """Begin a backup to a file or directory of the owner's machine."""
    parts = parts_of(request)
    project_of(request)
    if over_tcp(request):
        raise InvalidInput(
            "a backup is written on the gateway's machine, and is asked for over its Unix socket only.",
            hint="Type `fabric-jobs state backup` there.",
        )
    body = await object_of(request, parts.settings.body_bytes)
    destination = body.get("destination")
    if not isinstance(destination, str) or not destination or "\0" in destination:
        raise InvalidInput("'destination' is the absolute path of a file or directory that is not there.")
    wanted = BackupWanted(destination=Path(destination), logs=_flag(body, "logs", default=True))
    return Json(_backup(await asyncio.to_thread(parts.upkeep.start_backup, wanted)))


async def show_backup(request: Request) -> Response:
    """Show how far the last backup is; wait up to `wait` seconds for its end."""
    parts = parts_of(request)
    project_of(request)
    backup = parts.upkeep.backup
    if backup is None:
        raise NotFound("this owner has made no backup.", hint="Make one with `fabric-jobs state backup`.")
    deadline = time.monotonic() + number_of(request, "wait", 0, high=WAIT_SECONDS)
    while not backup.ended and (left := deadline - time.monotonic()) > 0 and not parts.live.closing:
        # Not in a thread: there are few of those, and others need them meanwhile.
        await parts.live.wait([("backup", "")], min(left, LOOK_SECONDS))
    return Json(_backup(backup))


def _flag(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """Return a yes or no of a body; raise InvalidInput when it is neither: what was meant must not be guessed here."""
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"'{name}' is true or false.")
    return value


def _backup(backup: Backup) -> dict[str, Any]:
    error = backup.error if backup.ended else None
    return {
        "success": True,
        "destination": str(backup.destination),
        "ended": backup.ended,
        "pages": {"copied": backup.pages[0], "all": backup.pages[1]},
        "files": backup.files,
        "bytes": backup.bytes,
        "error": None if error is None else {"message": error.message, "hint": error.hint},
    }


def _choice(choice: Candidate) -> dict[str, Any]:
    return {
        "activationId": choice.activation_id,
        "name": choice.name,
        "status": choice.state,
        "end": milliseconds(choice.ended_at),
        "bytes": choice.size,
    }


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    words = {key: key.split("_") for key in values}
    return {first + "".join(map(str.capitalize, rest)): values[key] for key, (first, *rest) in words.items()}


P = "/fabric/v4/projects/{project}/state"
ROUTES = [
    Route(P + "/size", show_size, methods=["GET"]),
    Route(P + "/check", check_state, methods=["GET"]),
    Route(P + "/prune", choose_prunable, methods=["GET"]),
    Route(P + "/prune", prune_state, methods=["POST"]),
    Route(P + "/retire", retire_owner, methods=["POST"]),
    Route(P + "/compact", compact_state, methods=["POST"]),
    Route(P + "/backup", start_backup, methods=["POST"]),
    Route(P + "/backup", show_backup, methods=["GET"]),
]
