"""Calls the gateway for one attempt, and tries again while it is away."""

from __future__ import annotations

import json
import math
import time

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from ..fabric_skill.http import Answer, Connection, Disconnected
else:
    from fabric_skill.http import Connection, Disconnected

ANSWER_SECONDS = 60.0
OVER, REFUSED = 75, 125  # exit codes: try again elsewhere or later; it can never start
ATTEMPT_OVER = (401, 409)


class GaveUp(Exception):
    """The gateway has been away too long, or refuses; `code` is the exit code for a program that cannot start without it."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


class Gateway:
    """The gateway, over one connection, as one attempt sees it. For one thread at a time."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.gives_up_at = math.inf  # by the monotonic clock; moved on by each answer
        self._patience: float = order["patience"]
        self._path = f"/px/internal/attempts/{order['attempt']}"
        self._connection = Connection(address(order["gateway"]), order["token"])

    def hurry(self, seconds: float = 0.0) -> None:
        """Give up once the gateway has been away for the patience of the order, or for `seconds` if these are more, from now on."""
        self._patience = max(self._patience, seconds)
        self.gives_up_at = time.monotonic() + self._patience

    def rest(self) -> None:
        """Close the connection until there is something to ask: a gateway has room for so many."""
        self._connection.close()

    def ask(self, method: str, target: str, body: bytes = b"", into: BinaryIO | None = None) -> Answer:
        """Repeat a request until it is answered; the body of a success goes `into` a file. Raises GaveUp."""
        pause = 0.01
        while True:
            try:
                self._connection.send(method, f"{self._path}/{target}", body)
                answer = self._connection.receive(ANSWER_SECONDS, into)
                if answer.status < 500:
                    if self.gives_up_at < math.inf:
                        self.hurry()
                    return answer
                reason = f"it answers {answer.status}: {words(answer)}"
            except Disconnected as error:
                reason = str(error)
                if into is not None:
                    into.seek(0)
                    into.truncate()
            if time.monotonic() > self.gives_up_at:
                raise GaveUp(f"the gateway has been away for {self._patience:g}s ({reason})", OVER)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)


def checked(answer: Answer) -> Answer:
    """Return a success; raise GaveUp for a refusal."""
    if answer.status < 300:
        return answer
    raise GaveUp(words(answer), OVER if answer.status in ATTEMPT_OVER else REFUSED)


def words(answer: Answer) -> str:
    """Return what the gateway says about a refusal."""
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status}"


def address(url: str) -> tuple[str, int]:
    """Return host and port of `http://HOST:PORT`."""
    place = url.split("://", 1)[-1].split("/", 1)[0]
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, "80"
    return host.strip("[]"), int(port)
