"""The gateway of this attempt: commits and pulls that outlast a restart of it (docs/explanation/channels.md)."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, NoReturn

from .envelope import message
from .http import Address, Answer, Connection, Disconnected

PATIENCE_SECONDS = 300.0  # how long a gateway may be away
GAVE_UP = 75  # exit code: try again elsewhere or later
REFUSED = 1  # exit code: the program asked for what cannot be, and would do so again
TOO_LARGE = 413


def attempt_id() -> str:
    """Return `<task>-<attempt>`; empty outside fabric-jobs."""
    return os.environ.get("FABRIC_JOBS_ATTEMPT", "")


def connect() -> Connection:
    """Return a connection to the gateway."""
    return Connection(_address(), os.environ.get("CORTEX_TOKEN") or str(message().get("token", "")))


def path(verb: str) -> str:
    """Return the path of a call of this attempt."""
    return f"/px/internal/attempts/{attempt_id()}/{verb}"


def ask(connection: Connection, method: str, target: str, body: bytes = b"") -> Answer:
    """Send a request until it is answered; end the program when the attempt is over, or the gateway is away too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = 0.01
    while True:
        try:
            return check(connection.request(method, target, body))
        except Disconnected as error:
            pause = wait(pause, deadline, error)


def wait(pause: float, deadline: float, error: Exception) -> float:
    """Wait before another try; return the next pause in seconds, or end the program after the deadline."""
    if time.monotonic() > deadline:
        give_up(f"the gateway has been away for {PATIENCE_SECONDS:g} s ({error})")
    time.sleep(pause)
    return min(pause * 2, 1.0)


def check(answer: Answer) -> Answer:
    """Return an answer that is good; end the program otherwise."""
    if answer.status < 300:
        return answer
    if answer.status == 503:
        raise Disconnected("the gateway is not ready")
    return give_up(_reason(answer), GAVE_UP if answer.status in (401, 409) else REFUSED)


def give_up(reason: str, code: int = GAVE_UP) -> NoReturn:
    """End the program now, from whatever thread."""
    sys.stdout.flush()
    print(f"fabric_skill: {reason.rstrip('.')}; this attempt ends.", file=sys.stderr, flush=True)
    os._exit(code)


def _address() -> Address:
    path = os.environ.get("FABRIC_JOBS_SOCKET", "")
    if path:
        return path
    host, _, port = str(message()["apiEndpoint"]).split("://", 1)[1].split("/", 1)[0].partition(":")
    return (host, int(port or 80))


def _reason(answer: Answer) -> str:
    try:
        found: Any = json.loads(answer.body)
        return " ".join(filter(None, (str(found["message"]), str(found.get("hint", "")))))
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status}"
