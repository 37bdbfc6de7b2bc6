"""Logs of containers in memory, as a cluster gives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fabric_jobs.kubernetes.cluster import Cluster


def stamped(number: int, text: bytes, *, zone: str = "Z") -> bytes:
    """Return a line as the cluster gives it; two lines after one another have the same time."""
    return b"2026-01-01T00:00:%02d.%09d%s %s\n" % (number // 4, number // 2, zone.encode(), text)


class Logs:
    """What a cluster answers. An answer may end with an exception of `ends`, and else ends as that of an ended program."""

    def __init__(self, **lines: list[bytes]) -> None:
        self.lines = lines  # by pod
        self.previous: dict[str, list[bytes]] = {}
        self.pieces = 100  # bytes that arrive together
        self.ends: list[BaseException | asyncio.Event | None] = []  # of the next answers
        self.asked: list[dict[str, str]] = []
        self.was_asked = asyncio.Event()
        self.answered = 0  # to the end

    @property
    def cluster(self) -> Cluster:
        """A cluster that has these."""
        return cast(Cluster, self)

    @asynccontextmanager
    async def log_pieces(
        self, name: str, container: str, *, follow: bool, **options: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give a log."""
        assert (container, options.pop("timestamps")) == ("program", "true")
        self.asked.append({"follow": str(follow), **options})
        self.was_asked.set()
        yield self._pieces(self.previous[name] if "previous" in options else self.lines[name], options)

    async def _pieces(self, lines: list[bytes], options: dict[str, str]) -> AsyncIterator[bytes]:
        since = options.get("sinceTime", "")[:19].encode()
        text = b"".join(line for line in lines if line[:19] >= since)
        for start in range(0, len(text), self.pieces):
            await asyncio.sleep(0)
            yield text[start : start + self.pieces]
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, asyncio.Event):
            await end.wait()
        elif end is not None:
            raise end
        self.answered += 1
