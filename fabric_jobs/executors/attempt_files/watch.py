"""Waits for output without polling: inotify reports the directories where `stdout` or `stderr` was written."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from pathlib import Path

from fabric_jobs.executors.base import STREAMS

MODIFIED = 0x2
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
TAKEN = 1 << 16  # bytes


class Watch:
    """One descriptor for all directories; readable when one has new output."""

    def __init__(self) -> None:
        """Raise OSError where the system has no inotify."""
        import ctypes  # late: it is slow, and most attempts end before they are quiet

        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._add, self._remove, initialize = libc.inotify_add_watch, libc.inotify_rm_watch, libc.inotify_init1
        except (OSError, AttributeError) as error:
            raise OSError(errno.ENOSYS, "there is no inotify") from error
        self.descriptor: int = initialize(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be used")
        self._directories: dict[int, Path] = {}
        self._watches: dict[Path, int] = {}

    def add(self, directory: Path) -> bool:
        """Watch a directory; return False if that fails, such as for too many watches."""
        watch = self._add(self.descriptor, os.fsencode(directory), MODIFIED)
        if watch < 0:
            return False
        self._directories[watch], self._watches[directory] = directory, watch
        return True

    def remove(self, directory: Path) -> None:
        """Stop watching a directory."""
        watch = self._watches.pop(directory, None)
        if watch is not None:
            del self._directories[watch]
            self._remove(self.descriptor, watch)

    def written(self) -> set[Path]:
        """Return the directories with output since the last call; all of them if the kernel's queue overflowed."""
        text = b""
        with suppress(BlockingIOError):
            text = os.read(self.descriptor, TAKEN)
        found: set[Path] = set()
        at = 0
        while at < len(text):
            watch, _, _, length = EVENT.unpack_from(text, at)
            at += EVENT.size + length
            name = os.fsdecode(text[at - length : at].rstrip(b"\0"))
            if watch < 0:
                return set(self._watches)
            if name in STREAMS and watch in self._directories:
                found.add(self._directories[watch])
        return found

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
