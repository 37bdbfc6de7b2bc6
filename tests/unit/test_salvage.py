"""What a container's log tells beyond what has arrived of its output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.executors.base import STREAMS
from fabric_jobs.executors.kubernetes import salvage
from fabric_jobs.executors.kubernetes.salvage import CUT, FOUND, MOST_AT_A_TIME, rest_of
from fabric_jobs.kubernetes.cluster import Cluster

LINES = st.lists(
    st.tuples(st.integers(0, 1), st.text("ab", max_size=3).map(lambda text: text.encode() + b"\n")), max_size=20
)


@given(LINES, st.integers(0, 60), st.integers(0, 60))
def test_nothing_of_the_log_is_lost_or_doubled(lines: list[tuple[int, bytes]], first: int, second: int) -> None:
    whole = [b"".join(line for number, line in lines if number == stream) for stream in (0, 1)]
    arrived = whole[0][:first], whole[1][:second]
    log = b"".join(line for _, line in lines)
    found = rest_of(log, *arrived)
    if not log:
        assert found is None
        return
    assert found is not None
    both = [known + rest for known, rest in zip(arrived, found, strict=True)]
    assert sorted(b"".join(both)) == sorted(log)


@given(LINES, st.integers(1, 60))
def test_what_is_missing_of_one_stream_goes_there(lines: list[tuple[int, bytes]], first: int) -> None:
    named = [(number, (b"o" if number == 0 else b"e") + line) for number, line in [(0, b"\n"), *lines]]
    stdout, stderr = (b"".join(line for number, line in named if number == stream) for stream in (0, 1))
    log = b"".join(line for _, line in named)
    assert rest_of(log, stdout[:first], stderr) == (stdout[first:], b"")


@pytest.mark.parametrize(
    ("log", "stdout", "stderr", "rest"),
    [
        (b"a\nb\n", b"", b"", (b"a\nb\n", b"")),
        (b"a\nb\n", b"a\nb\n", b"", (b"", b"")),
        (b"a\nb\nc", b"a\nb", b"", (b"\nc", b"")),
        (b"e\nf\n", b"", b"e\n", (b"", b"f\n")),
        (b"a\ne\nfabric_pod: gone.\n", b"a\n", b"e\n", (b"", b"fabric_pod: gone.\n")),
        (b"a\nfabric_pod: gone.\ne\n", b"a\n", b"e\n", (b"", b"fabric_pod: gone.\n")),
        (b"b\nc\n", b"a\nb\n", b"", (b"c\n", b"")),  # its beginning is gone
        (b"a\nb\n", b"x\n", b"", None),
        (b"a\n", b"a\nb\n", b"", None),
        (b"c\n", b"a\n", b"e\n", None),
        (b"", b"a\n", b"", None),
    ],
)
def test_examples(log: bytes, stdout: bytes, stderr: bytes, rest: tuple[bytes, bytes] | None) -> None:
    assert rest_of(log, stdout, stderr) == rest


def test_ten_megabytes_of_short_lines_are_read_fast() -> None:
    lines = [b"%d\n" % number for number in range(200_000)]
    log = b"".join(lines)
    assert rest_of(log, b"".join(lines[:-1]), b"") == (lines[-1], b"")
    same = b"x\n" * 20_000
    assert rest_of(same, same[:20_000], same[:18_000]) == (b"x\n" * 1000, b"")


def test_a_log_that_can_be_read_in_too_many_ways_is_given_up() -> None:
    same = b"x\n" * 1_000_000
    assert rest_of(same, same, same[: len(same) // 2]) is None


class Logs:
    """A cluster that knows one log."""

    def __init__(self, log: bytes) -> None:
        self._log = log
        self._reading = 0
        self.most = 0  # readers at a time

    @asynccontextmanager
    async def log_pieces(self, *_: object, **__: object) -> AsyncIterator[AsyncIterator[bytes]]:
        self._reading += 1
        self.most = max(self.most, self._reading)
        yield self._pieces()
        self._reading -= 1

    async def _pieces(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._log), 3):
            await asyncio.sleep(0)
            yield self._log[at : at + 3]


def attempt(place: Path, stdout: bytes = b"", stderr: bytes = b"") -> Path:
    place.mkdir()
    for stream, text in zip(STREAMS, (stdout, stderr), strict=True):
        (place / stream).write_bytes(text)
    return place


async def salvaged(logs: Logs, *places: Path) -> list[str]:
    turns = asyncio.Semaphore(MOST_AT_A_TIME)
    cluster = cast(Cluster, logs)
    return await asyncio.gather(*(salvage.salvage(cluster, "pod", place, turns) for place in places))


@pytest.mark.parametrize(
    ("log", "stdout", "found", "remark"),
    [
        (b"a\nb\n", b"a\n", b"a\nb\n", FOUND),
        (b"a\nb\n", b"", b"a\nb\n", CUT),  # its beginning may be gone
        (b"fabric_pod: no files.\n", b"", b"", FOUND),
        (b"unable to retrieve container logs for x", b"", b"", CUT),
        (b"", b"", b"", CUT),
    ],
)
def test_what_is_said_of_it(tmp_path: Path, log: bytes, stdout: bytes, found: bytes, remark: str) -> None:
    place = attempt(tmp_path / "a", stdout)
    assert asyncio.run(salvaged(Logs(log), place)) == [remark]
    assert (place / "stdout").read_bytes() == found


def test_a_log_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "MOST_BYTES", 9)
    assert asyncio.run(salvaged(Logs(b"a\n" * 5), attempt(tmp_path / "a", b"a\n"))) == [CUT]


def test_few_logs_are_read_at_a_time(tmp_path: Path) -> None:
    logs = Logs(b"a\nb\n")
    places = [attempt(tmp_path / str(number), b"a\n") for number in range(10)]
    assert asyncio.run(salvaged(logs, *places)) == [FOUND] * 10
    assert logs.most == MOST_AT_A_TIME
