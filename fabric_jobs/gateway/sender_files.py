"""Files that senders write themselves: permission, verification, and positions for readers."""

from __future__ import annotations

from typing import Any

import orjson

from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Part, Task
from fabric_jobs.routing import sending_id
from fabric_jobs.store.files import OWN, Ref, directory_of
from fabric_jobs.store.sent import Written

PROPOSED = 16  # a commit of at least this many times the inline limit makes its sender write files
NOTHING = b"{}"


class SenderFiles:
    """The files of one attempt. Every path is derived from its token."""

    def __init__(self, parts: Parts, task: Task) -> None:
        self._parts = parts
        self._task = task
        self._activation = str(task.activation_id)
        self._sender = sending_id(self._activation, task.node)

    def proposal(self, head: dict[str, Any], size: int) -> bytes:
        """Return the answer to a commit of this size; a large sender that sees the files gets a directory of its own."""
        settings, files = self._parts.settings, self._parts.store.files
        if not (head.get("files") and settings.sender_files and size >= PROPOSED * files.inline_bytes):
            return NOTHING
        directory = files.make_directory(self._activation, self._sender, self._task.attempt_name)
        return orjson.dumps({"files": {"directory": directory, "bytes": files.inline_bytes}})

    def read(self, number: Any, size: Any, at: Any, crc: Any) -> tuple[bytes, Written]:
        """Return what the attempt has written, once verified; raise InvalidInput or ValueError if it is missing."""
        if not all(isinstance(value, int) and 0 <= value < 1 << 53 for value in (number, size, at, crc)):
            raise ValueError("a range of a file must be four whole numbers")
        if size > self._parts.settings.body_bytes:
            raise ValueError(f"{size} bytes are too many for one output")
        name = f"{directory_of(self._activation, self._sender)}/{self._task.attempt_name}/{number}"
        written = Written(name=name, at=at, task_id=self._task.task_id, attempt=self._task.attempt, crc=crc)
        return self._parts.store.files.verified(name, at, size, crc), written


def seen(part: Part) -> list[Any] | None:
    """Return where a program that sees senders' files finds records; None if it gets them as bytes."""
    if isinstance(part, Ref) and not part.name.startswith(f"{OWN}/"):
        return [part.name, part.at, part.size, part.crc]
    return None
