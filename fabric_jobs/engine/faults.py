"""Unexpected errors, of our own code, a place or a disk, that block one task or activation.

They are retried as often as a lost attempt, and then become the cause of a failure: nothing is retried for ever in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from threading import Lock

from fabric_jobs.errors import UNFORESEEN

log = logging.getLogger(__name__)


class Faults:
    """Counts consecutive errors by what they block; safe to use from any thread."""

    def __init__(self, limit: int) -> None:
        """`limit` is the number of retries."""
        self._limit = limit
        self._counts: dict[Hashable, int] = {}
        self._lock = Lock()

    def note(self, key: Hashable, error: BaseException, what: str) -> str:
        """Log an error with its traceback; return the cause of a failure after too many, else an empty text."""
        with self._lock:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            if count > self._limit:
                del self._counts[key]
        log.error("%s: %s", what, UNFORESEEN, exc_info=error)
        return f"{_words(error)} ({count} times; the owner's log has the traceback)" if count > self._limit else ""

    def forget(self, key: Hashable) -> None:
        """Reset the count of a key that succeeded or ended."""
        if self._counts:
            with self._lock:
                self._counts.pop(key, None)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}".removesuffix(": ")
