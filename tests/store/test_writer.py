"""Group commit: writes that gather during one transaction form the next, without affecting each other."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from fabric_jobs.errors import NotFound, PlaceUnavailable
from fabric_jobs.store import Effects, Store, Tx, events
from fabric_jobs.store.writer import GROUP_LIMIT
from tests.factories import add_activation, new_activation

T = TypeVar("T")


def put(key: str, value: str = "x") -> Callable[[Tx], str]:
    def operation(tx: Tx) -> str:
        tx.run("put_setting", key=key, value=value)
        return key

    return operation


def value_of(store: Store, key: str) -> str | None:
    row = store.read.one("setting", key=key)
    return None if row is None else str(row["value"])


@contextmanager
def gathered(store: Store) -> Iterator[None]:
    """Make the writes in the block wait behind a slow one, so that they form one group."""
    entered, leave = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        entered.set()
        assert leave.wait(30)

    first = store.write(slow)
    assert entered.wait(30)
    try:
        yield
    finally:
        leave.set()
        first.result(30)


def written(store: Store, *operations: Callable[[Tx], T]) -> list[Future[T]]:
    with gathered(store):
        futures = [store.write(operation) for operation in operations]
    for future in futures:
        future.exception(30)  # waits
    return futures


def raising(error: Exception) -> Callable[[Tx], str]:
    def operation(tx: Tx) -> str:
        put("trace")(tx)
        events.record(tx, "task.QUEUED", project_id="local", activation_id="ghost")
        raise error

    return operation


def test_an_operation_returns_what_it_returns_after_the_commit(store: Store) -> None:
    assert store.write(put("a")).result() == "a"
    assert value_of(store, "a") == "x"


def test_what_gathers_is_one_commit(store: Store) -> None:
    before = store.commits
    futures = written(store, *(put(f"k{number}") for number in range(100)))
    assert [future.result() for future in futures] == [f"k{number}" for number in range(100)]
    assert store.commits == before + 2  # the slow one, and the hundred


def test_a_group_has_a_limit_and_the_rest_comes_next(store: Store) -> None:
    before = store.commits
    written(store, *(put(f"k{number}") for number in range(GROUP_LIMIT + 1)))
    assert store.commits == before + 3


def test_operations_run_in_the_order_in_which_they_came(store: Store) -> None:
    written(store, *(put("same", str(number)) for number in range(20)))
    assert value_of(store, "same") == "19"


def test_an_operation_that_raises_leaves_no_trace(store: Store) -> None:
    seen: list[Effects] = []
    store.listen(seen.append)
    with pytest.raises(NotFound):
        store.write(raising(NotFound("no"))).result()
    assert value_of(store, "trace") is None
    assert [effects for effects in seen if effects.activations or effects.events] == []


def test_an_operation_that_raises_does_not_disturb_its_group(store: Store) -> None:
    seen: list[Effects] = []
    store.listen(seen.append)
    before, bad, after = written(store, put("before"), raising(NotFound("no")), put("after"))
    assert isinstance(bad.exception(), NotFound)
    assert (before.result(), after.result()) == ("before", "after")
    assert (value_of(store, "before"), value_of(store, "trace"), value_of(store, "after")) == ("x", None, "x")
    assert [effects for effects in seen if effects.activations] == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_broken_constraint_belongs_to_the_one_who_broke_it(store: Store, alone: bool) -> None:
    add_activation(store, "a1")

    def twice(tx: Tx) -> str:
        put("trace")(tx)
        tx.run(
            "insert_activation",
            started_at=0.0,
            **{**vars(new_activation("a1")), "pins": "{}", "properties": "{}", "headers": "{}"},
        )
        return "unreachable"

    if alone:
        (bad,) = [store.write(twice)]
    else:
        bad, good = written(store, twice, put("good"))
        assert good.result() == "good"
    assert bad.exception() is not None
    assert not isinstance(bad.exception(), PlaceUnavailable)
    assert value_of(store, "trace") is None


def test_effects_come_after_the_commit_and_before_the_answer(store: Store) -> None:
    seen: list[tuple[bool, bool]] = []

    def listener(effects: Effects) -> None:
        seen.append((effects.events, value_of(store, "a") == "x"))

    def operation(tx: Tx) -> None:
        put("a")(tx)
        events.record(tx, "task.QUEUED", project_id="local", activation_id=None)

    store.listen(listener)
    store.write(operation).result()
    assert seen == [(True, True)]


def test_a_reader_never_sees_half_a_group(store: Store) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put("half")(tx)
        entered.set()
        assert leave.wait(30)

    future = store.write(slow)
    assert entered.wait(30)
    assert value_of(store, "half") is None
    leave.set()
    future.result(30)
    assert value_of(store, "half") == "x"


def test_a_caller_who_gives_up_does_not_stop_the_writer(store: Store) -> None:
    """asyncio may cancel a request's future at any moment, when it cancels the request's task."""
    with gathered(store):
        given_up = store.write(put("given up"))
        given_up.cancel()
        other = store.write(put("other"))
    assert other.result(30) == "other"
    running: Future[None]
    entered, leave = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        entered.set()
        assert leave.wait(30)

    running = store.write(slow)
    assert entered.wait(30)
    running.cancel()
    leave.set()
    assert store.write(put("later")).result(30) == "later"


def test_close_commits_what_waits(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    with gathered(store):
        futures = [store.write(put(f"k{number}")) for number in range(GROUP_LIMIT + 10)]
        closing = threading.Thread(target=store.close)
        closing.start()
    closing.join(30)
    assert all(future.done() and future.exception() is None for future in futures)
    again = Store(tmp_path / "state.db")
    assert value_of(again, f"k{GROUP_LIMIT + 9}") == "x"
    again.close()


def test_a_closed_store_takes_nothing_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.write(put("late"))


def test_close_leaves_one_file_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.write(put("a")).result()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


def fill(store: Store) -> int:
    """Write until the disk is full; return the number of rows written."""
    for number in range(10_000):
        try:
            store.write(put(f"fill{number}", "x" * 20_000)).result(30)
        except PlaceUnavailable:
            return number
    raise AssertionError("the disk is never full")


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_is_said_in_words_and_the_store_recovers_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * (400 << 10))
        store = Store(disk / "state.db")
        count = fill(store)
        assert value_of(store, f"fill{count}") is None
        assert value_of(store, f"fill{count - 1}") is not None
        first, second = written(store, put("a", "x" * 20_000), put("b", "y" * 20_000))
        assert isinstance(first.exception(), PlaceUnavailable)
        assert isinstance(second.exception(), PlaceUnavailable)
        assert "full" in str(first.exception())
        assert str(disk) in str(first.exception())
        ballast.unlink()
        assert store.write(put("after", "z" * 20_000)).result(30) == "after"
        store.close()
        again = Store(disk / "state.db")
        assert value_of(again, "after") == "z" * 20_000
        assert value_of(again, f"fill{count - 1}") is not None
        again.close()


def test_the_log_is_emptied_although_the_database_must_grow_and_nothing_is_free(tmp_path: Path) -> None:
    """What is in the log, but not yet in the database, must not need room when there is none."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        store = Store(disk / "state.db")
        for number in range(20):
            store.write(put("a", str(number) * 20_000)).result(30)
        status = os.statvfs(disk)
        (disk / "ballast").write_bytes(b"x" * (status.f_bavail * status.f_frsize - (144 << 10)))
        store.write(put("b", "x" * 160_000)).result(30)
        assert value_of(store, "b") == "x" * 160_000
        store.close()


def test_a_full_disk_does_not_hinder_the_closing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        store = Store(disk / "state.db")
        count = fill(store)
        store.close()
        read_back = Store(disk / "state.db")
        assert value_of(read_back, f"fill{count - 1}") is not None
        read_back.close()


def test_a_full_database_is_said_in_words(store: Store) -> None:
    def limit(tx: Tx) -> None:
        pages = tx.connection.execute("pragma page_count").fetchone()[0]
        tx.connection.execute(f"pragma max_page_count = {pages + 8}")

    def unlimited(tx: Tx) -> None:
        tx.connection.execute("pragma max_page_count = 1000000")

    store.write(limit).result()
    count = fill(store)
    assert count < 9
    store.write(unlimited).result()
    assert store.write(put("after", "z" * 20_000)).result() == "after"
