"""Files of records: their content, when they are synced, how long they live, and the effect of damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_jobs.doctor.finding import OK, PROBLEM, Scope
from fabric_jobs.doctor.record_files import present
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordsDamaged
from fabric_jobs.routing import sending_id
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, activations, channels, commits, files, leases, retention, tasks
from fabric_jobs.store.audit import audit
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.commits import Commit
from fabric_jobs.store.files import pieces
from fabric_jobs.store.sent import Sent, Written
from fabric_jobs.store.tasks import Ending
from tests.disk import noted
from tests.factories import PROJECT, add_activation, add_channel, add_task, found, ndjson, started

SOURCE_ID = sending_id("a1", "")


def large(name: str = "x", count: int = 3) -> bytes:
    """Return NDJSON that is too large for a row."""
    return ndjson([name * 4000] * count)


def append(store: Store, data: bytes, count: int, **more: Any) -> None:
    """Let the caller of the activation send records."""
    sent = Sent(output="out", count=count, bytes=data, **more)
    sender = Sender(activation_id="a1", sending_id=SOURCE_ID)
    store.write(lambda tx: channels.append(tx, sender, sent)).result()


def on_disk(store: Store) -> list[str]:
    return sorted(store.files.names())


def bytes_of(store: Store, channel_id: int, offset: int = 0) -> bytes:
    segment = channels.read(store.read, channel_id, offset, max_bytes=1 << 30)
    assert segment is not None
    return segment.bytes


@pytest.fixture
def queue(store: Store) -> int:
    """Return a channel that the caller sends to and `b` reads."""
    add_activation(store, "a1")
    return add_channel(store, "", "b.in", wire=0)


def test_large_records_are_in_one_file_whatever_the_number_of_channels(store: Store, queue: int) -> None:
    others = [add_channel(store, "", f"{name}.in", wire=wire) for wire, name in enumerate("cd", start=1)]
    append(store, b"1\n", 1)
    append(store, large(), 3)
    (name,) = on_disk(store)
    assert (store.files.directory / name).stat().st_size == len(large())
    for channel in (queue, *others):
        assert bytes_of(store, channel) == b"1\n" + large()
    assert audit(store.path).violations == []


def test_a_file_goes_with_the_last_reference_to_it(store: Store, queue: int) -> None:
    other = add_channel(store, "", "c.in", wire=1)
    append(store, large(), 3)
    store.files.close()  # the owner begins a new file
    append(store, large("y"), 3)
    first, second = on_disk(store)
    store.write(lambda tx: leases.mark(tx, queue, 0, 6)).result()
    assert on_disk(store) == [first, second]
    store.write(lambda tx: leases.mark(tx, other, 0, 3)).result()
    assert len(on_disk(store)) == 1
    assert bytes_of(store, other, 3) == large("y")
    store.write(lambda tx: leases.mark(tx, other, 0, 6)).result()
    assert on_disk(store) != []  # still being appended to
    store.close()
    again = Store(store.path)
    again.write(lambda tx: None).result()
    assert on_disk(again) == []
    assert not list(again.files.directory.iterdir())
    again.close()


def test_nothing_is_unlinked_while_a_backup_wants_it(store: Store, queue: int) -> None:
    append(store, large(), 3)
    store.files.close()
    with store.files.held():
        store.write(lambda tx: leases.mark(tx, queue, 0, 3)).result()
        assert len(on_disk(store)) == 1
    assert on_disk(store) == []


def test_pruning_an_activation_removes_its_files(store: Store, queue: int) -> None:
    append(store, large(), 3)
    store.files.close()
    activation = activations.find(store.read, "a1")
    assert activation is not None
    store.write(lambda tx: activations.end(tx, activation, ActivationState.COMPLETE)).result()
    add_activation(store, "a2")
    add_channel(store, "", "b.in", wire=0, activation_id="a2")  # its ids are newer, so the others can be deleted
    store.write(lambda tx: retention.hide(tx, ["a1"], PROJECT, dead_letters=False)).result()
    while not store.write(lambda tx: retention.delete_some(tx, ["a1"])).result():
        pass
    assert on_disk(store) == []


def test_what_a_failed_operation_appended_is_referred_to_by_nobody(store: Store, queue: int) -> None:
    def fails(tx: Any) -> None:
        channels.append(
            tx, Sender(activation_id="a1", sending_id=SOURCE_ID), Sent(output="out", count=3, bytes=large())
        )
        raise ValueError("it thought better of it")

    with pytest.raises(ValueError, match="better"):
        store.write(fails).result()
    append(store, large("y"), 3)
    assert bytes_of(store, queue) == large("y")
    assert audit(store.path).violations == []


def test_bytes_are_synced_before_the_rows_that_refer_to_them(
    store: Store, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = noted(monkeypatch)

    def note(text: str) -> None:
        if "insert into segments" in text or text == "commit":
            happened.append("commit" if text == "commit" else "insert")

    def traced(tx: Any) -> None:
        tx.connection.set_trace_callback(note)

    store.write(traced).result()
    happened.clear()
    append(store, large(), 3)
    assert happened == ["write", "insert", "sync", "commit"]
    happened.clear()
    append(store, b"1\n", 1)
    assert happened == ["insert", "commit"]


@pytest.mark.parametrize("call", ["write", "fdatasync", "open"])
def test_a_full_disk_is_told_and_leaves_nothing(
    store: Store, queue: int, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(PlaceUnavailable, match="No space left"):
            append(store, large(), 3)
    channel = channels.find(store.read, queue)
    assert channel is not None
    assert channel.next_offset == 0
    append(store, large("y"), 3)
    assert bytes_of(store, queue) == large("y")
    assert audit(store.path).violations == []


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"x", b"y", 1))


def cut(path: Path) -> None:
    os.truncate(path, 5000)


def removed(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    away = path.rename(path.with_suffix(".away"))
    path.symlink_to(away)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [changed, cut, removed, linked, a_pipe])
def test_a_file_that_somebody_damaged_is_an_error_that_names_it(
    store: Store, queue: int, damage: Callable[[Path], None]
) -> None:
    append(store, large(), 3)
    (name,) = on_disk(store)
    path = store.files.directory / name
    damage(path)
    with pytest.raises(RecordsDamaged, match=str(path)):
        bytes_of(store, queue)
    assert not channels.is_there(store.read, queue, 1)
    (finding,) = present(Scope(workspace=None, state_dir=store.path.parent))
    assert finding.level == (OK if damage in (changed, linked) else PROBLEM)  # that check reads only lengths
    (violation,) = audit(store.path).violations
    assert str(path) in violation


def test_a_sweep_keeps_what_rows_name_and_what_may_still_be_written(store: Store, queue: int) -> None:
    append(store, large(), 3)
    task = started(store, add_task(store, name="t-1"))
    alive = store.files.make_directory("a1", "b", task.attempt_name)
    (store.files.directory / alive / "0").write_bytes(b"not committed yet")
    gone = store.files.make_directory("a1", "b", "t-1-0")
    (store.files.directory / gone / "0").write_bytes(b"of an attempt that is over")
    named = on_disk(store)
    assert store.sweep() == 1
    assert on_disk(store) == [name for name in named if not name.startswith(gone)]
    assert not (store.files.directory / gone).exists()
    assert (store.files.directory / alive).is_dir()


def test_what_a_sender_wrote_is_referred_to_where_it_is(store: Store) -> None:
    add_activation(store, "a1")
    channel = add_channel(store, "b.in", "c.in", wire=1)
    task = started(store, add_task(store, name="t-1"))
    name = f"{store.files.make_directory('a1', 'b', task.attempt_name)}/0"
    data = large()
    (store.files.directory / name).write_bytes(b"before" + data)
    written = Written(name=name, at=6, task_id=task.task_id, attempt=task.attempt)
    sent = Sent(output="out", count=3, bytes=data, written=written)
    store.write(lambda tx: commits.apply(tx, task.task_id, task.attempt, Commit(sequence=1, sent=(sent,)))).result()
    assert on_disk(store) == [name]
    assert bytes_of(store, channel, 1) == data[len(data) // 3 :]
    store.write(lambda tx: leases.mark(tx, channel, 0, 3)).result()
    assert on_disk(store) == [name]  # the attempt still appends to it
    store.write(lambda tx: tasks.end(tx, found(store, task.task_id), TaskState.COMPLETE, Ending(exit_code=0))).result()
    assert on_disk(store) == []


def test_what_is_held_back_in_a_file_is_released_where_it_is(store: Store) -> None:
    add_activation(store, "a1")
    channel = add_channel(store, "b.in", "c.in", wire=1)
    task = started(store, add_task(store, name="t-1", receives="stream"))
    sent = Sent(output="out", count=3, bytes=large())
    commit = Commit(sequence=1, sent=(sent,), hold=True)
    store.write(lambda tx: commits.apply(tx, task.task_id, task.attempt, commit)).result()
    (name,) = on_disk(store)
    size = (store.files.directory / name).stat().st_size
    assert audit(store.path).violations == []
    store.write(lambda tx: commits.release_held(tx, found(store, task.task_id))).result()
    assert (store.files.directory / name).stat().st_size == size
    assert bytes_of(store, channel) == large()
    assert audit(store.path).violations == []


@pytest.mark.parametrize(
    ("at", "size", "crc", "words"),
    [
        (1, 4, 0, "not what the sender reported"),
        (0, 40, 0, "not what the sender reported"),
        (0, 4, 1, "not what the sender reported"),
    ],
)
def test_what_a_sender_says_of_its_file_is_verified(store: Store, at: int, size: int, crc: int, words: str) -> None:
    name = f"{store.files.make_directory('a1', 'b', 't-1')}/0"
    (store.files.directory / name).write_bytes(b"1\n2\n")
    assert store.files.verified(name, 0, 4, crc32(b"1\n2\n")) == b"1\n2\n"
    with pytest.raises(InvalidInput, match=words):
        store.files.verified(name, at, size, crc)
    with pytest.raises(InvalidInput, match="cannot be read"):
        store.files.verified(f"{name}1", 0, 4, crc)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(1, 30))
def test_pieces_are_whole_records_and_all_of_them(lengths: list[int], size: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE_BYTES", size)
        parts = [(bytes(piece), count) for piece, count in pieces(data, len(lengths))]
    assert b"".join(piece for piece, _ in parts) == data
    assert all(piece.endswith(b"\n") and piece.count(b"\n") == count > 0 for piece, count in parts)


def test_an_owner_begins_another_file_when_one_is_long(
    store: Store, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROTATE_BYTES", 20_000)
    for _ in range(4):
        append(store, large(), 3)
    assert len(on_disk(store)) == 2
    assert bytes_of(store, queue) == large() * 4
