"""Starts a program in its own session, with a given environment, directory, umask and files."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import files

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

NOT_FOUND, NOT_RUN = 127, 126  # exit codes of a shell
REFUSED = (
    errno.E2BIG,
    errno.EAGAIN,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
)  # these are not the program's fault
OWN_UMASK = 0o077
DEFAULT = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


class CannotRun(Exception):
    """The program does not exist, or is not executable."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def spawn(request: dict[str, Any]) -> int:
    """Start a program and return its process id.

    Raises CannotRun if there is no such program; OSError and ValueError if it cannot be started with this request.
    """
    words, environment, directory = request["words"], request["environment"], request["directory"]
    with ExitStack() as stack:
        streams = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)]
        stack.callback(os.close, streams[0])
        for name in ("stdout", "stderr"):
            streams.append(os.open(f"{directory}/{name}", files.APPEND, 0o600))
            stack.callback(os.close, streams[-1])
        for path in request["hold"]:
            stack.callback(os.close, _hold(path))
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(streams)]
        stack.enter_context(_inside(request["cwd"], request["umask"]))
        return _run(words, environment, actions)


def spawn_template(request: dict[str, Any]) -> int:
    """Start a template process with the streams of this process. Raises as `spawn` does."""
    with ExitStack() as stack:
        for path in request["hold"]:
            stack.callback(os.close, _hold(path))
        stack.enter_context(_inside(request["cwd"], request["umask"]))
        return _run(request["words"], request["environment"], [])


def _run(words: list[str], environment: dict[str, str], actions: list[tuple[int, int, int]]) -> int:
    """Run the first executable file of that name on PATH."""
    denied: OSError | None = None
    for path in _candidates(words[0], environment):
        try:
            return _exec(path, words, environment, actions)
        except OSError as error:
            if error.errno in REFUSED:
                raise
            if error.errno == errno.ENOEXEC:  # a script without a #! line
                return _exec("/bin/sh", ["/bin/sh", path, *words[1:]], environment, actions)
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                denied = denied or error
    if denied is not None:
        raise CannotRun(NOT_RUN, denied.strerror or str(denied))
    raise CannotRun(NOT_FOUND, "not found")


def _exec(path: str, words: list[str], environment: dict[str, str], actions: list[tuple[int, int, int]]) -> int:
    return os.posix_spawn(path, words, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=DEFAULT)


def _candidates(word: str, environment: dict[str, str]) -> Iterator[str]:
    if "/" in word or "\0" in word:
        yield word
        return
    for directory in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory or ".", word)
        if os.path.exists(path):
            yield path


def _hold(path: str) -> int:
    """Return the descriptor of a file with a shared lock on it, which the program inherits."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: the requester holds it too
    os.set_inheritable(descriptor, True)
    return descriptor


@contextmanager
def _inside(directory: str, umask: int) -> Iterator[None]:
    """Take on the program's directory and umask. A child inherits them, and this process has no other thread to disturb."""
    try:
        os.chdir(directory)
        os.umask(umask)
        yield
    finally:
        os.umask(OWN_UMASK)
        os.chdir("/")
