"""The audit counts every record, and finds impossible states."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store import Store, Tx, activations, channels, leases
from fabric_jobs.store.audit import Audit, attempt_names, audit, quick_check, setting, try_wal
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.connection import schema_steps
from fabric_jobs.store.copy import copy
from fabric_jobs.store.sent import Sent
from tests.factories import add_activation, add_channel, ndjson
from tests.store.test_retention import fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a closed database with two activations."""
    path = tmp_path / "state.db"
    store = Store(path)
    fill(store, "a1")
    fill(store, "a2")
    store.close()
    return path


def broken(path: Path, *statements: str) -> Audit:
    """Damage the database as the store never would, and return its audit."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return audit(path)


def test_every_record_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    add_activation(store, "a1")
    queue = add_channel(store, "", "b.in", wire=0)
    answers = add_channel(store, "b.in", "", wire=1)

    def append(tx: Tx) -> None:
        for wire in (queue, answers):
            sender = channels.find(tx, wire)
            assert sender is not None
            caller = Sender(activation_id="a1", sending_id=sender.sending_id)
            for count in (3, 2):
                channels.append(tx, caller, Sent(output="out", count=count, bytes=ndjson(range(count))))

    store.write(append).result()
    store.write(lambda tx: leases.mark(tx, queue, 0, 4)).result()
    found = audit(store.path)
    assert found.violations == []
    assert (found.channels, found.records, found.finished, found.waiting, found.responses) == (2, 10, 4, 1, 5)
    assert found.looked_at == 5 + 2  # the first three of the queue are gone, which is allowed
    store.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update channels set acked = 99 where wire = 0", "99 records are finished, but 0 were stored"),
        ("update channels set dispatched = -1 where wire = 0", "-1 records are taken by tasks"),
        ("insert into finished values (1, 2, 3)", "0 records are finished of 0, but ranges of it go from 2 to 3"),
        ("delete from segments where first_offset = 0", "records 0 to 0 are missing"),
        ("delete from segments where first_offset = 1", "the segment after offset 1 begins at 2"),
        ("delete from segments where first_offset = 2", "end at 2, but 3 were stored"),
        ("delete from segments", "records 0 to 2 are missing"),
        ("update segments set bytes = x'310a320a' where first_offset = 1", "has 2 lines for 1 records"),
        ("update segments set bytes = x'3131310a' where first_offset = 1", "8 bytes, but 6 were stored"),
        ("update tasks set exit_code = null", "is COMPLETE, but its program did not exit with 0"),
        ("update tasks set ended_at = null", "its state and its end time contradict each other"),
        ("update tasks set state = 'ACTIVE', ended_at = null", "is unfinished in activation a1, which ended COMPLETE"),
        (
            "update task_totals set count = 2 where activation_id = 'a1'",
            "activation a1: its totals differ from the sum of its rows",
        ),
        ("update channels set ahead = 3 where channel_id = 1", "channel 1: its totals differ from the sum of its rows"),
        ("update channels set dead = 3 where channel_id = 1", "channel 1: its totals differ from the sum of its rows"),
        ("delete from attempts", "is at attempt 1, which is missing"),
        ("delete from activations where activation_id = 'a1'", "refers to a missing row of activations"),
    ],
    ids=lambda value: value if " set " in value or value.startswith("delete") else "",
)
def test_what_cannot_be_is_said_in_words(path: Path, statement: str, words: str) -> None:
    assert audit(path).violations == []
    found = broken(path, statement)
    assert any(words in violation for violation in found.violations), found.violations


def test_a_damaged_file_is_a_violation_and_no_error(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(8, 18):  # pages of tables; without the schema's pages nothing could be checked
        content[page * 8192 : page * 8192 + 300] = b"\xff" * 300
    path.write_bytes(content)
    assert audit(path).violations
    assert quick_check(path, whole=True)[1]


def test_an_audit_ends_early_when_it_is_told_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric_jobs.store.audit.STEPS", 1)
    with pytest.raises(PlaceUnavailable, match="ending"):
        audit(path, lambda: True)


def test_what_the_doctor_asks_of_a_database(path: Path, tmp_path: Path) -> None:
    assert quick_check(path, whole=True) == (len(schema_steps()), [])
    assert attempt_names(path) == {"t-a1-1", "t-a2-1"}
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update tasks set activation_id = null where name = 't-a2'")  # like a daemon's task
    assert attempt_names(path) == {"t-a1-1", "t-a2-1"}
    assert setting(path, "port") is None
    try_wal(tmp_path)
    with pytest.raises(PlaceUnavailable):
        try_wal(tmp_path / "nowhere")
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
    with pytest.raises(PlaceUnavailable):
        setting(tmp_path / "rubbish", "port")


def test_a_copy_is_one_moment_while_others_write(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db", inline_bytes=16 << 20)
    add_activation(store, "a1")
    channel = add_channel(store, "", "b.in", wire=0)
    big = b'"' + b"x" * 4_000_000 + b'"\n'
    sender = channels.find(store.read, channel)
    assert sender is not None
    caller = Sender(activation_id="a1", sending_id=sender.sending_id)
    store.write(lambda tx: channels.append(tx, caller, Sent(output="out", count=1, bytes=big))).result()
    steps: list[tuple[int, int]] = []

    def write_on(copied: int, total: int) -> None:
        steps.append((copied, total))
        add_activation(store, f"later-{len(steps)}")

    copy(store.path, tmp_path / "copy.db", write_on)
    assert len(steps) > 1
    assert steps[-1][0] == steps[-1][1]
    store.close()
    copied = Store(tmp_path / "copy.db")
    assert activations.find(copied.read, "a1") is not None
    assert activations.find(copied.read, "later-1") is None
    copied.close()
    assert audit(tmp_path / "copy.db").violations == []


def test_a_copy_ends_early_when_it_is_told_to(path: Path, tmp_path: Path) -> None:
    with pytest.raises(PlaceUnavailable, match="ending"):
        copy(path, tmp_path / "copy.db", lambda copied, total: None, lambda: True)
