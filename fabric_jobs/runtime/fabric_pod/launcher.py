"""Carries out an order: fetches files, runs the program, follows its output, and ends as it has ended."""

from __future__ import annotations

import json
import os
import sys
import time

from . import once, program
from .output import Output, say, write
from .signals import Signals

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

    from .shipping import Shipper

GATHER_SECONDS = 0.01  # before what is printed is copied, since more may follow
POLL_SECONDS = 0.05  # between two looks at the files, where the system does not tell that they grow


def main() -> None:
    """Carry out the order in the file that the first argument names, and exit with the program's code."""
    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    os._exit(run(order, os.path.abspath(sys.argv[0])))


def run(order: dict[str, Any], layer: str) -> int:
    """Run the program of an order to its end; return the exit code of this process. `layer` is for PYTHONPATH."""
    if order.get("once") and not once.is_first(order["work"]):
        once.rest()
    signals = Signals()
    if order["files"] or order["project"]:
        code = _fetched(order)
        if code:
            return code
    if not (order["attempt"] and order["gateway"]):  # a daemon: the cluster alone keeps its log
        return _alone(order, layer, signals)
    output = Output(order["work"])
    began = time.monotonic()
    _start(order, layer, signals, output.files)

    from .gateway import Gateway  # late: the program runs by now
    from .shipping import Shipper

    shipper = Shipper(Gateway(order), output, signals)
    code = _follow(signals, output, shipper)
    return shipper.finish(code, time.monotonic() - began)


def _fetched(order: dict[str, Any]) -> int:
    """Fetch what the program needs; return an exit code if that is not possible, else 0."""
    from .fetching import fetch
    from .gateway import REFUSED, Gateway, GaveUp

    try:
        fetch(order, Gateway(order))
    except GaveUp as error:
        say(f"the files of this attempt cannot be fetched: {error}")
        return error.code
    except OSError as error:
        say(f"the files of this attempt cannot be stored: {error}")
        return REFUSED
    return 0


def _start(order: dict[str, Any], layer: str, signals: Signals, streams: list[int]) -> None:
    """Start the program. If that is not possible, its stderr says why, and it has ended at once, as in a shell."""
    words = [program.encoded(word) for word in order["words"]]
    signals.starting()
    try:
        started = program.start(words, program.environment_of(order, layer), streams[0], streams[1])
    except program.CannotRun as error:
        write(streams[1], f"fabric_pod: {order['words'][0]}: {error}\n".encode(errors="replace"))
        signals.failed(error.code)
    else:
        signals.started(started)


def _follow(signals: Signals, output: Output, shipper: Shipper) -> int:
    """Copy and send the output until the program has ended; return its exit code."""
    while True:
        is_watched = output.watch()  # before the look at what is there, so that nothing is missed
        ended = signals.ended()
        if output.copy():
            shipper.wake()
            time.sleep(GATHER_SECONDS)
        elif ended is not None:
            return ended
        else:
            if signals.asked:
                shipper.wake()  # it asks how long the program has
            signals.wait(None if is_watched else POLL_SECONDS)


def _alone(order: dict[str, Any], layer: str, signals: Signals) -> int:
    """Run a program with the streams of this process; return its exit code."""
    _start(order, layer, signals, [1, 2])
    while True:
        ended = signals.ended()
        if ended is not None:
            return ended
        signals.wait(None)
