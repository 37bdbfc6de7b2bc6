"""Sessions: a state by key that jobs of one conversation share, until it has not changed for a time."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.json_response import Json, compact
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import LIMIT, SKIP, P, flag, text
from fabric_jobs.store import Tx, documents
from fabric_jobs.store.documents import DocumentKey, NewDocument, SavedDocument

SESSION = "session"
TTL_SECONDS = 900  # of a session that names none
LONGEST_SECONDS = 366 * 86_400
KEY = text("key", "Only this key of the state.")
VERBOSE = flag("verbose", "With description and times.")


async def start_session(call: Call) -> Response:
    """Start a session: it ends `ttl` seconds after its last change, after 15 minutes by default."""
    ttl, description, state = (call.object.get(key) for key in ("ttl", "description", "state"))
    if ttl is None:
        ttl = TTL_SECONDS
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= LONGEST_SECONDS:
        raise InvalidInput(f"'ttl' must be a number of seconds up to {LONGEST_SECONDS:,}.")
    if not (description is None or isinstance(description, str)):
        raise InvalidInput("'description' must be text.")
    body = {"ttl": ttl, "description": description or "", "state": _state({} if state is None else state)}
    key = DocumentKey(call.project, SESSION, secrets.token_hex(12))

    def start(tx: Tx) -> None:
        documents.expire(tx)
        _save(tx, call, key, body)

    await asyncio.wrap_future(call.parts.store.write(start))
    return Json({"success": True, "sessionId": key.name, "ttl": ttl})


async def list_sessions(call: Call) -> Response:
    """List the sessions of the project that have not ended, the last changed first."""
    found = documents.newest(call.parts.store.read, call.project, SESSION)
    rows = [_shown(session) for session in sorted(found, key=lambda session: session.saved_at, reverse=True)]
    skip = call.of(SKIP)
    return Json({"success": True, "sessions": rows[skip : skip + call.of(LIMIT)]})


async def show_session(call: Call) -> Response:
    """Show the state of a session. 404 once it has ended."""
    saved = documents.find(call.parts.store.read, _key(call))
    if saved is None:
        raise _none(call)
    state, wanted = saved.body["state"], call.of(KEY)
    if wanted:
        state = {key: value for key, value in state.items() if key == wanted}
    return Json({"success": True, **(_shown(saved) if call.of(VERBOSE) else {}), "state": state})


async def save_session(call: Call) -> Response:
    """Set keys of the state of a session, and begin its time anew; two calls at once change only their own keys."""
    if "state" not in call.object:
        raise InvalidInput("there is no 'state' in the body.", hint='Give an object such as {"state": {"step": 2}}.')
    state, key = _state(call.object["state"]), _key(call)

    def change(tx: Tx) -> bool:
        saved = documents.find(tx, key)
        if saved is not None:
            _save(tx, call, key, {**saved.body, "state": {**saved.body["state"], **state}})
        return saved is not None

    if not await asyncio.wrap_future(call.parts.store.write(change)):
        raise _none(call)
    return Json({"success": True, "sessionId": key.name, "message": "saved"})


async def delete_session(call: Call) -> Response:
    """End a session and delete its state."""
    key = _key(call)
    if not await asyncio.wrap_future(call.parts.store.write(lambda tx: documents.delete(tx, key, has_history=False))):
        raise _none(call)
    return Json({"success": True, "message": f"session '{key.name}' is deleted."})


def _save(tx: Tx, call: Call, key: DocumentKey, body: dict[str, Any]) -> None:
    limit = call.parts.settings.definition_bytes
    if len(compact(body)) > limit:
        raise RecordTooLarge(f"the session would be over the limit of {limit:,} bytes; keep large values as content.")
    expires_at = time.time() + body["ttl"]
    documents.save(
        tx, NewDocument(key=key, body=body, has_history=False, created_by=call.caller.username, expires_at=expires_at)
    )


def _state(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput("'state' must be an object.")
    return value


def _shown(saved: SavedDocument) -> dict[str, Any]:
    return {
        "sessionId": saved.name,
        "ttl": saved.body["ttl"],
        "description": saved.body["description"],
        "createdAt": milliseconds(saved.created_at),
        "createdBy": saved.created_by,
        "updatedAt": milliseconds(saved.saved_at),
        "expiresAt": milliseconds(saved.expires_at),
    }


def _key(call: Call) -> DocumentKey:
    return DocumentKey(call.project, SESSION, call.path_params["session"])


def _none(call: Call) -> NotFound:
    name = call.path_params["session"]
    return NotFound(f"there is no session '{name}': it has ended, or never was.", hint="Start one with POST /sessions.")


SESSIONS, ONE = P + "/sessions", P + "/sessions/{session}"
OPERATIONS = (
    Operation("GET", SESSIONS, list_sessions, parameters=(LIMIT, SKIP), answer="Sessions"),
    Operation("POST", SESSIONS, start_session, body="NewSession", answer="SessionStarted", role="run"),
    Operation("GET", ONE, show_session, parameters=(KEY, VERBOSE), answer="Session"),
    Operation("POST", ONE, save_session, body="SessionState", answer="SessionSaved", role="run"),
    Operation("DELETE", ONE, delete_session, answer="Done", role="run"),
)
