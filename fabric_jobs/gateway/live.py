"""Long polls, and senders that wait for credit. Everything here runs in the event loop's thread."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fabric_jobs.records import Channel, Task
from fabric_jobs.settings import Settings
from fabric_jobs.store import Effects, Store
from fabric_jobs.store import channels as stored

if TYPE_CHECKING:
    from fabric_jobs.store.batches import Rules

Key = tuple[str, int | str]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Credit:
    """How far the consumer of one channel is behind."""

    next_offset: int
    consumed: int
    unconsumed_bytes: int = 0
    segments: deque[tuple[int, int]] = field(default_factory=deque)  # (end offset, bytes) of those not wholly consumed

    def append(self, count: int, size: int) -> None:
        """Count records that were appended."""
        self.next_offset += count
        self.unconsumed_bytes += size
        self.segments.append((self.next_offset, size))

    def consume(self, below: int) -> None:
        """Note that the consumer has all records below an offset."""
        self.consumed = max(self.consumed, below)
        while self.segments and self.segments[0][0] <= self.consumed:
            self.unconsumed_bytes -= self.segments.popleft()[1]


class Known(Generic[K, V]):
    """A bounded cache of values that never change. When it is full it forgets everything."""

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return the value of a key; None if it is not known."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._values) >= self._size:
            self._values.clear()
        self._values[key] = value

    def clear(self) -> None:
        """Forget everything, since something known has been deleted. Safe to call from any thread."""
        self._values.clear()


class Live:
    """Wakes waiting calls when a transaction is committed."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Must be made in the thread of the running event loop."""
        self._store = store
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        self._credits: dict[int, Credit] = {}
        self.tasks: Known[tuple[int, int], Task] = Known()  # by task and attempt
        self.targets: Known[tuple[str, str, str], list[Channel]] = Known()  # by activation, node and output
        self.rules: Known[int, Rules] = Known()  # of batches, by task
        self.claims: Known[str, dict[str, Any]] = Known()  # by token
        self.without_room: Counter[int] = Counter()  # the calls of each task that wait for credit
        self.closing = False
        self.retiring = asyncio.Event()  # another owner wants to take over
        self.callbacks = asyncio.Event()  # there may be one to deliver
        self.has_callbacks = False  # whether the end of an activation may be a reason
        store.listen(self._committed)

    async def wait(self, keys: list[Key], seconds: float) -> bool:
        """Wait until one of the keys is touched; return False after `seconds`."""
        with self.watching(keys) as touched:
            return await touched(seconds)

    @contextmanager
    def watching(self, keys: list[Key]) -> Iterator[Callable[[float], Awaitable[bool]]]:
        """Give a `wait(seconds)` that knows of what is touched from now on.

        A transaction wakes waiters before it answers who wrote in it. So who writes before it waits must watch before it writes.
        """
        touched, wanted = asyncio.Event(), set(keys)
        for key in wanted:
            self._waiters.setdefault(key, set()).add(touched)

        async def wait(seconds: float) -> bool:
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self.closing else seconds):
                    await touched.wait()
            return touched.is_set() and not self.closing

        try:
            yield wait
        finally:
            for key in wanted:
                waiting = self._waiters[key]
                waiting.discard(touched)
                if not waiting:
                    del self._waiters[key]

    @property
    def waiting(self) -> int:
        """How many calls are waiting."""
        return len(set().union(*self._waiters.values()))

    def close(self) -> None:
        """Wake all waiters, for good."""
        self.closing = True
        self.callbacks.set()
        for key in list(self._waiters):
            self._touch(key)

    def without_credit(self, found: list[Channel]) -> list[Key]:
        """Return what to wait for before records may be appended to these channels; empty when there is room."""
        credits = [
            (channel.channel_id, self._credit(channel.channel_id))
            for channel in found
            if channel.node and not channel.exempt
        ]
        return [("credit", channel_id) for channel_id, credit in credits if self._is_behind(credit)]

    @contextmanager
    def held_up(self, task_id: int) -> Iterator[None]:
        """Count a task among those `without_room`."""
        self.without_room[task_id] += 1
        try:
            yield
        finally:
            self.without_room[task_id] -= 1
            self.without_room += Counter()  # forgets those with none

    def delivered(self, channel_id: int, below: int) -> None:
        """Credit the sender for delivered records, if the consumer acknowledges only at the end."""
        credit = self._credit(channel_id)
        if below > credit.consumed:
            credit.consume(below)
            self._touch(("credit", channel_id))

    def _is_behind(self, credit: Credit) -> bool:
        behind = credit.next_offset - credit.consumed
        return behind >= self._settings.credit_records or credit.unconsumed_bytes >= self._settings.credit_bytes

    def _credit(self, channel_id: int) -> Credit:
        credit = self._credits.get(channel_id)
        if credit is None:
            channel = stored.find(self._store.read, channel_id)
            assert channel is not None
            credit = self._credits[channel_id] = Credit(next_offset=channel.acked, consumed=channel.acked)
            for end, size in stored.sizes(self._store.read, channel_id, channel.acked):
                credit.append(end - credit.next_offset, size)
        return credit

    def _committed(self, effects: Effects) -> None:
        with suppress(RuntimeError):  # the loop is closed: the owner is ending and nobody waits
            self._loop.call_soon_threadsafe(self._apply, effects)

    def _apply(self, effects: Effects) -> None:
        for appended in effects.appended:
            credit = self._credits.get(appended.channel_id)
            end = appended.segment.end
            if credit is not None and end > credit.next_offset:
                credit.append(end - credit.next_offset, appended.segment.size)
        for channel_id in effects.news | effects.told:
            self._touch(("channel", channel_id))
        for channel_id, acked in effects.acked.items():
            credit = self._credits.get(channel_id)
            if credit is not None:
                credit.consume(acked)
                self._touch(("credit", channel_id))
        for channel_id in effects.ended:
            self._credits.pop(channel_id, None)
            self._touch(("channel", channel_id))
            self._touch(("credit", channel_id))
        for activation_id in effects.activations:
            self._touch(("activation", activation_id))
        for activation_id in effects.over:
            self._touch(("over", activation_id))
        if effects.over and self.has_callbacks:
            self.callbacks.set()
        if effects.events:
            self._touch(("events", ""))

    def _touch(self, key: Key) -> None:
        for touched in self._waiters.get(key, ()):
            touched.set()
