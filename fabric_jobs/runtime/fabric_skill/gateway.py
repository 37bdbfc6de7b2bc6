"""The gateway of this attempt: commits and pulls that outlast a restart of it (docs/explanation/channels.md)."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, NoReturn

from .envelope import message
from .http import Address, Answer, Connection, Disconnected

PATIENCE_SECONDS = 300.0  # how long a gateway may be away
GAVE_UP = 75  # exit code: try again elsewhere or later
REFUSED = 1  # exit code: the program asked for what cannot be, and would do so again
TOO_LATE = "a thread is still sending while the program ends, and its records would be lost; join the thread first"


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
        give_up(f"the gateway has been away for {PATIENCE_SECONDS:g}s ({error})")
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


class Word:
    """What the gateway is told of a sender: whether more may be under way. Used with the lock of the sender."""

    def __init__(self) -> None:
        self.reading = False  # there may be input that is not finished: the program is not done though all is stored
        self.open = False  # more may follow the next commit
        self.told = False  # the gateway knows that more may follow
        self.closing = False  # the commit after which nothing is left closes the sender
        self.leaving: int | None = None  # the thread in which the program ends
        self._sent_one = False  # since it was closed: a program with a single record has no need to open
        self._threads: set[int] = set()  # those that have sent

    def sends(self) -> None:
        """This thread sends; end the program when it ends already, in another one."""
        me = threading.get_ident()
        self._threads.add(me)
        if self.leaving not in (None, me):
            give_up(TOO_LATE, REFUSED)

    @property
    def is_known(self) -> bool:
        """Whether the gateway knows that more may follow, and it may."""
        return self.open and self.told and self.leaving is None

    def must_wait(self, *, close: bool) -> bool:
        """Whether a record has to be stored before its program goes on, since the gateway does not know of more to come."""
        if self.leaving is not None:
            return True
        if close or (self.open and self.told):
            return close
        self.open, self._sent_one = self._sent_one, True
        return True

    def read(self) -> None:
        """The gateway knows that this program reads and sends."""
        self.reading = self.open = self.told = True

    def close(self) -> None:
        """The next commit says goodbye."""
        self.open = self.closing = self._sent_one = False

    def leave(self) -> bool:
        """The program ends in this thread; return whether another one that has sent still lives."""
        self.leaving, self.reading = threading.get_ident(), False
        others = self._threads - {self.leaving}
        return any(thread.ident in others for thread in threading.enumerate())


class Line:
    """The way to the gateway: one commit after the other, each with the next number."""

    def __init__(self, name: str) -> None:
        self.lock = threading.Lock()  # held from the making of a commit to its answer
        self._name = name
        self._sequence = 0
        self._connection = connect()
        self._path = path("commit")

    def head(self, **parts: Any) -> bytes:
        """Return the first line of the next commit."""
        self._sequence += 1
        head = {"sequence": self._sequence, "sender": self._name, "acks": [], "hand": None, "outputs": []}
        return json.dumps({**head, **parts}).encode() + b"\n"

    def post(self, body: bytes) -> bytes:
        """Send a commit, and return what is answered when it is stored."""
        return ask(self._connection, "POST", self._path, body).body
