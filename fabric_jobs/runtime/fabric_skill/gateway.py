"""The gateway of this attempt; commits and pulls survive its restart (docs/explanation/channels.md)."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from .envelope import message
from .http import Answer, Connection, Disconnected

if TYPE_CHECKING:
    from .http import Address

PATIENCE_SECONDS = 300.0  # how long the gateway may be away
GAVE_UP = 75  # exit code: try again elsewhere or later
REFUSED = 1  # exit code: the program made an invalid request, and a retry would too
TOO_LATE = "a thread is still sending while the program ends, and its records would be lost; join the thread first"


def attempt_id() -> str:
    """Return `<task>-<attempt>`; empty outside fabric-jobs."""
    return os.environ.get("FABRIC_JOBS_ATTEMPT", "")


def connect() -> Connection:
    """Return a connection to the gateway."""
    return Connection(address(), token())


def token() -> str:
    """Return the token of this attempt."""
    return os.environ.get("CORTEX_TOKEN") or str(message().get("token", ""))


def address() -> Address:
    """Return where the gateway listens: the path of a socket, or host and port."""
    socket = os.environ.get("FABRIC_JOBS_SOCKET", "")
    if socket:
        return socket
    host, _, port = str(message()["apiEndpoint"]).split("://", 1)[1].split("/", 1)[0].partition(":")
    return (host, int(port or 80))


def path(verb: str) -> str:
    """Return the path of a call of this attempt."""
    return f"/px/internal/attempts/{attempt_id()}/{verb}"


def ask(connection: Connection, method: str, target: str, body: bytes = b"") -> Answer:
    """Repeat a request until it is answered; end the program when the attempt is over, or the gateway is away too long."""
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
    """Return an answer if it is a success; otherwise end the program, or raise Disconnected to retry."""
    if answer.status < 300:
        return answer
    if answer.status == 503:
        raise Disconnected("the gateway is not ready")
    return give_up(_reason(answer), GAVE_UP if answer.status in (401, 409) else REFUSED)


def give_up(reason: str, code: int = GAVE_UP) -> NoReturn:
    """End the program now, from any thread."""
    sys.stdout.flush()
    print(f"fabric_skill: {reason.rstrip('.')}; this attempt ends.", file=sys.stderr, flush=True)
    os._exit(code)


def _reason(answer: Answer) -> str:
    try:
        found: Any = json.loads(answer.body)
        return " ".join(filter(None, (str(found["message"]), str(found.get("hint", "")))))
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {answer.status}"


class Word:
    """Whether a sender is open: what the gateway has been told, and will be. Used with the lock of the sender."""

    def __init__(self) -> None:
        self.reading = False  # input may be unfinished: the program is not done even if all is stored
        self.open = False  # more may follow the next commit
        self.told = False  # the gateway knows that more may follow
        self.closing = False  # the commit that leaves nothing behind closes the sender
        self.leaving: int | None = None  # the thread in which the program ends
        self._sent_one = False  # since it was closed: a program that sends one record need not open it
        self._threads: set[int] = set()  # threads that have sent

    def sends(self) -> None:
        """Note that this thread sends; end the program at once when it is already ending in another thread."""
        me = threading.get_ident()
        self._threads.add(me)
        if self.leaving not in (None, me):
            give_up(TOO_LATE, REFUSED)

    @property
    def is_known(self) -> bool:
        """Whether more may follow, and the gateway knows it."""
        return self.open and self.told and self.leaving is None

    def must_wait(self, *, close: bool) -> bool:
        """Return whether to wait until a record is stored, since the gateway does not know that more may follow."""
        if self.leaving is not None:
            return True
        if close or (self.open and self.told):
            return close
        self.open, self._sent_one = self._sent_one, True
        return True

    def read(self) -> None:
        """Note that the gateway knows that this program reads and sends."""
        self.reading = self.open = self.told = True

    def close(self) -> None:
        """Close the sender with the next commit."""
        self.open = self.closing = self._sent_one = False

    def leave(self) -> bool:
        """Note that the program ends in this thread; return whether another thread that has sent is alive."""
        self.leaving, self.reading = threading.get_ident(), False
        others = self._threads - {self.leaving}
        return any(thread.ident in others for thread in threading.enumerate())


class Line:
    """Sends commits to the gateway one at a time, each with the next number."""

    def __init__(self, name: str) -> None:
        self.lock = threading.Lock()  # held while a commit is made, sent and answered
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
        """Send a commit; return the gateway's answer once it is stored."""
        return ask(self._connection, "POST", self._path, body).body
