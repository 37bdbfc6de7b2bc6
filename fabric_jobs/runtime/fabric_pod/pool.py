"""Runs attempts in one pod, one after the other, each forked from a template process (docs/howto/warm-starts.md#in-a-cluster)."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from contextlib import suppress

from . import memory, processes
from .forking import Refused, Template
from .gateway import OVER, REFUSED, Gateway, GaveUp
from .launcher import GATHER_SECONDS, POLL_SECONDS
from .orders import Orders, PoolGateway
from .output import Output, say, write
from .shipping import Shipper
from .wakes import Wakes

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

WATCHED_SECONDS = 3600.0  # between two looks, where the system tells that files grow


def main() -> None:
    """Carry out attempts until this pod is asked to end."""
    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    os._exit(Pool(order, os.path.abspath(sys.argv[0])).run())


NO_TEMPLATE = "the template process has died"


class Lost(Exception):
    """The template process has died before it forked an attempt, which is to be tried in another pod."""


class Pool:
    """One pod of a pool. Everything happens in the main thread; one thread asks for orders, another one sends output."""

    def __init__(self, order: dict[str, Any], layer: str) -> None:
        self._order = order
        self._layer = layer
        self._wakes = Wakes()
        self._work = os.path.join(order["work"], "attempt")
        self._last = ""  # the attempt that this pod was given last, since its order may come twice

    def run(self) -> int:
        """Return the exit code of this pod."""
        processes.adopt_orphans()
        try:
            self._template = Template(self._order, self._layer)
            while not self._template.is_ready:
                if self._wakes.is_asked_to_end:
                    return 0
                self._wakes.wait(self._template.control)
                self._template.hear()
        except Refused as error:
            with suppress(GaveUp):
                PoolGateway(self._order).call("cold", why=str(error))
            return 0
        try:
            return self._serve()
        except (GaveUp, Lost, OSError) as error:
            say(str(error))
            return OVER

    def _serve(self) -> int:
        self._orders = Orders(PoolGateway(self._order), self._wakes.wake)
        while not self._wakes.is_asked_to_end:
            self._template.hear()
            if self._template.is_gone:
                raise Lost(NO_TEMPLATE)
            said = self._orders.next()
            if said is None:
                self._wakes.wait(self._template.control)
            elif "over" in said:
                say(said["over"])
                return 0
            elif "order" in said and said["order"]["name"] != self._last:
                self._carry_out(said["order"])
            else:
                self._orders.now("")
        return 0

    def _carry_out(self, order: dict[str, Any]) -> None:
        """Run an attempt to its end and report it. Raises GaveUp, Lost, or OSError for a full disk."""
        name = order["name"]
        self._last = name
        self._orders.now(name)
        before = memory.kills()
        attempt = Attempt(order, self._template, self._orders, self._wakes, self._work)
        code = attempt.run()
        is_oom = bool(code) and memory.kills() > before
        PoolGateway(self._order).call("ended", attempt.ran, attempt=name, code=code, oom=is_oom)
        processes.clear(self._work)
        if order["files"]:
            processes.clear(order["directory"], keep=True)
        self._orders.now("")


class Attempt:
    """An attempt in this pod."""

    def __init__(self, order: dict[str, Any], template: Template, orders: Orders, wakes: Wakes, work: str) -> None:
        self.ran = 0.0  # seconds
        self._order = order
        self._template = template
        self._orders = orders
        self._wakes = wakes
        self._work = work
        self._output = Output(work)
        self._child = 0
        self._code: int | None = None
        self._signal: int | None = None  # to be sent once there is a child
        self._grace: float | None = None  # seconds that it was given to end
        # By the monotonic clock: a gateway that is away for good stops nothing.
        self._kill_at = time.monotonic() + (order["deadline"] or math.inf)

    def run(self) -> int:
        """Return the exit code to report, once the output of the program is sent. Raises Lost, or GaveUp."""
        gateway = Gateway(self._order)
        self._fetch(gateway)
        shipper = Shipper(gateway, self._output)
        if self._code is None:
            self._template.start(self._order, self._work)
        began = time.monotonic()
        code = self._follow(shipper)
        self.ran = time.monotonic() - began
        code = shipper.finish(code, self.ran)
        self._output.close()
        return code

    def _fetch(self, gateway: Gateway) -> None:
        if not self._order["files"]:
            return
        from .fetching import fetch  # late: few attempts have files

        try:
            fetch(self._order, gateway)
        except (GaveUp, OSError) as error:
            code = error.code if isinstance(error, GaveUp) else REFUSED
            self._fail(code, f"the files of this attempt cannot be fetched: {error}")

    def _fail(self, code: int, why: str) -> None:
        write(self._output.files[1], f"fabric_pod: {why.rstrip('.')}.\n".encode(errors="replace"))
        self._code = code

    def _follow(self, shipper: Shipper) -> int:
        """Copy and send the output until the program has ended; return its exit code."""
        is_asked = False
        while True:
            is_watched = self._output.watch()  # before the look at what is there, so that nothing is missed
            self._hear()
            ended = self._code
            if self._output.copy():
                shipper.wake()
                time.sleep(GATHER_SECONDS)
            elif ended is not None:
                return ended
            if self._wakes.is_asked_to_end and not is_asked:
                is_asked = True
                self._send(signal.SIGTERM)
            self._heed()
            if ended is None:
                self._wakes.wait(self._template.control, self._pause(is_watched))

    def _pause(self, is_watched: bool) -> float:
        left = max(0.0, self._kill_at - time.monotonic())
        return min(left, WATCHED_SECONDS if is_watched else POLL_SECONDS)

    def _hear(self) -> None:
        """Take what the template process says about the child, or what the system says once that is gone."""
        if self._code is not None:
            return
        for said in self._template.hear():
            if said.get("started") == self._order["name"]:
                self._child = said["pid"]
                if self._signal is not None:
                    self._send(self._signal)
            elif said.get("ended") == self._order["name"]:
                self._child = self._child or said["pid"]
                self._code = said["code"]
            elif said.get("failed") == self._order["name"]:
                self._fail(REFUSED, f"its process cannot be made: {os.strerror(said['errno'])}")
        if self._template.is_gone and self._code is None:
            if not self._child:
                raise Lost(NO_TEMPLATE)
            self._code = processes.code_of(self._child)
        if self._code is not None and self._child:
            processes.end_rest(self._child, self._template.pid)
            self._template.reap(self._child)
        processes.collect({self._child, self._template.pid})

    def _heed(self) -> None:
        """Ask the program to end when that is ordered; end it by force after its grace period."""
        said = self._orders.next()
        if said is not None and said.get("stop") == self._order["name"]:
            if self._grace is None:
                self._send(signal.SIGTERM)
            self._grace = said["grace"] if self._grace is None else min(self._grace, said["grace"])
            self._kill_at = min(self._kill_at, time.monotonic() + self._grace)
        if said is not None:  # anything else is known already, such as this order
            self._orders.now(self._order["name"], self._grace)
        if time.monotonic() >= self._kill_at:
            self._kill_at = math.inf
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        self._signal = number
        if self._child and self._code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-self._child, number)
