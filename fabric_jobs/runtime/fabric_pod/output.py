"""The output of the program: two files, so that neither the gateway nor the container's log can hold it up."""

from __future__ import annotations

import os
from contextlib import suppress

STREAMS = ("stdout", "stderr")
APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
PART_BYTES = 256 << 10  # copied at a time
ROUND_BYTES = 4 << 20  # copied before the program is looked after again


class Output:
    """The two files, and how much of each is in the container's log."""

    def __init__(self, directory: str) -> None:
        """Make the files. Raises OSError."""
        os.makedirs(directory, exist_ok=True)
        self.files = [os.open(os.path.join(directory, name), APPEND, 0o600) for name in STREAMS]
        self.copied = [0, 0]  # bytes
        self._directory = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)

    def watch(self) -> bool:
        """Have SIGIO sent when a file grows, once; return whether that is possible here."""
        try:
            import fcntl

            fcntl.fcntl(self._directory, fcntl.F_NOTIFY, fcntl.DN_MODIFY)
        except (ImportError, AttributeError, OSError):
            return False
        return True

    def copy(self) -> bool:
        """Copy what is new to this process's own stdout and stderr; return whether there was something."""
        found = False
        for number, file in enumerate(self.files):
            limit = self.copied[number] + ROUND_BYTES
            while self.copied[number] < limit:
                part = os.pread(file, PART_BYTES, self.copied[number])
                if not part:
                    break
                found = True
                with suppress(OSError):  # nobody reads the container's log; the gateway gets it all the same
                    write(number + 1, part)
                self.copied[number] += len(part)
        return found

    def close(self) -> None:
        """Close the files, once all is sent."""
        for descriptor in (*self.files, self._directory):
            os.close(descriptor)


def write(descriptor: int, text: bytes) -> None:
    """Write all of a text. Raises OSError."""
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def say(text: str) -> None:
    """Tell people something, in the container's log."""
    with suppress(OSError):
        write(2, f"fabric_pod: {text.rstrip('.')}.\n".encode())
