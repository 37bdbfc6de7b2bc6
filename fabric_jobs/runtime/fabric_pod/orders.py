"""Asks the gateway for orders, in a thread of its own: one long poll is open all the time, so that a stop arrives at once."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from queue import Empty, SimpleQueue

from .gateway import Gateway, checked

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INSTANCE = os.urandom(8).hex()  # of this process


class PoolGateway(Gateway):
    """The gateway as one pod of a pool sees it. For one thread at a time."""

    def __init__(self, order: dict[str, Any]) -> None:
        super().__init__({**order, "attempt": ""})
        self._path = f"/px/internal/pools/{order['pool']}"
        self._who = {"pod": order["pod"], "instance": INSTANCE}
        self._idle: float = order["idle"]

    def call(self, verb: str, seconds: float = 0.0, **what: Any) -> dict[str, Any]:
        """Return the answer to a call; raise GaveUp, after `seconds` if these are more than the patience of the order."""
        self.hurry(seconds)
        try:
            return self._call(verb, what)
        finally:
            self.rest()

    def take(self, attempt: str, grace: float | None) -> dict[str, Any]:
        """Return the next order, or nothing after a while; raise GaveUp. A pod that runs an attempt has all patience."""
        if attempt:
            self.gives_up_at = math.inf
        else:
            self._patience = self._idle
            self.hurry()
        return self._call("take", {"attempt": attempt, "grace": grace})

    def _call(self, verb: str, what: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            checked(self.ask("POST", verb, json.dumps({**self._who, **what}).encode())).body
        )
        return found


class Orders:
    """What the gateway says, one thing at a time: the next one is asked for after `now`."""

    def __init__(self, gateway: PoolGateway, wake: Callable[[], None]) -> None:
        """Call `wake()` when something is there."""
        self._gateway = gateway
        self._wake = wake
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._now: tuple[str, float | None] = ("", None)
        self._heeded = threading.Event()
        self._over = ""
        threading.Thread(target=self._run, name="orders", daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """Return what the gateway has said: an `order`, a `stop`, or that it is `over`; None if nothing is there."""
        try:
            return self._said.get_nowait()
        except Empty:
            return {"over": self._over} if self._over else None

    def now(self, attempt: str, grace: float | None = None) -> None:
        """Say which attempt runs, and the grace period that it was given."""
        self._now = (attempt, grace)
        self._heeded.set()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        try:
            while True:
                said = self._gateway.take(*self._now)
                if said:
                    self._heeded.clear()
                    self._said.put(said)
                    self._wake()
                    self._heeded.wait()
        except Exception as error:  # such as an answer of a proxy: without this thread nothing is heard any more
            self._over = str(error) or repr(error)
            self._wake()
