"""Dead letters: list, show, edit, retry, drop."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.json_response import Json, compact, object_of
from fabric_jobs.gateway.parts import flag_of, handed_over, milliseconds, parts_of, project_of, whole_of
from fabric_jobs.records import DeadLetter
from fabric_jobs.store import dead_letters
from fabric_jobs.store.dead_letters import Filter

RETRY = "retry"
TOGETHER = 10_000  # dead letters in one request


async def list_dead_letters(request: Request) -> Response:
    """List the oldest dead letters first."""
    project_id = project_of(request)
    query = request.query_params
    wanted = Filter(
        project_id=project_id,
        activation_id=query.get("activationId") or None,
        skill_name=query.get("skillName") or None,
        retried=flag_of(request, "retried") if query.get("retried") else None,
        contains=query.get("contains") or None,
        limit=whole_of(request, "limit", 100, low=1, high=TOGETHER),
        skip=whole_of(request, "skip", 0),
    )
    sql = parts_of(request).store.read
    found = [letter_json(letter) for letter in dead_letters.listed(sql, wanted)]
    return Json({"success": True, "deadLetters": found, "count": dead_letters.count(sql, wanted)})


async def show_dead_letter(request: Request) -> Response:
    """Show a dead letter with its payload."""
    letter = _find(request, project_of(request), _named(request))
    payload = dead_letters.payload(parts_of(request).store.read, letter.dead_letter_id)
    return Json({"success": True, "deadLetter": {**letter_json(letter), "payload": orjson.Fragment(payload)}})


async def edit_dead_letter(request: Request) -> Response:
    """Give a dead letter another payload for its next try."""
    parts = parts_of(request)
    letter = _find(request, project_of(request), _named(request))
    body = await object_of(request, parts.settings.body_bytes)
    if "payload" not in body:
        raise InvalidInput("there is no 'payload' in the body.", hint='Give an object such as {"payload": {…}}.')
    payload = compact(body["payload"])
    if len(payload) > parts.settings.record_bytes:
        raise RecordTooLarge(f"the payload is over the limit of {parts.settings.record_bytes:,} bytes for one record.")
    await asyncio.wrap_future(parts.store.write(lambda tx: dead_letters.edit(tx, letter, payload)))
    return Json({"success": True, "message": f"dead letter {letter.dead_letter_id} has another payload."})


async def retry_dead_letters(request: Request) -> Response:
    """Start new activations that try dead letters again: one for each activation and input that they come from."""
    parts, project_id = parts_of(request), project_of(request)
    body = await object_of(request, parts.settings.body_bytes)
    ids, request_id = body.get("ids"), body.get("requestId")
    if not isinstance(ids, list) or not 0 < len(ids) <= TOGETHER:
        raise InvalidInput(f"'ids' is a list of 1 to {TOGETHER:,} numbers of dead letters.")
    if not isinstance(request_id, str) or len(request_id) < 8:
        raise InvalidInput("'requestId' is a text of 8 characters or more, made anew for each request.")
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in ids):
        raise InvalidInput(
            "'ids' has something in it that is no whole number.", hint='Give a list such as "ids": [1, 2].'
        )
    letters = [_find(request, project_id, str(item)) for item in dict.fromkeys(ids)]
    started = await asyncio.to_thread(parts.engine.retry, letters, request_id, handed_over(request, body))
    answers = [{"activationId": key, "deadLetters": numbers} for key, numbers in started.items()]
    return Json({"success": True, "activations": answers})


async def drop_dead_letter(request: Request) -> Response:
    """Forget a dead letter for good; one that is gone already is no error, since a request may come twice."""
    parts, project_id = parts_of(request), project_of(request)
    letter = dead_letters.find(parts.store.read, project_id, _number(_named(request)))
    dropped = letter is not None and await asyncio.wrap_future(
        parts.store.write(lambda tx: dead_letters.drop(tx, letter))
    )
    return Json({"success": True, "dropped": bool(dropped), "message": "dropped" if dropped else "gone already"})


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as the API shows it, without its payload."""
    return {
        "id": letter.dead_letter_id,
        "activationId": letter.activation_id,
        "skillName": letter.skill_name,
        "record": letter.error.get("record"),
        "task": letter.error.get("task"),
        "attempts": letter.attempts,
        "onError": letter.on_error,
        "at": milliseconds(letter.dead_at),
        "cause": letter.error.get("reason", ""),
        "error": letter.error,
        "retriedAs": letter.retried_as,
    }


def _find(request: Request, project_id: str, text: str) -> DeadLetter:
    letter = dead_letters.find(parts_of(request).store.read, project_id, _number(text))
    if letter is None:
        raise NotFound(f"there is no dead letter {text}.", hint="List them with `fabric-jobs deadletters list`.")
    return letter


def _named(request: Request) -> str:
    """Return what a path names; raise HTTPException for the path of another route, which has one method only."""
    text = str(request.path_params["letter"])
    if text == RETRY:
        raise HTTPException(405)
    return text


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise NotFound(f"there is no dead letter '{text}'.", hint="A dead letter is named by its number.")
    return int(text)


P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/deadletters", list_dead_letters, methods=["GET"]),
    Route(f"{P}/deadletters/{RETRY}", retry_dead_letters, methods=["POST"]),
    Route(P + "/deadletters/{letter}", show_dead_letter, methods=["GET"]),
    Route(P + "/deadletters/{letter}", edit_dead_letter, methods=["PUT"]),
    Route(P + "/deadletters/{letter}", drop_dead_letter, methods=["DELETE"]),
]
