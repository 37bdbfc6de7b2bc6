"""What nobody foresaw: an error of our own, of a place or of a disk, that stands in the way of one task or one activation.

It is tried again as often as a lost attempt is, and then it is the cause of a failure: nothing is retried for ever in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from threading import Lock

from fabric_jobs.errors import UNFORESEEN

log = logging.getLogger(__name__)


class Faults:
    """Counts the errors in a row, by what they stand in the way of; safe to use from every thread."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many tries there are after the first."""
        self._limit = limit
        self._counts: dict[Hashable, int] = {}
        self._lock = Lock()

    def note(self, key: Hashable, error: BaseException, what: str) -> str:
        """Log an error with its traceback; return the cause of a failure when it came too often, else an empty text."""
        with self._lock:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            if count > self._limit:
                del self._counts[key]
        log.error("%s: %s", what, UNFORESEEN, exc_info=error)
        return f"{_words(error)} ({count} times; the owner's log has the traceback)" if count > self._limit else ""

    def forget(self, key: Hashable) -> None:
        """It went well, or it is over."""
        if self._counts:
            with self._lock:
                self._counts.pop(key, None)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}".removesuffix(": ")
