"""What the routes share: the parts of the owner, who may call, and how things are shown."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request

from fabric_jobs.engine import Engine, tokens
from fabric_jobs.errors import InvalidInput, NotAllowed, NotFound
from fabric_jobs.executors.base import Executor
from fabric_jobs.gateway.followers import Followers
from fabric_jobs.gateway.live import Live
from fabric_jobs.gateway.traffic import Traffic
from fabric_jobs.records import Activation, Task
from fabric_jobs.settings import Settings
from fabric_jobs.shell import SHELL, Shell, shell_of
from fabric_jobs.store import Store, activations, tasks
from fabric_jobs.upkeep import Upkeep

if TYPE_CHECKING:
    from fabric_jobs.workspace.registering import Registration

WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an owner that the routes use; made once, kept in the application's state."""

    store: Store
    engine: Engine
    live: Live
    settings: Settings
    executors: Mapping[str, Executor]
    upkeep: Upkeep
    token: str  # of the owner's user
    key: bytes  # signs the tokens of tasks
    registration: Registration | None = None  # of the workspace that `serve` serves
    traffic: Traffic = field(default_factory=Traffic)
    followers: Followers = field(default_factory=Followers)  # of logs


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


def project_of(request: Request) -> str:
    """Return the project of a route, for a caller with the owner's token; raise NotAllowed for any other."""
    user_of(request)
    return str(request.path_params["project"])


def user_of(request: Request) -> None:
    """Raise NotAllowed for a caller without the owner's token."""
    parts = parts_of(request)
    if not hmac.compare_digest(bearer(request).encode(), parts.token.encode()):
        raise NotAllowed(
            "the token is not that of this gateway's user.", hint="It is in owner.json of the state directory."
        )


async def registered(request: Request) -> None:
    """Return once the gateway holds what the files of its workspace are now; that is a few looks at their times, mostly."""
    registration = parts_of(request).registration
    if registration is not None:
        await asyncio.to_thread(registration.look)


def over_tcp(request: Request) -> bool:
    """Tell whether a request may come from another machine: over the Unix socket there is no address."""
    return request.scope.get("client") is not None


def owners_own(request: Request, header: str) -> str:
    """Return a header that names a directory of this machine; raise InvalidInput when it did not come over the owner's socket."""
    value = request.headers.get(header, "")
    if value and over_tcp(request):
        raise InvalidInput(
            f"'{header}' names a directory of the gateway's machine, and is taken over its Unix socket only.",
            hint="Leave the header out; a skill that is saved without its files runs from its image.",
        )
    return value


def handed_over(request: Request, body: Mapping[str, Any]) -> Shell | None:
    """Return the shell of the command that calls; raise InvalidInput when it did not come over the owner's socket."""
    if body.get(SHELL) is None:
        return None
    if over_tcp(request):
        raise InvalidInput(
            f"'{SHELL}' is taken over the gateway's Unix socket only.",
            hint="Leave it out; programs then have the environment of the gateway.",
        )
    return shell_of(body[SHELL])


def flag_of(request: Request, name: str) -> bool:
    """Return a yes or no of the query: `?name` and `?name=true` are yes; raise InvalidInput when it is neither."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("", "true", "false"):
        raise InvalidInput(f"'{name}' is true or false, not '{text}'.")
    return text != "false"


def time_of(request: Request, name: str) -> float | None:
    """Return a time of the query, milliseconds since 1970 or ISO 8601, in seconds; raise InvalidInput when it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if WHOLE.fullmatch(text):
        return whole_of(request, name, 0) / 1000
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus that was not escaped
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"'{name}' is a time: milliseconds since 1970, or such as 2026-01-31T12:00:00Z, not '{text}'."
        ) from None


def task_claims(request: Request) -> dict[str, Any]:
    """Return the claims of a task's token; raise NotAllowed when it is not one of ours, or another user shows it."""
    parts, token = parts_of(request), bearer(request)
    claims = parts.live.claims.get(token)
    if claims is None or claims["exp"] < time.time():
        claims = tokens.verify(token, parts.key)
        parts.live.claims.put(token, claims)
    if not request.scope["state"]["peer"].may_act_for_tasks:
        raise NotAllowed(
            "the token of a task is taken from programs of this gateway's own user only.",
            hint="Run the program as that user, or in a container that fabric-jobs starts.",
        )
    return claims


def bearer(request: Request) -> str:
    """Return the bearer token of a request."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotAllowed("there is no bearer token.")
    return token.strip()


def number_of(request: Request, name: str, default: float, *, low: float = 0, high: float = 2**53) -> float:
    """Return a number of the query; raise InvalidInput when it is none."""
    text = request.query_params.get(name, "")
    if text and not NUMBER.fullmatch(text):
        raise InvalidInput(f"'{name}' is a number, not '{text}'.")
    value = float(text) if text else float(default)
    if not low <= value <= high:
        raise InvalidInput(f"'{name}' is between {low:g} and {high:g}, not {text}.")
    return value


def whole_of(request: Request, name: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
    """Return a whole number of the query; raise InvalidInput when it is none."""
    text = request.query_params.get(name, "")
    if text and not WHOLE.fullmatch(text):
        raise InvalidInput(f"'{name}' is a whole number, not '{text}'.")
    value = int(text) if text else default
    if not low <= value <= high:
        raise InvalidInput(f"'{name}' is between {low} and {high}, not {text}.")
    return value


def find_activation(request: Request, project_id: str, activation_id: str | None = None) -> Activation:
    """Return the activation of a route, or the one that is named; raise NotFound."""
    if activation_id is None:
        activation_id = str(request.path_params["activation"])
    found = activations.find(parts_of(request).store.read, activation_id)
    if found is None or found.project_id != project_id:
        raise NotFound(
            f"there is no activation '{activation_id}'.", hint="List them with `fabric-jobs activations list`."
        )
    return found


def find_task(request: Request, project_id: str) -> Task:
    """Return the task of a route; raise NotFound."""
    name = request.path_params["task"]
    found = tasks.by_name(parts_of(request).store.read, project_id, name)
    if found is None:
        raise NotFound(f"there is no task '{name}'.", hint="List them with `fabric-jobs tasks list`.")
    return found


def milliseconds(at: float | None) -> int | None:
    """Return a time as answers have it (docs/reference/compatibility.md#times)."""
    return None if at is None else round(at * 1000)


def activation_json(activation: Activation, payload: bytes, response: Any, dead_letters: int = 0) -> dict[str, Any]:
    """Return the activation record, as docs/reference/http.md has it."""
    agent = activation.kind == "agent"
    record = {
        "success": True,
        "activationId": activation.activation_id,
        "requestId": activation.activation_id,
        "correlationId": activation.correlation_id,
        ("agentName" if agent else "skillName"): activation.name,
        ("serviceName" if agent else "inputName"): activation.entry,
        "sessionId": activation.session_id,
        "projectId": activation.project_id,
        "username": activation.username,
        "payload": orjson.Fragment(payload),  # as it came
        "properties": activation.properties,
        "headers": activation.headers,
        "start": milliseconds(activation.started_at),
        "end": milliseconds(activation.ended_at),
        "status": activation.state.value,
        "response": response,
    }
    if activation.executor != "local":
        record["executor"] = activation.executor
    if activation.cause:
        record["cause"] = activation.cause
    if dead_letters:
        record["deadLetters"] = dead_letters
    if activation.retry_of:
        record["retryOf"] = activation.retry_of
    if activation.error is not None:
        record["error"] = activation.error
    return record


def task_json(task: Task, activation: Activation | None) -> dict[str, Any]:
    """Return a task as docs/reference/http.md has it."""
    return {
        "name": task.name,
        "activationId": task.activation_id,
        "skillName": task.skill_name,
        "actionName": task.action_name,
        "agentName": activation.name if activation is not None and activation.kind == "agent" else "",
        "node": task.node,
        "receives": task.receives,
        "state": task.state.value,
        "attempt": task.attempt,
        "startTime": milliseconds(task.started_at),
        "endTime": milliseconds(task.ended_at),
        "exitCode": task.exit_code,
        "cause": task.cause,
        "sent": task.sent,
        "record": None if task.channel_id is None else {"channel": task.channel_id, "offset": task.record_offset},
        "username": activation.username if activation is not None else "",
    }
