"""Reads a log once for all its followers: those at the end share one reader and its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Protocol

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.attempt_files.pages import offsets
from fabric_jobs.executors.base import STREAMS, LogPage
from fabric_jobs.gateway.live import Live
from fabric_jobs.records import Task

LOOK_SECONDS = 0.05  # polling interval for a waiting caller; a file does not report that it has grown
AGAIN_SECONDS = 1.0  # before the next look, after an executor did not answer
QUIET_LOOKS = 10  # after this many looks without news, an unfinished line is sent as it is
WAKING = ("log", "")  # touched only when the owner ends
KEPT_SECONDS = 1.0  # how long a page is kept for followers that were busy when it was read
KEPT_BYTES = 4 << 20  # for one log


@dataclass(frozen=True, kw_only=True)
class AttemptLog:
    """The log of one attempt."""

    task: Task
    attempt: int  # 0: none has begun
    executor: str
    handle: str | None
    ended: bool  # the attempt is over


@dataclass(frozen=True, kw_only=True)
class News:
    """What a look at a log found: first the attempt's state, then the log's content."""

    log: AttemptLog
    page: LogPage
    over: bool  # nothing more can come

    def is_something(self, cursor: str) -> bool:
        """Tell whether this is news for a reader at a cursor."""
        return bool(self.page.parts) or self.page.more or self.over or began_again(cursor, self.page.cursor)


def began_again(before: str, after: str) -> bool:
    """Tell whether a program has emptied its log between two cursors."""
    return any(new < old for old, new in zip(offsets(before), offsets(after), strict=True))


class Looking(Protocol):
    """How a caller reads a log. Callers with the same key see the same."""

    @property
    def live(self) -> Live:
        """What wakes the waiting callers when the owner ends."""

    @property
    def whole(self) -> bool:
        """Whether an unfinished last line is left for a later page."""

    @property
    def patient(self) -> bool:
        """Whether `whole` gives up after QUIET_LOOKS."""

    @property
    def key(self) -> Hashable:
        """Which log it is, and which part is wanted."""

    async def look(self, cursor: str, *, whole: bool) -> News:
        """Return what follows a cursor now; raise ExecutorUnavailable or NotFound."""


class Followers:
    """All followers of all logs. Everything here runs in the event loop's thread."""

    def __init__(self) -> None:
        self._readers: dict[Hashable, _Reader] = {}

    async def news(self, looking: Looking, cursor: str) -> News:
        """Return what comes after a cursor, as soon as there is something."""
        reader = self._readers.get(looking.key)
        found = reader.after(cursor) if reader is not None else None
        is_there = reader is not None and reader.is_reached(cursor)
        while found is None:
            if reader is None or not is_there:
                # This follower is behind, or the only one: it reads for itself.
                whole = looking.whole and not (looking.patient and reader is not None)
                own = await looking.look(cursor, whole=whole)
                if own.is_something(cursor):
                    return own
                cursor = own.page.cursor
                reader = self._readers.setdefault(looking.key, _Reader(cursor))
            try:
                await reader.advance(looking)
            finally:
                if not reader.waiting:
                    asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, looking.key, reader)
            found, is_there = reader.after(cursor), False
        return found

    def _forget(self, key: Hashable, reader: _Reader) -> None:
        if not reader.waiting and self._readers.get(key) is reader:
            del self._readers[key]


@dataclass(frozen=True)
class _Kept:
    """A page, and when it was read."""

    news: News
    at: float

    @property
    def size(self) -> int:
        """Return how many bytes of the log the page has."""
        return sum(len(part.bytes) for part in self.news.page.parts)


class _Reader:
    """Continues reading at the end of one log while anybody waits."""

    def __init__(self, cursor: str) -> None:
        self.waiting = 0
        self._cursor = cursor
        self._kept: dict[str, _Kept] = {}  # by where a page begins
        self._size = 0  # of the kept pages, in bytes
        self._is_over = False
        self._reading: asyncio.Task[None] | None = None

    def is_reached(self, cursor: str) -> bool:
        """Tell whether a cursor is at or after this reader's position."""
        return bool(cursor) and not began_again(self._cursor, cursor)

    def after(self, cursor: str) -> News | None:
        """Return what follows a cursor in its page; None if that page is not kept, or the cursor is at the end."""
        if not cursor or (cursor == self._cursor and not self._is_over):
            return None
        self._let_go()
        exact = self._kept.get(cursor)
        if exact is not None:
            return exact.news
        for begin, kept in reversed(self._kept.items()):
            end = kept.news.page.cursor
            if not (began_again(begin, end) or began_again(begin, cursor) or began_again(cursor, end)):
                parts = _without(kept.news.page, begin, cursor)
                if parts.parts or kept.news.over:
                    return replace(kept.news, page=parts)
        return None

    async def advance(self, looking: Looking) -> None:
        """Return when there is another page; all waiting followers share the same looks."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(looking))
        reading = self._reading
        self.waiting += 1
        try:
            await asyncio.shield(reading)
        finally:
            self.waiting -= 1
            if not self.waiting and not reading.done():
                reading.cancel()
                self._reading = None

    async def _read(self, looking: Looking) -> None:
        quiet = 0
        while True:
            try:
                news = await looking.look(self._cursor, whole=looking.whole and not self._is_tired(looking, quiet))
            except ExecutorUnavailable:  # tried again: the log is not lost
                if looking.live.closing:
                    raise
                await looking.live.wait([WAKING], AGAIN_SECONDS)
                continue
            begin, self._cursor = self._cursor, news.page.cursor
            if news.is_something(begin):
                self._keep(begin, news)
                return
            quiet += 1
            await looking.live.wait([WAKING], LOOK_SECONDS)

    def _is_tired(self, looking: Looking, quiet: int) -> bool:
        return looking.patient and quiet >= QUIET_LOOKS

    def _keep(self, begin: str, news: News) -> None:
        before = self._kept.pop(begin, None)
        self._size -= before.size if before else 0
        self._kept[begin] = _Kept(news, asyncio.get_running_loop().time())
        self._size += self._kept[begin].size
        self._is_over = news.over

    def _let_go(self) -> None:
        """Forget pages that are too old or too many; the newest stays."""
        since = asyncio.get_running_loop().time() - KEPT_SECONDS
        while len(self._kept) > 1:
            first = next(iter(self._kept))
            if self._kept[first].at >= since and self._size <= KEPT_BYTES:
                break
            self._size -= self._kept.pop(first).size


def _without(page: LogPage, begin: str, cursor: str) -> LogPage:
    """Return a page that begins at `begin` without what is before `cursor`."""
    passed = {stream: new - old for stream, old, new in zip(STREAMS, offsets(begin), offsets(cursor), strict=True)}
    parts = []
    for part in page.parts:
        text = part.bytes[passed[part.stream] :]
        passed[part.stream] = max(0, passed[part.stream] - len(part.bytes))
        if text:
            parts.append(replace(part, bytes=text))
    return replace(page, parts=tuple(parts))
