"""`messages`, `send_message` and `flush`: records in, records out."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import gateway
from .envelope import message
from .failure import words
from .http import Answer, Connection, Disconnected
from .pile import LOOK_BYTES, RECORD_WEIGHT
from .records import batches, encode
from .sender import Sender

RECORD_BYTES = 16 << 20
SENDER = "FABRIC_SKILL_SENDER"  # the sending process; its children find it in their environment

_sender: Sender | None = None
_making = threading.Lock()  # held while the sender is made
_reading = False


def send_message(payload: Any, output_name: str | None = None, *, wait: bool = False) -> None:
    """Send one record to an output of the skill: to `output_name`, or by default to the one that the routing names.

    Returns at once; the record reaches the next skill while this program goes on. With `wait=True`, returns when the
    record is stored. Raises TypeError or ValueError for a value that is not JSON, and ValueError above 16 MiB.
    """
    record = encode(payload)
    size = len(record)
    sender = _sender
    if sender is None or sender.asks or wait or size > LOOK_BYTES:
        _send(record, output_name, wait)
        return
    work = sender.work
    sent = work.sent if output_name is None else work.outputs.get(output_name)
    if sent is None:
        _send(record, output_name, wait)
        return
    sent.extend((work.left(), record))  # both in one step, so that any thread may send
    work.room -= size + RECORD_WEIGHT
    if work.room < 0 or sender.pace.listens:
        sender.look()


def _send(record: str, output_name: str | None, wait: bool) -> None:
    if len(record) >= RECORD_BYTES:
        size = len(record) + 1
        raise ValueError(f"a record of {size} bytes is over the limit of {RECORD_BYTES} bytes; send it in parts")
    sender = _sender or _the_sender()
    if sender is None:
        sys.stdout.write(f"{record}\n")
    else:
        sender.send(output_name or sender.output, record, wait=wait)


def flush() -> None:
    """Return when every sent record is stored, and every finished record is acknowledged.

    Call it before `os._exit` or `os.exec…`, which end a program without cleanup: otherwise its task fails.
    """
    if _sender is not None:
        _sender.flush(close=True)
    elif not gateway.attempt_id():
        sys.stdout.flush()


def messages(acknowledge: str = "record") -> Iterator[Any]:
    """Yield the records of the input as they arrive, until the input ends.

    Asking for the next record finishes the one before: its outputs and its acknowledgement are stored together.
    `acknowledge="end"` is for aggregators: nothing is acknowledged and no output is released before the program
    exits 0; after a crash it sees all records again.
    """
    global _reading
    if acknowledge not in ("record", "end"):
        raise ValueError(f"acknowledge must be 'record' or 'end', not {acknowledge!r}")
    if _reading:
        raise RuntimeError("messages() was already called; the input can be read only once")
    _reading = True
    sender = _the_sender(hold=acknowledge == "end")
    if sender is None:
        return (json.loads(line) for line in sys.stdin if line.strip())
    return _records(sender, acknowledge)


def at_hand() -> tuple[Sender | None, Any]:
    """Return the program's sender and the record in hand; raise RuntimeError when there is none."""
    sender = _the_sender()
    if sender is None or not _reading:
        return sender, None if sender is None else message().get("payload")
    if sender.work.hand() is None:
        raise RuntimeError("there is no current record: messages() has not yielded one yet, or has ended")
    return sender, sender.work.record


def _records(sender: Sender, acknowledge: str) -> Iterator[Any]:
    sender.flush()  # what was sent before belongs to no record, so it is committed by itself
    sender.work.prologue = False
    for channel, first, data, careful in _chunks(sender, acknowledge):
        for batch in batches(data):
            for record in sender.begin(channel, first, batch):
                if sender.pace.watches:  # the record before is finished
                    sender.look()
                yield record
            sender.end()
            first += len(batch)
        if careful:
            sender.flush()
    sender.word.reading = False


def _chunks(sender: Sender, acknowledge: str) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield channel, first offset and NDJSON of each chunk, and whether it may contain a record that kills this program.

    The next chunk is requested meanwhile.
    """
    connection = gateway.connect()
    positions: dict[int, int] = {}
    sees = "&files=1" if os.environ.get("FABRIC_JOBS_RECORDS") else ""
    target = f"{_target(positions, acknowledge)}&sender={sender.name}{sees}"
    _start(connection, target)
    while True:
        answer = _answer(connection, target)
        if not positions:
            sender.read()
        if answer.status == 204:
            if answer.headers.get("x-fabric-end"):
                return
            _start(connection, target)
            continue
        body = _body(answer)
        if body is None:  # this program cannot read the files
            sees, target = "", target.removesuffix(sees)
            _start(connection, target)
            continue
        channel, first = int(answer.headers["x-fabric-channel"]), int(answer.headers["x-fabric-first"])
        count = body.count(b"\n")
        positions[channel] = first + count
        target = _target(positions, acknowledge) + sees
        # Handle a single record before asking for more, since a caller may wait for it; the same for a suspect.
        is_careful = "x-fabric-careful" in answer.headers
        is_ahead = count > 1 and not is_careful
        if is_ahead:
            _start(connection, target)
        yield channel, first, body, is_careful
        if not is_ahead:
            _start(connection, target)


def _body(answer: Answer) -> bytes | None:
    """Return the records of an answer; None when one of their files cannot be read here."""
    parts = answer.headers.get("x-fabric-parts")
    if parts is None:
        return answer.body
    from . import shared  # late: most programs get all records from the gateway

    try:
        return shared.assembled(json.loads(parts), answer.body)
    except OSError:
        return None


def _target(positions: dict[int, int], acknowledge: str) -> str:
    at = ",".join(f"{channel}:{offset}" for channel, offset in positions.items())
    return gateway.path(f"pull?acknowledge={acknowledge}&at={at}")


def _start(connection: Connection, target: str) -> None:
    try:
        connection.send("GET", target)
    except Disconnected:
        return  # `_answer` sends it again


def _answer(connection: Connection, target: str) -> Answer:
    try:
        return gateway.check(connection.receive())
    except Disconnected:
        return gateway.ask(connection, "GET", target)


def _the_sender(*, hold: bool = False) -> Sender | None:
    """Return the sender of this program, made when first needed; None outside fabric-jobs."""
    global _sender
    with _making:
        if _sender is None:
            if not gateway.attempt_id():
                return None
            _claim()
            _sender = Sender(str(message()["outputName"]), hold=hold)
            atexit.register(_at_exit, _sender)
            os.register_at_fork(after_in_child=_forget)
        elif hold and not _sender.work.hold:
            _sender.flush()
            _sender.work.hold = True
        return _sender


def _claim() -> None:
    """Refuse to be the second sending process of an attempt: the gateway would take its records for repeated ones."""
    token = os.environ.get("CORTEX_TOKEN", "")[-16:]
    pid, _, of = os.environ.get(SENDER, "").partition(" ")
    if pid and of == token and int(pid) != os.getpid():
        raise RuntimeError(
            f"another process of this program (pid {pid}) is reading and sending; send these records from it too"
        )
    os.environ[SENDER] = f"{os.getpid()} {token}"


def _at_exit(sender: Sender) -> None:
    if _sender is not sender:
        return  # a forked child: the records are its parent's
    raised = getattr(sys, "last_value", None)
    sender.leave(words(raised) or "exception" if raised is not None else "")


def _forget() -> None:
    global _sender, _making
    _sender, _making = None, threading.Lock()
