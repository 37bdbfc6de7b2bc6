"""Limits to a moment the wait for an engine that accepts connections but may never answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fabric_jobs.errors import ExecutorUnavailable

PATIENCE_SECONDS = 1.0  # a local engine answers within milliseconds; the calling thread serves other executors too
FRESH_SECONDS = 5.0  # how long a late answer stays valid

T = TypeVar("T")


@dataclass
class _Question:
    asked_at: float
    answered_at: float = 0.0
    answer: Future[Any] = field(default_factory=Future)


class Patience:
    """Asks questions in threads of its own. Thread-safe."""

    def __init__(self) -> None:
        self._questions: dict[str, _Question] = {}
        self._is_silent = False
        self._lock = threading.Lock()

    def ask(self, name: str, question: Callable[[], T]) -> T:
        """Return the answer, or raise what `question` raises. Raise ExecutorUnavailable if neither comes within a moment.

        A pending question is not asked again under the same name. While the engine is silent, callers do not wait at all. A late
        answer goes to the next caller.
        """
        asked = self._asked(name, question)
        wait([asked.answer], max(0.0, asked.asked_at + self._patience() - time.monotonic()))
        if not asked.answer.done():
            self._is_silent = True
            raise ExecutorUnavailable(
                "the Docker engine does not answer: it accepts calls but sends nothing.",
                hint="Restart it, or choose another one with DOCKER_HOST or `docker context use`.",
            )
        with self._lock:
            if self._questions.get(name) is asked:
                del self._questions[name]
        answer: T = asked.answer.result()
        return answer

    def _patience(self) -> float:
        return 0.0 if self._is_silent else PATIENCE_SECONDS

    def _asked(self, name: str, question: Callable[[], T]) -> _Question:
        now = time.monotonic()
        with self._lock:
            found = self._questions.get(name)
            if found is not None and (not found.answered_at or now - found.answered_at < FRESH_SECONDS):
                return found
            made = _Question(asked_at=now)
            try:
                threading.Thread(target=self._answer, args=(made, question), name=f"docker-{name}", daemon=True).start()
            except RuntimeError as error:
                raise ExecutorUnavailable(f"the Docker engine cannot be called: {error}.") from error
            self._questions[name] = made
            return made

    def _answer(self, asked: _Question, question: Callable[[], Any]) -> None:
        try:
            found, failure = question(), None
        except Exception as error:  # whatever it is, the caller gets it
            found, failure = None, error
        asked.answered_at = time.monotonic()
        if not isinstance(failure, ExecutorUnavailable):  # which may itself end a minute of silence
            self._is_silent = False
        if failure is None:
            asked.answer.set_result(found)
        else:
            asked.answer.set_exception(failure)
