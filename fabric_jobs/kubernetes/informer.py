"""Keeps what a cluster says of the objects with some labels: one list, then one watch, for thousands of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Missing

WATCH_SECONDS = 300.0  # then the watch is asked for again, from where it was
RESYNC_SECONDS = 900.0  # then everything is listed again: no missed event is missed for good
AGAIN_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # before the next try, after a watch that was shorter than the last of these
log = logging.getLogger(__name__)


class Informer:
    """The objects of one kind. `run` is a task of the loop; everything else is called in the loop's thread, too."""

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        labels: str,
        on_change: Callable[[Object, bool], None],
        on_trouble: Callable[[], object] = lambda: None,
    ) -> None:
        """Call `on_change(object, is_there)` for each object that is new, has changed, or is gone (then as it was last).

        Call `on_trouble()` when `trouble` is set.
        """
        self.found: dict[str, Object] = {}  # by name
        self.trouble: ExecutorUnavailable | None = None  # set while nothing is heard
        self.is_synced = asyncio.Event()  # once everything that was there has been seen
        self._cluster = cluster
        self._kind = kind
        self._labels = labels
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._version = ""  # from which the watch goes on; empty: list everything
        self._listed_at = 0.0  # by the loop's clock
        self._opened_at = math.inf  # the watch, by the same clock

    async def run(self) -> None:
        """Follow the objects until this task is cancelled. Whatever goes wrong, it goes on after a pause."""
        now = asyncio.get_running_loop().time
        failed = 0
        while True:
            self._opened_at = math.inf
            try:
                await self._follow()
            except Missing:  # the version that the watch was to begin at
                self._version = ""
            except ExecutorUnavailable as error:
                if failed or not self._version:  # a watch that is cut off once is asked for again in silence
                    self._fail(error)
            except Exception as error:  # everything else depends on it
                self._version = ""
                self._report(error)
            failed = 0 if now() - self._opened_at >= AGAIN_SECONDS[-1] else failed + 1
            if failed:
                await asyncio.sleep(AGAIN_SECONDS[min(failed, len(AGAIN_SECONDS)) - 1])

    async def _follow(self) -> None:
        """List everything, if it is time, and take what changes until the watch ends."""
        now = asyncio.get_running_loop().time
        if not self._version or self.trouble is not None or now() - self._listed_at > RESYNC_SECONDS:
            self._version, self._listed_at = await self._list(), now()
            self.is_synced.set()
        async with self._cluster.watch(self._kind, self._labels, self._version, WATCH_SECONDS) as events:
            self.trouble, self._opened_at = None, now()
            async for event, found in events:
                self._version = str(found["metadata"]["resourceVersion"])
                if event != "BOOKMARK":
                    self._take(found, is_there=event != "DELETED")

    def _report(self, error: Exception) -> None:
        message, hint = (error.message, error.hint) if isinstance(error, FabricJobsError) else (repr(error), "")
        if self.trouble is None or self.trouble.message != message:
            log.error("the %s of the cluster cannot be followed", self._kind, exc_info=error)
        self._fail(ExecutorUnavailable(message, hint=hint))

    def _fail(self, error: ExecutorUnavailable) -> None:
        is_new = self.trouble is None
        self.trouble = error
        if is_new:
            self._on_trouble()

    async def _list(self) -> str:
        try:
            items, version = await self._cluster.list(self._kind, self._labels)
        except Missing as error:
            raise ExecutorUnavailable(f"the cluster does not list {self._kind}: {error}.") from error
        there = {item["metadata"]["name"]: item for item in items}
        for name in set(self.found) - set(there):
            self._take(self.found[name], is_there=False)
        for item in items:
            self._take(item, is_there=True)
        return version

    def _take(self, found: Object, *, is_there: bool) -> None:
        name = found["metadata"]["name"]
        if is_there:
            self.found[name] = found
        else:
            self.found.pop(name, None)
        try:
            self._on_change(found, is_there)
        except Exception:  # the others must be told all the same
            log.exception("the %s %s was not taken", self._kind, name)
