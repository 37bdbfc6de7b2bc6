"""The commit call: a task's outputs and acknowledgements in one transaction (docs/explanation/channels.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from zlib import crc32

from fabric_jobs.errors import InvalidInput, ReplayDiffers, StaleAttempt
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import sending_id
from fabric_jobs.store import channels, dead_letters, leases, tasks
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.dead_letters import NewDeadLetter
from fabric_jobs.store.files import Ref
from fabric_jobs.store.sent import ALL, Sent, Written, each_of
from fabric_jobs.store.sql import Row
from fabric_jobs.store.writer import Tx

PROLOGUE = "<"  # no output's name begins with it


@dataclass(frozen=True, kw_only=True)
class Acked:
    """A range of a channel whose records are finished."""

    channel_id: int
    first: int
    next: int


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One commit of an attempt."""

    sequence: int  # grows by one; a resend repeats the number
    sender: str = ""  # which process of the attempt sent it; empty from older runtime layers
    open: bool = False  # more may follow: the program must close its sender before it exits 0
    sent: tuple[Sent, ...] = ()
    acks: tuple[Acked, ...] = ()
    hand: tuple[int, int] | None = None  # channel and offset of the record whose outputs are partly committed
    left: tuple[int, int] | None = None  # channel and offset of the record at which the program is about to end
    raised: str = ""  # the exception that it ends with
    rejected: tuple[NewDeadLetter, ...] = ()  # records that the program could not handle and skipped
    hold: bool = False  # release the records when the task exits 0
    prologue: bool = (
        False  # sent before the first record was read: every attempt sends it again, whatever was acknowledged
    )


def apply(tx: Tx, task_id: int, attempt: int, commit: Commit) -> None:
    """Carry out a commit. A resend does nothing.

    Raises StaleAttempt when the attempt is not the current one, ReplayDiffers when it repeats something other than the
    attempt before it sent, InvalidInput when it acknowledges records that it does not read.
    """
    current = current_attempt(tx, task_id, attempt)
    if commit.sequence <= _sequence(current, commit.sender):
        return
    sends, repeated, count = _Tally.read(current["sends"]), _Tally.read(current["repeated"]), 0
    for letter in commit.rejected:
        _reject(tx, current, letter)
        if current["hand"] == json.dumps([letter.channel_id, letter.record_offset]):
            sends, repeated = sends.prologue(), repeated.prologue()  # its outputs need not be repeated
    # Before any acknowledgement, which may delete the record.
    if current["records"] == 1:  # a batch is halved until the record at fault is alone
        dead_letters.keep(tx, *(letter for letter in commit.rejected if letter.on_error != "fail"))
    if commit.hold:
        _hold(tx, task_id, commit.sent)
    else:
        which = PROLOGUE if commit.prologue else ""
        new = [_compare(sends, repeated, sent, which + sent.output) for sent in commit.sent]
        count = sum(_append(tx, current, sent) for sent in new if sent is not None)
    for record in filter(None, (commit.hand, commit.left)):
        _input(tx, current, record[0])
    if commit.left is not None:
        tasks.note_left(tx, task_id, attempt, json.dumps(commit.left), raised=commit.raised)
    advanced = [_ack(tx, current, acked) for acked in commit.acks]
    for letter in () if commit.hold else commit.rejected:
        leases.finish(tx, task_id, letter.channel_id, letter.record_offset, letter.record_offset + 1)
    if any(advanced):
        _check_repeated(sends, repeated)
        sends, repeated = sends.prologue(), repeated.prologue()
    tx.run(
        "note_commit",
        task_id=task_id,
        sequence=commit.sequence,
        sender=commit.sender,
        sender_open=int(commit.open),
        count=count,
        hand=current["hand"] if commit.left and not commit.acks else json.dumps(commit.hand) if commit.hand else None,
        sends=sends.text(),
        repeated=repeated.text(),
    )


def open_sender(tx: Tx, task_id: int, attempt: int, sender: str) -> None:
    """Note that a process of an attempt reads: it must close its sender before it exits 0. Raises what `apply` does."""
    current = current_attempt(tx, task_id, attempt)
    tx.run("open_sender", task_id=task_id, sender=sender, sequence=_sequence(current, sender))


def pass_record(tx: Tx, task: Task, channel_id: int, offset: int) -> None:
    """Mark as finished a record that its task could not handle: the next attempt continues after it."""
    if task.hand == json.dumps([channel_id, offset]):
        tx.run("record_passed", task_id=task.task_id, sends=_Tally.read(task.sends).prologue().text())
    leases.finish(tx, task.task_id, channel_id, offset, offset + 1)


def message(tx: Tx, task_id: int, attempt: int, sent: Sent, *, key: str | None = None) -> None:
    """Append one record of a plain HTTP sender: at-least-once, or exactly once per `key`."""
    current = current_attempt(tx, task_id, attempt)
    if key is not None and not tx.run("insert_message_key", task_id=task_id, key=key):
        return
    tx.run("count_sent", task_id=task_id, count=_append(tx, current, sent))


def release_held(tx: Tx, task: Task) -> None:
    """Append the records that were held until the task exited 0."""
    for row in tx.all("held_of_task", task_id=task.task_id):
        part = tx.part(row)
        written = Written(name=row["name"], at=row["at"]) if isinstance(part, Ref) else None
        data = part if isinstance(part, bytes) else part.read()
        publish(tx, task, Sent(output=row["output"], count=row["count"], bytes=data, parents=ALL, written=written))
    tx.run("delete_held", task_id=task.task_id)


def publish(tx: Tx, task: Task, sent: Sent) -> None:
    """Append records on behalf of a task."""
    activation_id = str(task.activation_id)
    sender = Sender(
        activation_id=activation_id,
        sending_id=sending_id(activation_id, task.node),
        task_id=task.task_id,
        hops=task.hops,
    )
    channels.append(tx, sender, _with_origin(sent, task.channel_id, task.record_offset, task.records))
    tx.run("count_sent", task_id=task.task_id, count=sent.count)


def _with_origin(sent: Sent, channel_id: int | None, first: int | None, count: int) -> Sent:
    """Return what a task sent with the record or batch that it handles as its origin; a stream says the origins itself."""
    if channel_id is None or first is None:
        return sent
    return replace(sent, parents=each_of(channel_id, first, first + count))


def check_repeated(task: Task) -> None:
    """Raise ReplayDiffers when the attempt left out records that the previous one had sent."""
    _check_repeated(_Tally.read(task.sends), _Tally.read(task.repeated))


@dataclass(frozen=True)
class _Tally:
    """Records per output: {output: [count, bytes, crc of the bytes]}. Records with equal values count as the same.

    Records sent before the first one was read have keys of their own, which begin with PROLOGUE.
    """

    outputs: dict[str, list[int]]

    @classmethod
    def read(cls, text: str) -> _Tally:
        """Return the tally stored in a column."""
        return cls(json.loads(text))

    def text(self) -> str:
        """Return the tally as a column stores it."""
        return json.dumps(self.outputs)

    def prologue(self) -> _Tally:
        """Return only the part sent before the first record, which no acknowledgement covers."""
        return _Tally({key: value for key, value in self.outputs.items() if key.startswith(PROLOGUE)})

    def of(self, key: str) -> list[int]:
        """Return the [count, bytes, crc] of an output."""
        return self.outputs.get(key, [0, 0, 0])

    def add(self, key: str, sent: Sent) -> None:
        """Add records to the tally of an output."""
        count, size, crc = self.of(key)
        self.outputs[key] = [count + sent.count, size + len(sent.bytes), crc32(sent.bytes, crc)]


def current_attempt(tx: Tx, task_id: int, attempt: int) -> Row:
    """Return the row of a task; raise StaleAttempt unless this is its current attempt."""
    current = tx.one("current_attempt", task_id=task_id, attempt=attempt)
    if current is None:
        raise StaleAttempt(f"attempt {attempt} of task {task_id} is over: the task has a newer attempt, or has ended.")
    return current


def _sequence(current: Row, sender: str) -> int:
    """Return the number of a sender's last commit; raise InvalidInput while another sender is open."""
    if sender == current["sender"]:
        return int(current["sequence"])
    if current["sender_open"]:
        raise InvalidInput(
            "another process of this program is reading or sending, or was replaced before it called flush().",
            hint="Send all records from one process, or call flush() in one process before the next begins.",
        )
    return 0


def _hold(tx: Tx, task_id: int, parts: tuple[Sent, ...]) -> None:
    for sent in parts:
        for count, part in tx.keep(sent):
            tx.insert("insert_held", task_id=task_id, output=sent.output, count=count, **tx.columns(part, sent.written))


def _compare(sends: _Tally, repeated: _Tally, sent: Sent, key: str) -> Sent | None:
    """Count what an attempt sent; return the part that no earlier attempt has sent."""
    missing = sends.of(key)[0] - repeated.of(key)[0]
    if missing <= 0:
        sends.add(key, sent)
        repeated.add(key, sent)
        return sent
    head, rest = sent.split(missing)
    repeated.add(key, head)
    before, now = sends.of(key), repeated.of(key)
    if before[0] == now[0] and before != now:
        raise ReplayDiffers(
            f"replay differs: the first {now[0]} records that this attempt sent to output '{sent.output}' "
            "are not those of the attempt before it."
        )
    return _compare(sends, repeated, rest, key) if rest.count else None


def _check_repeated(sends: _Tally, repeated: _Tally) -> None:
    for key, (count, _, _) in sends.outputs.items():
        again = repeated.of(key)[0]
        if again < count:
            raise ReplayDiffers(
                f"replay differs: this attempt sent {again} records to output '{key.removeprefix(PROLOGUE)}' "
                f"where the attempt before it had sent {count}."
            )


def _reject(tx: Tx, current: Row, letter: NewDeadLetter) -> None:
    """Note a record that the program rejected. With `onError: fail` the task fails, whatever its exit code."""
    is_own = (letter.channel_id, letter.record_offset) == (current["channel_id"], current["record_offset"])
    if not is_own:
        _input(tx, current, letter.channel_id)
    fails = letter.on_error == "fail" or current["records"] > 1
    if not (fails or is_own):
        return
    details = json.dumps(letter.error.get("details", {}))
    if tx.run("note_rejected", task_id=letter.task_id, rejected=details) and fails:
        attempt, place = current["attempt"], json.dumps([letter.channel_id, letter.record_offset])
        tasks.note_left(tx, letter.task_id, attempt, place)
        tasks.condemn(tx, letter.task_id, attempt, letter.error["reason"])


def _append(tx: Tx, current: Row, sent: Sent) -> int:
    if current["rejected"]:
        return 0  # its record is a dead letter, which has no output
    activation_id = current["activation_id"]
    sender = Sender(
        activation_id=activation_id,
        sending_id=sending_id(activation_id, current["node"]),
        task_id=current["task_id"],
        hops=current["hops"],
    )
    own = current["channel_id"], current["record_offset"], current["records"]
    channels.append(tx, sender, _with_origin(sent, *own))
    return sent.count


def _ack(tx: Tx, current: Row, acked: Acked) -> bool:
    channel = _input(tx, current, acked.channel_id)
    if (acked.first > channel.acked and not current["worker"]) or acked.next > channel.next_offset:
        raise InvalidInput(
            f"channel {acked.channel_id} is acknowledged up to {channel.acked} of {channel.next_offset}; "
            f"{acked.first} to {acked.next} does not follow."
        )
    return leases.finish(tx, current["task_id"], acked.channel_id, acked.first, acked.next)


def _input(tx: Tx, current: Row, channel_id: int) -> Channel:
    """Return a channel that the task reads as a stream; raise InvalidInput for any other channel."""
    channel = channels.find(tx, channel_id)
    place = (current["activation_id"], current["node"])
    if channel is None or (channel.activation_id, channel.node) != place or current["receives"] != "stream":
        raise InvalidInput(f"channel {channel_id} is not an input of this task.")
    return channel
