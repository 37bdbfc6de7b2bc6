"""`messages`, `send_message` and `flush`: records in, records out."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from . import gateway
from .envelope import message
from .http import Answer, Connection, Disconnected
from .sender import Sender

RECORD_BYTES = 16 << 20

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().decode

_sender: Sender | None = None
_reading = False


def send_message(payload: Any, output_name: str | None = None, *, wait: bool = False) -> None:
    """Send one record to an output of the skill: to `output_name`, else to the one that the routing names.

    Returns at once; the record reaches the next skill while this program works on. `wait=True` returns when the record
    is stored. Raises TypeError or ValueError for what is not JSON, ValueError above 16 MiB.
    """
    record = f"{_encode(payload)}\n".encode()
    if len(record) > RECORD_BYTES:
        raise ValueError(f"a record of {len(record)} bytes is over the limit of {RECORD_BYTES} bytes; send it in parts")
    if not gateway.attempt_id():
        sys.stdout.write(record.decode())
        return
    sender = _the_sender()
    sender.send(output_name or message()["outputName"], record)
    if wait:
        sender.flush()


def flush() -> None:
    """Return when every record that was sent is stored, and every record that was finished is acknowledged."""
    if _sender is not None:
        _sender.flush()
    elif not gateway.attempt_id():
        sys.stdout.flush()


def messages(acknowledge: str = "record") -> Iterator[Any]:
    """Yield the records of the input as they arrive, until there can be no more.

    Asking for the next record finishes the one before: what it sent and its acknowledgement are stored together.
    `acknowledge="end"` is for aggregators: nothing is acknowledged and nothing that was sent is released before the
    program exits 0; after a crash it sees all records again.
    """
    global _reading
    if acknowledge not in ("record", "end"):
        raise ValueError(f"acknowledge is 'record' or 'end', not {acknowledge!r}")
    if _reading:
        raise RuntimeError("messages() was called before; the input can be read once")
    _reading = True
    if not gateway.attempt_id():
        return (_decode(line) for line in sys.stdin if line.strip())
    return _records(_the_sender(hold=acknowledge == "end"), acknowledge)


def _records(sender: Sender, acknowledge: str) -> Iterator[Any]:
    for channel, first, lines in _chunks(acknowledge):
        sender.starts_at(channel, first)
        for offset, line in enumerate(lines, start=first):
            sender.hand = (channel, offset)
            yield _decode(line)
            sender.finish(channel, offset + 1)
            sender.hand = None


def _chunks(acknowledge: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the channel, the first offset and the lines of what arrives; the next chunk is asked for before one is yielded."""
    connection = gateway.connect()
    positions: dict[int, int] = {}
    target = _target(positions, acknowledge)
    _start(connection, target)
    while True:
        answer = _answer(connection, target)
        if answer.status == 204:
            if answer.headers.get("x-fabric-end"):
                return
            _start(connection, target)
            continue
        channel, first = int(answer.headers["x-fabric-channel"]), int(answer.headers["x-fabric-first"])
        lines = answer.body.decode().split("\n")
        lines.pop()
        positions[channel] = first + len(lines)
        target = _target(positions, acknowledge)
        _start(connection, target)
        yield channel, first, lines


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


def _the_sender(*, hold: bool = False) -> Sender:
    global _sender
    if _sender is None:
        _sender = Sender(hold=hold)
        atexit.register(_at_exit, _sender)
        os.register_at_fork(after_in_child=_forget)
    elif hold and not _sender.hold:
        _sender.flush()
        _sender.hold = True
    return _sender


def _at_exit(sender: Sender) -> None:
    if _sender is not sender:
        return  # a forked child: the records are its parent's
    if getattr(sys, "last_value", None) is not None:
        sender.drop_hand()  # an uncaught exception: the record in hand failed
    sender.flush()


def _forget() -> None:
    global _sender
    _sender = None
