"""One thread with an asyncio loop, for all that is asked of a cluster and heard from it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Any, TypeVar

from fabric_jobs.errors import ExecutorUnavailable

CLOSE_SECONDS, JOIN_SECONDS = 1.0, 2.0  # to wait for connections that are being closed, and for the thread
AGAIN_SECONDS = 0.1  # before what has not ended is cancelled again

T = TypeVar("T")


class CallLoop:
    """The loop. Its thread starts with the first call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._is_closed = False

    def ask(self, question: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return what a coroutine returns, or raise what it raises, from any other thread. ExecutorUnavailable after `seconds`."""
        asked = self.begin(question)
        try:
            return asked.result(seconds)
        except Late as error:
            asked.cancel()
            raise ExecutorUnavailable("the cluster does not answer in time.") from error

    def begin(self, question: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Let a coroutine answer, and return where its answer will be, from any other thread."""
        return asyncio.run_coroutine_threadsafe(question(), self._running())

    def post(self, step: Callable[[], object]) -> None:
        """Let the loop's thread call something soon."""
        self._running().call_soon_threadsafe(step)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a last coroutine, cancel all others, and end the thread. Idempotent."""
        with self._starting:
            if self._is_closed:
                return
            self._is_closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end(last), loop)
        thread.join(JOIN_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._is_closed:
                raise ExecutorUnavailable("the executor is closed.")
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(loop,), name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # too many threads
                    loop.close()
                    raise ExecutorUnavailable(f"the cluster cannot be asked: {error}.") from error
                self._loop, self._thread = loop, thread
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    while others := asyncio.all_tasks(loop) - {asyncio.current_task()}:
        for task in others:  # once more, since `wait_for` of Python 3.11 may lose a cancellation
            task.cancel()
        await asyncio.wait(others, timeout=AGAIN_SECONDS)
    try:
        await last()
        await loop.shutdown_asyncgens()
        until = loop.time() + CLOSE_SECONDS
        while _has_connections(loop) and loop.time() < until:
            await asyncio.sleep(0.005)
    finally:
        loop.call_soon(loop.stop)


def _has_connections(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a connection is still being closed, by the loop's own record, which has closed ones for a while."""
    transports = list(getattr(loop, "_transports", {}).values())
    return any(transport.get_extra_info("socket").fileno() >= 0 for transport in transports)
