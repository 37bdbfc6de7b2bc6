"""The state of the owner: size, pruning, backup, check."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.caller import over_tcp
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import WAIT, P, flag, number, whole
from fabric_jobs.store import activations
from fabric_jobs.upkeep import Backup, BackupWanted, Candidate, Criteria, Swept

SLICE_SECONDS = 2.0  # how long one call deletes; to delete more, call again
LOOK_SECONDS = 0.05  # polling interval for a waiting caller
TOP = whole("top", "How many activations at most, the largest first.", 10, high=10_000)
OLDER_THAN_SECONDS = number("olderThanSeconds", "Only those that ended this long ago, or longer.", None)
MAX_BYTES = whole("maxBytes", "Until the state is no larger than this.", None)
KEEP_LAST = whole("keepLast", "How many of the newest stay.", 0)
CONTENT = flag("content", "Look for unused content in a bucket, too.")
DEAD_LETTERS = flag("deadLetters", "Also those with dead letters that nobody has retried.")


async def show_size(call: Call) -> Response:
    """Show the size of the state, and the largest activations; their share of the database is an estimate."""
    sizes = await asyncio.to_thread(call.parts.upkeep.sizes)
    body = {
        "success": True,
        "database": {"bytes": sizes.database, "free": sizes.free, "wal": sizes.wal},
        "records": {"bytes": sizes.records},
        "attempts": {"bytes": sizes.attempts, "leftovers": sizes.leftovers},
        "content": {"bytes": sizes.content, "keys": sizes.content_keys, "used": sizes.content_used},
        "deployed": {"bytes": sizes.deployed},
        "bytes": sizes.database + sizes.wal + sizes.records + sizes.attempts + sizes.content + sizes.deployed,
        "used": sizes.used,
        "counts": _camel(asdict(sizes.counts)),
        "activations": [
            {
                "activationId": share.activation_id,
                "name": share.name,
                "status": share.state,
                "bytes": share.size,
                "database": share.database,
                "records": share.records,
                "attempts": share.attempts,
            }
            for share in sizes.shares[: call.of(TOP)]
        ],
    }
    return Json(body)


async def retire_owner(call: Call) -> Response:
    """End an owner that a command has started, so that `serve` can take its place; over its Unix socket only.

    `ending` is false if something is running, for `serve` itself, and over TCP.
    """
    parts = call.parts
    is_busy = parts.upkeep.busy or parts.traffic.in_flight > 1 or bool(activations.unsettled(parts.store.read))
    is_ending = parts.settings.until_idle and not is_busy and not over_tcp(call)
    if is_ending:
        parts.live.retiring.set()
    return Json({"success": True, "ending": is_ending})


async def check_state(call: Call) -> Response:
    """Look for inconsistencies, and count every record; a violation is a sentence."""
    found = asdict(await asyncio.to_thread(call.parts.upkeep.check))
    violations = found.pop("violations")
    return Json({"success": True, "healthy": not violations, "violations": violations, "counts": _camel(found)})


async def choose_prunable(call: Call) -> Response:
    """List the activations of the project that can be deleted, the oldest first; nothing is deleted.

    With neither `olderThanSeconds` nor `maxBytes` these are all but the newest `keepLast`. The
    `content` of the answer is what no key of any project refers to.
    """
    wanted = Criteria(
        older_than_seconds=call.of(OLDER_THAN_SECONDS),
        max_bytes=call.of(MAX_BYTES),
        keep_last=call.of(KEEP_LAST),
        dead_letters=call.of(DEAD_LETTERS),
    )
    chosen = await asyncio.to_thread(call.parts.upkeep.choose, wanted, call.project)
    with_content = call.of(CONTENT) or call.parts.blobs.shelf.is_local
    unused = await asyncio.to_thread(call.parts.upkeep.unused_content) if with_content else Swept(0, 0)
    return Json({"success": True, "activations": [_choice(choice) for choice in chosen], "content": unused._asdict()})


async def prune_state(call: Call) -> Response:
    """Delete activations of the project for some seconds; call again with those that are left.

    The first `seen` ids of the list are done, `count` of them were deleted, and `finished` says that no deletion is incomplete.
    It also removes the content that no key of any project refers to; call again until the answer names none. And it removes the
    project files of APIs that nothing needs any more.
    """
    parts, body = call.parts, call.object
    activation_ids = body.get("activations", [])
    if not isinstance(activation_ids, list) or not all(isinstance(item, str) for item in activation_ids):
        raise InvalidInput("'activations' must be a list of ids.")
    dead_letters = _flag(body, "deadLetters", default=False)
    content = _flag(body, "content", default=False)
    pruned = await asyncio.to_thread(
        parts.upkeep.prune, activation_ids, call.project, dead_letters=dead_letters, seconds=SLICE_SECONDS
    )
    await asyncio.to_thread(parts.upkeep.sweep_deployed)
    swept = Swept(0, 0)
    if content or parts.blobs.shelf.is_local:
        swept = await asyncio.to_thread(parts.upkeep.sweep_content, seconds=SLICE_SECONDS)
    return Json({"success": True, **asdict(pruned), "content": swept._asdict()})


async def compact_state(call: Call) -> Response:
    """Return the free part of the database to the disk, unless something is running."""
    reason = await asyncio.to_thread(call.parts.upkeep.compact)
    return Json({"success": True, "compacted": not reason, "reason": reason})


async def start_backup(call: Call) -> Response:
    """Begin a backup to a file or directory of the owner's machine; over its Unix socket only."""
    parts = call.parts
    if over_tcp(call):
        raise InvalidInput(
            "a backup is written on the gateway's machine, so it can be requested only over its Unix socket.",
            hint="Run `fabric-jobs state backup` there.",
        )
    body = call.object
    destination = body.get("destination")
    if not isinstance(destination, str) or not destination or "\0" in destination:
        raise InvalidInput("'destination' must be the absolute path of a new file or directory.")
    wanted = BackupWanted(destination=Path(destination), logs=_flag(body, "logs", default=True))
    return Json(_backup(await asyncio.to_thread(parts.upkeep.start_backup, wanted)))


async def show_backup(call: Call) -> Response:
    """Show how far the last backup is; `wait` waits for its end."""
    parts = call.parts
    backup = parts.upkeep.backup
    if backup is None:
        raise NotFound("this owner has made no backup.", hint="Make one with `fabric-jobs state backup`.")
    deadline = time.monotonic() + call.of(WAIT)
    while not backup.ended and (left := deadline - time.monotonic()) > 0 and not parts.live.closing:
        # Not in a thread: there are few threads, and other calls need them.
        await parts.live.wait([("backup", "")], min(left, LOOK_SECONDS))
    return Json(_backup(backup))


def _flag(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """Return a yes or no of a body; raise InvalidInput for anything else, since guessing would be dangerous here."""
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


STATE = P + "/state"
OPERATIONS = (
    Operation("GET", STATE + "/size", show_size, parameters=(TOP,), answer="Size", role="owner"),
    Operation("GET", STATE + "/check", check_state, answer="Check", role="owner"),
    Operation(
        "GET",
        STATE + "/prune",
        choose_prunable,
        parameters=(OLDER_THAN_SECONDS, MAX_BYTES, KEEP_LAST, DEAD_LETTERS, CONTENT),
        answer="Prunables",
    ),
    Operation("POST", STATE + "/prune", prune_state, body="Prune", answer="Pruned"),
    Operation("POST", STATE + "/retire", retire_owner, answer="Retired", role="owner"),
    Operation("POST", STATE + "/compact", compact_state, answer="Compacted", role="owner"),
    Operation(
        "POST", STATE + "/backup", start_backup, body="BackupWanted", answer="Backup", errors=("409",), role="owner"
    ),
    Operation(
        "GET", STATE + "/backup", show_backup, parameters=(WAIT,), answer="Backup", errors=("404",), role="owner"
    ),
)
