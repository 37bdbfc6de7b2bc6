"""Reads a log to which the cluster adds times, piece by piece, from behind what is known of it. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

HELD_BYTES = 1 << 16  # of a line whose end has not arrived; a longer one is given in parts
TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)(Z|[+-]\d\d:\d\d) ")


class LogPosition(NamedTuple):
    """A place in a log: behind some bytes of a line."""

    time: str = ""  # of the line, in UTC, as the cluster gives it; empty: before the first line
    number: int = 0  # of the line among those of that time, from 1
    size: int = 0  # bytes of it


BEGIN = LogPosition()


class LogReader:
    """A log that was opened at the second of what is known of it, since the cluster counts in seconds."""

    def __init__(self, known: LogPosition, skipped: int) -> None:
        """`skipped` bytes behind `known` are known, too."""
        self.before = known  # where what was read last begins
        self.at = known  # and where it ends
        self.goes_on = False  # whether it begins within a line
        self.has_gap = False  # lines behind `known` may be missing
        self.has_words = False  # of the cluster, in place of output, such as that the log is gone
        self._known = known
        self._skipped = skipped
        self._is_known = bool(known.time)  # what is being read
        self._line = BEGIN
        self._held = b""
        self._is_within = False  # a line of which a part was read
        self._has_seen = False  # the last line that is known

    def read(self, piece: bytes) -> bytes:
        """Return what is new of a piece, in whole lines or in long parts of one."""
        *lines, rest = (self._held + piece).split(b"\n")
        parts = [line + b"\n" for line in lines]
        self._held = rest if len(rest) < HELD_BYTES else b""
        return self._new([*parts, rest] if rest and not self._held else parts)

    def end(self) -> bytes:
        """Return what is new of a last line that does not end."""
        rest, self._held = self._held, b""
        return self._new([rest] if rest else [])

    def _new(self, parts: list[bytes]) -> bytes:
        self.before = self.at
        found: list[bytes] = []
        for part in parts:
            text = self._unknown(part)
            if text and self._skipped:
                skipped = min(self._skipped, len(text))
                self._skipped -= skipped
                text = text[skipped:]
            if text and not found:
                self.before = self._place(-len(text))
                self.goes_on = self.before.size > 0
            if text:
                found.append(text)
                self.at = self._place()
        return b"".join(found)

    def _place(self, less: int = 0) -> LogPosition:
        return self._line._replace(size=self._line.size + less)

    def _unknown(self, part: bytes) -> bytes:
        """Take a part of a line; return what of it is behind what is known."""
        if not self._is_within:
            time, part = _split(part)
            if not time:
                self.has_words = True
                return b""
            self._line = LogPosition(time, self._line.number + 1 if time == self._line.time else 1)
        self._is_within = not part.endswith(b"\n")
        start = self._line.size
        self._line = self._place(len(part))
        if not self._is_known:
            return part
        here, known = self._line[:2], self._known[:2]
        if here == known:
            self._has_seen = True
            return part[max(0, self._known.size - start) :]
        if here < known:
            return b""
        self._is_known = False
        if not self._has_seen:  # it begins behind what is known
            self.has_gap, self._skipped = True, 0
        return part


def _split(line: bytes) -> tuple[str, bytes]:
    """Return the time of a line, in UTC, so that times can be compared as texts, and the line; no time if it has none."""
    found = TIME.match(line)
    if found is None:
        return "", line
    time, fraction, zone = (each.decode() for each in found.groups())
    if zone != "Z":
        time = datetime.fromisoformat(f"{time}{zone}").astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{time}{fraction}Z", line[found.end() :]
