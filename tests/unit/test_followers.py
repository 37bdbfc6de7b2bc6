"""Many followers of one log: it is read once, and each gets every byte once, however late or slow it is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.attempt_files import pages
from fabric_jobs.executors.base import STREAMS, LogQuery
from fabric_jobs.gateway import followers
from fabric_jobs.gateway.followers import AttemptLog, Followers, News
from fabric_jobs.gateway.live import Live
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store
from tests.factories import task


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(followers, "AGAIN_SECONDS", 0.001)


@dataclass(kw_only=True)
class Log:
    """A log on this disk, and the number of looks at it."""

    directory: Path
    live: Live
    whole: bool = False
    patient: bool = False
    ended: bool = False
    unavailable: int = 0  # the number of next looks that fail
    looks: int = 0
    index: int = field(default=0)

    @property
    def key(self) -> Hashable:
        return self.directory

    async def look(self, cursor: str, *, whole: bool) -> News:
        self.looks += 1
        if self.unavailable:
            self.unavailable -= 1
            raise ExecutorUnavailable("away")
        ended = self.ended
        await asyncio.sleep(0)
        page = pages.page(self.directory, LogQuery(cursor=cursor, whole=whole and not ended, limit=4096))
        log = AttemptLog(task=task(), attempt=1, executor="local", handle="x", ended=ended)
        return News(log=log, page=page, over=ended)

    def append(self, stream: str, data: bytes) -> None:
        """Append output, and sometimes record the sizes as the index does."""
        with open(self.directory / stream, "ab") as file:
            file.write(data)
        self.index += 1
        if self.index % 3 == 0:
            sizes = [(self.directory / name).stat().st_size for name in STREAMS]
            with open(self.directory / "index", "a") as file:
                file.write(f"{self.index}.000 {sizes[0]} {sizes[1]}\n")


@asynccontextmanager
async def printed(directory: Path, *, whole: bool = False, patient: bool = False) -> AsyncIterator[Log]:
    for stream in STREAMS:
        (directory / stream).touch()
    store = Store(directory / "state.db")
    try:
        yield Log(directory=directory, live=Live(store, Settings(state_dir=directory)), whole=whole, patient=patient)
    finally:
        store.close()


async def follow(many: Followers, log: Log, *, slow: float = 0.0) -> dict[str, bytes]:
    """Return what a follower gets until the end."""
    found, cursor = dict.fromkeys(STREAMS, b""), ""
    while True:
        news = await many.news(log, cursor)
        cursor = news.page.cursor
        for part in news.page.parts:
            found[part.stream] += part.bytes
        if news.over and not news.page.more:
            return found
        await asyncio.sleep(slow)


async def idle(log: Log, looks: int = 3) -> None:
    """Wait until `looks` more looks have been taken."""
    before = log.looks
    while log.looks < before + looks:
        await asyncio.sleep(0.001)


def test_fifty_that_wait_cost_what_one_costs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with printed(tmp_path) as log:
            many = Followers()
            log.append("stdout", b"begin\n")
            waiting = [asyncio.create_task(follow(many, log)) for _ in range(50)]
            await idle(log, 200)  # each has looked at most twice itself
            for number in range(20):
                before = log.looks
                log.append("stderr", b"%d\n" % number)
                await idle(log, 5)
                assert log.looks - before < 20, "one reads, and hands it to the others"
            log.ended = True
            text = b"".join(b"%d\n" % number for number in range(20))
            assert await asyncio.gather(*waiting) == [{"stdout": b"begin\n", "stderr": text}] * 50

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("seed", range(4))
def test_each_gets_every_byte_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def scenario() -> None:
        async with printed(tmp_path, whole=seed % 2 == 0, patient=seed % 4 == 0) as log:
            many = Followers()
            running: list[asyncio.Task[dict[str, bytes]]] = []
            for number in range(60):
                data = b"%d %s" % (number, b"x" * chance.choice((1, 20, 6000))) + chance.choice((b"", b"\n"))
                log.append(chance.choice(STREAMS), data)
                if chance.random() < 0.2:
                    slow = chance.choice((0.0, 0.0, 0.002, 0.02))
                    running.append(asyncio.create_task(follow(many, log, slow=slow)))
                if chance.random() < 0.1 and running:
                    running.pop().cancel()  # one follower leaves
                if chance.random() < 0.05:
                    log.unavailable = 1
                await asyncio.sleep(chance.choice((0.0, 0.0, 0.003)))
            log.ended = True
            said = {stream: (tmp_path / stream).read_bytes() for stream in STREAMS}
            for found in await asyncio.gather(*running, return_exceptions=True):
                assert isinstance(found, ExecutorUnavailable) or found == said  # callers retry; tested elsewhere

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_log_that_is_emptied_is_read_from_its_new_begin(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with printed(tmp_path) as log:
            many = Followers()
            log.append("stdout", b"a long first line\n")
            waiting = [asyncio.create_task(follow(many, log)) for _ in range(3)]
            await idle(log, 10)
            (tmp_path / "stdout").write_bytes(b"new\n")
            await idle(log, 10)
            log.append("stdout", b"more\n")
            log.ended = True
            assert await asyncio.gather(*waiting) == [{"stdout": b"a long first line\nnew\nmore\n", "stderr": b""}] * 3

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_who_follows_alone_keeps_nothing_that_reads_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with printed(tmp_path) as log:
            many = Followers()
            alone = asyncio.create_task(follow(many, log))
            await idle(log)
            alone.cancel()
            await asyncio.gather(alone, return_exceptions=True)
            looks = log.looks
            await asyncio.sleep(0.01)
            assert log.looks == looks

    asyncio.run(asyncio.wait_for(scenario(), 60))
