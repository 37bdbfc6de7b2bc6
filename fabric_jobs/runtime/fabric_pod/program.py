"""Starts the program: in a process group of its own, with the image's variables and the order's, and with default signals."""

from __future__ import annotations

import errno
import os
import signal

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NOT_FOUND, NOT_RUN, NOT_STARTED = 127, 126, 125  # exit codes of a shell; the last one is that of `docker run`
DEFAULT = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
PROXIES = (b"http_proxy", b"https_proxy", b"all_proxy")


class CannotRun(Exception):
    """The program could not be started; `code` is the exit code that says so."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def start(words: list[bytes], environment: dict[bytes, bytes], stdout: int, stderr: int) -> int:
    """Start the first executable file of that name on PATH and return its process id; raise CannotRun."""
    code, why = NOT_FOUND, "not found"
    for path in _candidates(words[0], environment.get(b"PATH", os.fsencode(os.defpath))):
        try:
            return _spawn(path, words, environment, (stdout, stderr))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                denied = error.errno in (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR)
                code, why = NOT_RUN if denied else NOT_STARTED, error.strerror or str(error)
            elif b"/" in words[0] and os.path.exists(path):  # as a shell, say what is missing: not the file itself
                code, why = NOT_RUN, "its interpreter is not found"
        except ValueError as error:  # such as a NUL in a variable
            raise CannotRun(NOT_STARTED, str(error)) from error
    raise CannotRun(code, why)


def _spawn(path: bytes, words: list[bytes], environment: dict[bytes, bytes], streams: tuple[int, int]) -> int:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, b"/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, streams[0], 1),
        (os.POSIX_SPAWN_DUP2, streams[1], 2),
    ]
    how: Any = {"file_actions": actions, "setpgroup": 0, "setsigmask": (), "setsigdef": DEFAULT}
    try:
        return os.posix_spawn(path, words, environment, **how)
    except OSError as error:
        if error.errno != errno.ENOEXEC:  # else a script without a #! line
            raise
        return os.posix_spawn(b"/bin/sh", [b"/bin/sh", path, *words[1:]], environment, **how)


def _candidates(word: bytes, path: bytes) -> Iterator[bytes]:
    if b"/" in word or b"\0" in word:
        yield word
        return
    for directory in path.split(b":"):
        found = os.path.join(directory or b".", word)
        if os.path.exists(found):
            yield found


def environment_of(order: dict[str, Any], layer: str) -> dict[bytes, bytes]:
    """Return the variables of the program: the image's, then the order's. `layer` comes first on PYTHONPATH."""
    found = own_variables()
    found.update({encoded(name): encoded(value) for name, value in order["environment"].items()})
    paths = (encoded(layer), found.get(b"PYTHONPATH", b""))
    found[b"PYTHONPATH"] = b":".join(filter(None, paths))
    if order["port"]:
        found[b"PORT"] = b"%d" % order["port"]
    host = order["gateway"].split("://", 1)[-1].split("/", 1)[0].rpartition(":")[0]
    if host and any(found.get(name) or found.get(name.upper()) for name in PROXIES):
        given = found.get(b"no_proxy") or found.get(b"NO_PROXY", b"")
        found[b"no_proxy"] = found[b"NO_PROXY"] = b",".join(filter(None, (given, encoded(host))))
    return found


def own_variables() -> dict[bytes, bytes]:
    """Return the variables that this process was started with: Python may have set others since."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    pairs = (entry.partition(b"=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def encoded(text: str) -> bytes:
    """Return a text of the order as the program gets it, whatever the image's locale."""
    return text.encode("utf-8", "surrogateescape")
