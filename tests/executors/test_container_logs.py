"""Following the log of a container: nothing is lost or doubled, and what may be missing is said."""

from __future__ import annotations

import asyncio
import errno
import io
import tempfile
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs import whole_file
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.merging import Merger
from fabric_jobs.executors.kubernetes import log_reader, output
from fabric_jobs.executors.kubernetes.group_output import Merged
from fabric_jobs.executors.kubernetes.log_reader import BEGIN, LogReader
from fabric_jobs.executors.kubernetes.output import UNREAD, ContainerLog, Destination, Stdout
from fabric_jobs.kubernetes.failures import Missing, RightMissing
from tests.executors.container_logs import Logs, stamped

AWAY = ExecutorUnavailable("the cluster does not answer.")
NO_LOG = b"unable to retrieve container logs for containerd://0"
TEXTS = st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b" ")), max_size=12)
LINES = [stamped(number, b"line %d" % number) for number in range(8)]
WHOLE = b"".join(b"line %d\n" % number for number in range(8))


class Place:
    """An attempt whose first program prints, and is followed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.remarks: list[str] = []
        for stream in ("stdout", "stderr"):
            (directory / stream).touch()

    @property
    def stdout(self) -> bytes:
        """What is there."""
        return (self.directory / "stdout").read_bytes()

    def log(self, logs: Logs, where: Callable[[Path], Destination] = Stdout) -> ContainerLog:
        """Follow."""
        source = partial(logs.log_pieces, "a", "program")
        return ContainerLog(source, self.directory / "followed" / "a", where(self.directory), self.remarks.append)

    def drain(self, logs: Logs, where: Callable[[Path], Destination] = Stdout) -> bytes:
        """Follow to the end of a program that has ended; return all that is there."""

        async def run() -> None:
            await self.log(logs, where).drained(insists=True)

        asyncio.run(run())
        return self.stdout


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("AGAIN_SECONDS", "SELDOM_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(output, name, 0.001)
    return Place(tmp_path)


def merged(directory: Path) -> Merged:
    return Merged(Merger(directory, 1))


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def follow(place: Place, logs: Logs, then: Callable[[ContainerLog], Coroutine[Any, Any, None]]) -> bytes:
    async def run() -> None:
        log = place.log(logs)
        await then(log)
        log.close()

    asyncio.run(run())
    return place.stdout


# Connections


@pytest.mark.parametrize("where", [Stdout, merged])
def test_after_a_rotation_the_next_process_has_every_line_that_the_cluster_shows(
    place: Place, where: Callable[[Path], Destination]
) -> None:
    """A cluster shows the newest file of a log, so that bytes cannot be counted from its beginning."""
    place.drain(Logs(a=LINES[:5]), where)
    assert place.drain(Logs(a=LINES[4:]), where) == WHOLE
    assert place.remarks == []
    assert place.drain(Logs(a=LINES[4:]), where) == WHOLE


@pytest.mark.parametrize("where", [Stdout, merged])
def test_a_gap_that_a_rotation_has_left_is_said(place: Place, where: Callable[[Path], Destination]) -> None:
    place.drain(Logs(a=LINES[:3]), where)
    assert place.drain(Logs(a=LINES[5:]), where) == b"".join(b"line %d\n" % number for number in (0, 1, 2, 5, 6, 7))
    assert place.remarks == [UNREAD]


def test_a_connection_that_is_cut_is_opened_again_behind_what_is_there(place: Place) -> None:
    logs = Logs(a=LINES[:3])
    logs.ends = [AWAY, AWAY, AWAY]

    async def then(log: ContainerLog) -> None:
        await soon(lambda: not logs.ends)
        logs.lines["a"] = LINES[1:]
        await log.drained(insists=True)

    assert follow(place, logs, then) == WHOLE
    assert place.remarks == []


def test_the_clock_of_a_node_that_goes_back_loses_nothing_of_a_connection(place: Place) -> None:
    lines = [stamped(20, b"late"), stamped(1, b"early"), stamped(2, b"later")]
    assert place.drain(Logs(a=lines)) == b"late\nearly\nlater\n"


def test_a_connection_without_progress_is_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "DRAIN_SECONDS", 0.01)
    logs = Logs(a=LINES[:3])

    async def then(log: ContainerLog) -> None:
        logs.ends = [asyncio.Event()]
        await soon(lambda: place.stdout.count(b"\n") == 3)
        logs.lines["a"] = LINES
        await log.drained(insists=True)

    assert follow(place, logs, then) == WHOLE
    assert (logs.asked[0]["follow"], logs.asked[-1]["follow"]) == ("True", "False")
    assert place.remarks == []


def test_a_long_rest_is_waited_for_as_long_as_it_arrives(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "DRAIN_SECONDS", 30.0)
    monkeypatch.setattr(output, "LAST_SECONDS", 0.0)
    clock = 0.0
    lines = [stamped(number, b"%050d" % number) for number in range(100)]
    logs = Logs(a=lines)
    logs.pieces = len(lines[0])
    taken = ContainerLog._append

    def slowly(log: ContainerLog, reader: LogReader, text: bytes) -> None:
        nonlocal clock
        clock += 1.0
        taken(log, reader, text)

    monkeypatch.setattr(ContainerLog, "_append", slowly)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + clock)
        await place.log(logs).drained(insists=True)

    asyncio.run(run())
    assert place.stdout == b"".join(b"%050d\n" % number for number in range(100))
    assert place.remarks == []


# Ends


@pytest.mark.parametrize("end", [Missing("it is gone"), InvalidInput("it has no such container")])
def test_an_end_that_is_gone_is_said_to_be_cut(place: Place, end: Exception) -> None:
    logs = Logs(a=LINES)
    logs.ends = [AWAY]

    async def then(log: ContainerLog) -> None:
        await soon(lambda: not logs.ends)
        logs.ends = [end] * 9
        await log.drained(insists=True)

    assert follow(place, logs, then) == WHOLE
    assert place.remarks == [UNREAD]


def test_an_end_that_was_read_is_whole_though_the_pod_is_gone_then(place: Place) -> None:
    logs = Logs(a=LINES)

    async def then(log: ContainerLog) -> None:
        await soon(lambda: logs.answered > 0)
        logs.ends = [Missing("it is gone")] * 9
        await log.drained(insists=True)

    assert follow(place, logs, then) == WHOLE
    assert place.remarks == []


@pytest.mark.parametrize("where", [Stdout, merged])
@pytest.mark.parametrize("pieces", [1, 100])
def test_words_of_the_cluster_in_place_of_a_log_are_no_output(
    place: Place, where: Callable[[Path], Destination], pieces: int
) -> None:
    logs = Logs(a=[NO_LOG])
    logs.pieces = pieces
    assert place.drain(logs, where) == b""
    assert place.remarks == [UNREAD]


def test_a_cluster_that_does_not_answer_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(output, "LAST_SECONDS", 0.01)
    logs = Logs(a=LINES)
    logs.ends = [AWAY] * 100_000
    assert place.drain(logs) == WHOLE
    assert place.remarks == [UNREAD]


def test_a_right_that_is_missing_is_told_until_it_is_granted(place: Place) -> None:
    logs = Logs(a=LINES)
    logs.ends = [RightMissing("a right is missing: cannot get pods/log.")] * 100_000

    async def then(log: ContainerLog) -> None:
        for _ in range(2):
            with pytest.raises(RightMissing, match="pods/log"):
                await log.drained(insists=True)
        logs.ends.clear()
        await until_drained(log)

    assert follow(place, logs, then) == WHOLE
    assert place.remarks == []


def test_nobody_waits_for_a_right_when_the_log_is_gone(place: Place) -> None:
    logs = Logs(a=LINES)
    logs.ends = [RightMissing("a right is missing: cannot get pods/log.")] * 100_000
    assert follow(place, logs, lambda log: log.drained(insists=False)) == WHOLE
    assert place.remarks == [UNREAD]


async def until_drained(log: ContainerLog) -> None:
    """Ask again and again, as the steps of an attempt do."""
    async with asyncio.timeout(20):
        while not log.is_done:
            try:
                await log.drained(insists=True)
            except (OSError, RightMissing):
                await asyncio.sleep(0.001)


# Disks


def test_what_is_being_written_is_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes cannot be interrupted: whoever reads on waits for it."""
    writes, may_end = threading.Event(), threading.Event()
    append = whole_file.append

    def slowly(file: Any, text: bytes) -> None:
        writes.set()
        assert may_end.wait(20)
        append(file, text)

    monkeypatch.setattr(whole_file, "append", slowly)

    async def then(log: ContainerLog) -> None:
        await soon(writes.is_set)
        log.note(0, runs=False)
        reading = asyncio.ensure_future(log.catch_up())
        for _ in range(20):
            await asyncio.sleep(0)
        may_end.set()
        await reading
        await log.drained(insists=True)

    assert follow(place, Logs(a=LINES), then) == WHOLE


@pytest.mark.parametrize("where", [Stdout, merged])
def test_a_full_disk_is_told_and_loses_nothing_once_there_is_room(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: Callable[[Path], Destination]
) -> None:
    room = 10  # bytes
    append = whole_file.append

    def limited(file: Any, text: bytes) -> None:
        if len(text) <= room:
            append(file, text)
            return
        file.write(text[:room])  # as a raw file does
        file.truncate(file.tell() - room)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_file, "append", limited)

    async def run() -> None:
        nonlocal room
        log = place.log(Logs(a=LINES), where)
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                await log.drained(insists=True)
        room = 1_000
        await until_drained(log)

    asyncio.run(run())
    assert (place.stdout, place.remarks) == (WHOLE, [])


class Short(io.FileIO):
    """A file that takes three bytes at a time, and some in all."""

    room = 0

    def write(self, text: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = min(3, self.room, len(text))
        self.room -= size
        return super().write(text[:size])


def test_what_is_appended_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with Short(tmp_path / "file", "a+") as file:
        file.room = 18
        whole_file.append(file, b"1234567890")
        with pytest.raises(OSError, match="No space left"):
            whole_file.append(file, b"abcdefghij")
    assert (tmp_path / "file").read_bytes() == b"1234567890"


# Reading


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.data())
def test_a_log_is_read_from_any_byte_in_pieces_of_any_size(texts: list[bytes], data: st.DataObject) -> None:
    lines = [stamped(number, text) for number, text in enumerate(texts)]
    held = log_reader.HELD_BYTES
    log_reader.HELD_BYTES = data.draw(st.sampled_from([40, 1 << 16]))  # 40: longer lines are given in parts
    known, skipped, found, rest = BEGIN, 0, b"", b"".join(text + b"\n" for text in texts)
    try:
        for _ in range(3):
            reader = LogReader(known, skipped)
            shown = b"".join(line for line in lines if line[:19].decode() >= known.time[:19])
            sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=20))
            for size in sizes:
                piece, shown = shown[:size], shown[size:]
                text = reader.read(piece)
                if not text:
                    continue
                found += text
                known, skipped = reader.at, 0
                if data.draw(st.integers(0, 9)) == 0:  # killed when a part of it was there
                    skipped = data.draw(st.integers(0, len(text)))
                    known, found = reader.before, found[: len(found) - len(text) + skipped]
                    break
            assert not reader.has_gap
            assert rest.startswith(found)
        reader = LogReader(known, skipped)
        shown = b"".join(line for line in lines if line[:19].decode() >= known.time[:19])
        assert found + reader.read(shown) + reader.end() == rest
    finally:
        log_reader.HELD_BYTES = held


def test_a_long_line_is_given_in_parts() -> None:
    reader = LogReader(BEGIN, 0)
    given = len(reader.read(stamped(1, b"")[:-1]))
    for number in range(1, 100):
        given += len(reader.read(b"y" * 4096))
        assert number * 4096 - given <= log_reader.HELD_BYTES


@settings(deadline=None, max_examples=30)
@given(TEXTS, st.data())
def test_whoever_takes_over_a_merged_container_goes_on_behind_what_is_there(
    texts: list[bytes], data: st.DataObject
) -> None:
    lines = [stamped(number, text) for number, text in enumerate(texts)]
    known = data.draw(st.integers(0, len(lines)))
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        logs = Logs(a=lines[:known])
        logs.pieces = data.draw(st.integers(1, 200))
        before = place.drain(logs, merged)
        last = (place.directory / "followed" / "a").read_text() if known else "0"
        size = int(last.rpartition(",")[2].strip(" ]"))  # of what was appended last: killed at it
        (place.directory / "stdout").write_bytes(before[: len(before) - data.draw(st.integers(0, size))])
        logs.lines["a"] = lines
        assert place.drain(logs, merged) == b"".join(text + b"\n" for text in texts)
