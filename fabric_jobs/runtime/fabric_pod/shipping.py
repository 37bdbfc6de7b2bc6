"""Sends the output to the gateway, in a thread of its own: the first line at once, what follows a few times a second."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from .gateway import OVER, Gateway, GaveUp, checked
from .output import STREAMS, Output, say
from .signals import Signals

BATCH_BYTES = 512 << 10  # sent at a time
ASK_SECONDS = 0.5  # between two questions whether a program that was asked to end has to end now
INTERVAL = 0.1  # seconds between two sendings
IDLE_SECONDS = 1.0  # without anything to send, after which the connection is closed
SLACK_SECONDS = 5.0  # beyond the patience with the gateway, for a connection that hangs
FREE_BYTES = 16 << 20  # given back to the disk at a time
KEPT_BYTES = 64 << 20  # the newest that has been sent is kept: a gateway may lose it with its power
KEEP_SIZE, PUNCH_HOLE = 1, 2  # linux/falloc.h
ELSEWHERE = "the rest of the output is only in the log of this container"
AGAIN = f"the program has succeeded, but without all of its output its result is unknown: exit code {OVER}"


class Shipper:
    """Sends what the files hold, from the offset that the gateway has. It may be away and come back."""

    def __init__(self, gateway: Gateway, output: Output, signals: Signals | None = None) -> None:
        """`signals` are those that ask a program to end; None where somebody else ends it."""
        self._gateway = gateway
        self._signals = signals
        self._output = output
        self._sent = [0, 0]  # bytes of each stream that the gateway has
        self._freed = [0, 0]
        self._can_free = sys.maxsize > 1 << 32
        self._news = threading.Event()
        self._over = threading.Event()
        self._is_whole = False  # for the gateway
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Send what is new."""
        self._news.set()

    def finish(self, code: int, ran: float) -> int:
        """Send the rest of the output of a program that has ended with `code`; return the exit code that its attempt gets.

        A success counts only with all of its output: without, the program has to run again. So after one this waits for a gateway
        that is away as long as the program ran, `ran` seconds, or for the patience of the order if that is longer.
        """
        self._gateway.hurry(0.0 if code else ran)
        self._over.set()
        self._news.set()
        while self._thread.is_alive():
            self._thread.join(0.5)
            if time.monotonic() > self._gateway.gives_up_at + SLACK_SECONDS:
                say(f"the gateway does not answer; {ELSEWHERE}")
                break
        if code or self._is_whole:
            return code
        say(AGAIN)
        return OVER

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        try:
            while True:
                self._await_news()
                is_over = self._over.is_set()
                self._send_all()
                if is_over:
                    while not self._tell_end():
                        self._send_all()
                    self._is_whole = True
                    return
                if self._is_asked():
                    self._post(0, self._sent[0], b"")
                self._over.wait(INTERVAL)
        except GaveUp as error:
            say(f"{error}; {ELSEWHERE}")
        finally:
            self._gateway.rest()

    def _await_news(self) -> None:
        if self._is_asked():
            self._news.wait(ASK_SECONDS)
        elif not self._news.wait(IDLE_SECONDS):
            self._gateway.rest()
            self._news.wait()
        self._news.clear()

    def _tell_end(self) -> bool:
        """Say that all has been sent; return False if the gateway has lost some of it, with its power."""
        numbers = [number for number, size in enumerate(self._sent) if size] or [0]
        for number in numbers:
            size = self._sent[number]
            self._sent[number] = self._post(number, size, b"", "&whole=true" if number == numbers[-1] else "")
            if self._sent[number] < size:
                return False
        return True

    def _send_all(self) -> None:
        while self._send():
            pass

    def _is_asked(self) -> bool:
        return self._signals is not None and self._signals.asked

    def _send(self) -> bool:
        """Send a batch of each stream; return whether there may be more."""
        more = False
        for number, file in enumerate(self._output.files):
            begin = self._sent[number]
            part = os.pread(file, BATCH_BYTES, begin)
            if part:
                self._sent[number] = self._post(number, begin, part)
                self._free(number)
                more = more or len(part) == BATCH_BYTES or self._sent[number] < begin + len(part)
        return more

    def _post(self, number: int, offset: int, part: bytes, more: str = "") -> int:
        """Send a part of a stream; return how much of it the gateway has now: for an empty part, how much it cannot lose."""
        answer = self._gateway.ask("POST", f"output?stream={STREAMS[number]}&offset={offset}{more}", part)
        if answer.status == 400:  # it has lost what came before, with its power
            known = checked(self._gateway.ask("POST", f"output?stream={STREAMS[number]}&offset=0"))
            size = int(json.loads(known.body)["size"])
            if self._freed[number] <= size < offset:
                return size
        found = json.loads(checked(answer).body)
        if self._signals is not None:
            if found.get("end"):
                self._signals.ask()  # the cluster's signal is lost if it comes before this process handles it
            if found.get("kill"):
                self._signals.kill()  # a cluster cannot shorten the time that it has given a program
        return int(found["size"])

    def _free(self, number: int) -> None:
        """Give the space of what has been sent and copied long ago back to the disk. Offsets stay as they are."""
        end = min(self._sent[number] - KEPT_BYTES, self._output.copied[number]) // FREE_BYTES * FREE_BYTES
        begin = self._freed[number]
        if self._can_free and end > begin:
            self._can_free = punch(self._output.files[number], begin, end - begin)
            if self._can_free:
                self._freed[number] = end


def punch(file: int, offset: int, size: int) -> bool:
    """Free the space of a part of a file, which then reads as zeros; return whether that is possible here."""
    with suppress(ImportError, AttributeError, OSError):
        import ctypes  # late: few programs print so much

        call = ctypes.CDLL(None).fallocate
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        return bool(call(file, KEEP_SIZE | PUNCH_HOLE, offset, size) == 0)
    return False
