"""Dead letters: list, show, edit, retry, drop."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.caller import handed_over
from fabric_jobs.gateway.json_response import Json, compact
from fabric_jobs.gateway.listing import BY_NUMBER
from fabric_jobs.gateway.lookup import find_letter, letter_number, wanted_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import ACTIVATION_ID, SKILL_NAME, SKIP, P, maybe, text, whole
from fabric_jobs.records import DeadLetter
from fabric_jobs.store import dead_letters
from fabric_jobs.store.dead_letters import LetterFilter

TOGETHER = 10_000  # dead letters in one request


RETRIED = maybe("retried", "`true`: only those that are tried again; `false`: only the others.")
CONTAINS = text("contains", "Only those whose cause contains this text.")
LIMIT = whole("limit", "How many at most.", 100, low=1, high=TOGETHER)


async def list_dead_letters(call: Call) -> Response:
    """List dead letters, the oldest first; `count` is how many there are."""
    wanted = LetterFilter(
        project_id=call.project,
        activation_id=wanted_activation(call, call.of(ACTIVATION_ID)),
        skill_name=call.of(SKILL_NAME) or None,
        retried=call.of(RETRIED),
        contains=call.of(CONTAINS) or None,
        limit=call.of(LIMIT),
        skip=call.of(SKIP),
        after=call.of(BY_NUMBER) or 0,
    )
    sql = call.parts.store.read
    found = dead_letters.listed(sql, wanted)
    listed = [letter_json(letter) for letter in found]
    following = str(found[-1].dead_letter_id) if len(found) == wanted.limit else None
    return Json({"success": True, "deadLetters": listed, "count": dead_letters.count(sql, wanted), "next": following})


async def show_dead_letter(call: Call) -> Response:
    """Show a dead letter with its payload."""
    letter = find_letter(call, call.path_params["letter"])
    payload = dead_letters.payload(call.parts.store.read, letter.dead_letter_id)
    return Json({"success": True, "deadLetter": {**letter_json(letter), "payload": orjson.Fragment(payload)}})


async def edit_dead_letter(call: Call) -> Response:
    """Change the payload of a dead letter before a retry."""
    parts, body = call.parts, call.object
    letter = _exactly(call, letter_number(call.path_params["letter"]))
    if "payload" not in body:
        raise InvalidInput("there is no 'payload' in the body.", hint='Give an object such as {"payload": {…}}.')
    payload = compact(body["payload"])
    if len(payload) > parts.settings.record_bytes:
        raise RecordTooLarge(f"the payload is over the limit of {parts.settings.record_bytes:,} bytes for one record.")
    await asyncio.wrap_future(parts.store.write(lambda tx: dead_letters.edit(tx, letter, payload)))
    return Json({"success": True, "message": f"dead letter {letter.dead_letter_id} has another payload."})


async def retry_dead_letters(call: Call) -> Response:
    """Retry dead letters, in one new activation for each activation and input that they come from.

    400 if another activation already retries one of them.
    """
    parts, body = call.parts, call.object
    ids, request_id = body.get("ids"), body.get("requestId")
    if not isinstance(ids, list) or not 0 < len(ids) <= TOGETHER:
        raise InvalidInput(f"'ids' is a list of 1 to {TOGETHER:,} numbers of dead letters.")
    if not isinstance(request_id, str) or len(request_id) < 8:
        raise InvalidInput("'requestId' is a text of 8 characters or more, made anew for each request.")
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in ids):
        raise InvalidInput(
            "'ids' has something in it that is no whole number.", hint='Give a list such as "ids": [1, 2].'
        )
    letters = [_exactly(call, letter_number(str(item))) for item in dict.fromkeys(ids)]
    started = await asyncio.to_thread(parts.engine.retry, letters, request_id, handed_over(call, body))
    answers = [{"activationId": key, "deadLetters": numbers} for key, numbers in started.items()]
    return Json({"success": True, "activations": answers})


async def drop_dead_letter(call: Call) -> Response:
    """Delete a dead letter for good; a missing one is not an error, since a request may be repeated.

    `dropped` is false when it was gone already.
    """
    parts = call.parts
    letter = dead_letters.find(parts.store.read, call.project, letter_number(call.path_params["letter"]))
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


def _exactly(call: Call, number: int) -> DeadLetter:
    """Return the dead letter of a number: a change that is asked for again must not meet another one that begins so."""
    letter = dead_letters.find(call.parts.store.read, call.project, number)
    if letter is None:
        raise NotFound(f"there is no dead letter {number}.", hint="List them with `fabric-jobs deadletters list`.")
    return letter


class _Letter(StringConvertor):
    regex = "(?!retry$)[^/]+"  # the path of another operation accepts only its method


register_url_convertor("letter", _Letter())
ALL, ONE = P + "/deadletters", P + "/deadletters/{letter:letter}"
OPERATIONS = (
    Operation(
        "GET",
        ALL,
        list_dead_letters,
        parameters=(ACTIVATION_ID, SKILL_NAME, RETRIED, CONTAINS, LIMIT, BY_NUMBER, SKIP),
        answer="DeadLetters",
    ),
    Operation("POST", ALL + "/retry", retry_dead_letters, body="Retry", answer="Retrying", errors=("404",), role="run"),
    Operation("GET", ONE, show_dead_letter, answer="OneDeadLetter"),
    Operation("PUT", ONE, edit_dead_letter, body="Edit", answer="Done", role="run"),
    Operation("DELETE", ONE, drop_dead_letter, answer="Dropped", role="run"),
)
