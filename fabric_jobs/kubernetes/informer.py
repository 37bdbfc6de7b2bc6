"""Keeps what a cluster says of the objects with some labels: one list, then one watch, for thousands of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Missing

WATCH_SECONDS = 300.0  # then the watch is asked for again, from where it was
RESYNC_SECONDS = 900.0  # then everything is listed again: no missed event is missed for good
AGAIN_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # before the next try, while the cluster does not answer


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

    async def run(self) -> None:
        """Follow the objects until this task is cancelled."""
        failed = 0
        version = ""
        listed_at = 0.0
        now = asyncio.get_running_loop().time
        while True:
            try:
                if not version or self.trouble is not None or now() - listed_at > RESYNC_SECONDS:
                    version, listed_at = await self._list(), now()
                    self.trouble, failed = None, 0
                    self.is_synced.set()
                async for event, found in self._cluster.watch(self._kind, self._labels, version, WATCH_SECONDS):
                    version, failed = str(found["metadata"]["resourceVersion"]), 0
                    if event != "BOOKMARK":
                        self._take(found, is_there=event != "DELETED")
            except Missing:
                version = ""
            except ExecutorUnavailable as error:
                if failed or not version:  # a watch that is cut off once is asked for again in silence
                    self._fail(error)
                await asyncio.sleep(AGAIN_SECONDS[min(failed, len(AGAIN_SECONDS) - 1)])
                failed += 1

    def _fail(self, error: ExecutorUnavailable) -> None:
        is_new = self.trouble is None
        self.trouble = error
        if is_new:
            self._on_trouble()

    async def _list(self) -> str:
        items, version = await self._cluster.list(self._kind, self._labels)
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
        self._on_change(found, is_there)
