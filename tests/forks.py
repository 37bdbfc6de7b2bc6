"""Forks the command `fabric-jobs`, and the owners that it starts, from one process that has imported everything.

A new interpreter spends up to half a second on imports, thousands of times in a run of the tests. A fork is still a process of
its own, with its own descriptors, variables, directory, umask and signals, and ends as an interpreter does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from fabric_jobs import background, cli
from fabric_jobs.client import owner as client_owner

COMMAND = Path(sys.executable).parent / "fabric-jobs"
READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")  # variables that an interpreter reads only at its start
LATE = ("docker", "yaml", "cookiecutter.main")  # imported by the product only on demand
HEAD = 8  # bytes for the length of a request
HIGH = 1000  # descriptors from here on do not collide with others


class Forked:
    """A forked process, with the used part of the interface of `subprocess.Popen`."""

    def __init__(self, template: str, words: Sequence[str], descriptors: Mapping[int, int], **how: Any) -> None:
        """Start `words[0]` with these descriptors only, mapped to their new numbers."""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(template)
        request = json.dumps({"words": words, "numbers": list(descriptors), **how}).encode()
        head = len(request).to_bytes(HEAD, "big")
        socket.send_fds(self._connection, [head], list(descriptors.values()))
        self._connection.sendall(request)
        self._answers = self._connection.makefile()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["fabric-jobs"], timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[str], *, stdin: int, stdout: int, stderr: int, cwd: Path, env: Mapping[str, str]
) -> Forked | subprocess.Popen[bytes]:
    """Start the command: forked, unless its variables would change how an interpreter starts."""
    command = [str(COMMAND), *words]
    if _read_at_start(env) != _read_at_start(os.environ):
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env)
    mask = os.umask(0o077)
    os.umask(mask)
    how = {"cwd": str(cwd), "env": dict(env), "umask": mask, "session": False}
    return Forked(_template(), command, {0: stdin, 1: stdout, 2: stderr}, **how)


def _read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in variables.items() if key.startswith(READ_AT_START)}


@cache
def _template() -> str:
    """Start the process to fork from; return the path of its socket. It ends with this process."""
    path = f"{tempfile.mkdtemp(prefix='forks-')}/socket"
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as listening, theirs:
        listening.bind(path)
        listening.listen(64)
        kept = [listening.fileno(), theirs.fileno()]
        words = [sys.executable, "-m", __name__, path, *map(str, kept)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=kept, cwd=Path(__file__).parent.parent)
    process.returncode = 0  # the process ends when the socket closes, at our own end
    ours.detach()
    return path


# In the process to fork from.


class _Template:
    """Forks on request, and reports how the children have ended."""

    def __init__(self, path: str, listening: socket.socket, parent: int) -> None:
        self._path = path
        self._listening = listening
        self._parent = parent
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of the process
        self._poll = select.poll()
        for descriptor in (listening.fileno(), parent):
            self._poll.register(descriptor, select.POLLIN)

    def serve(self) -> None:
        """Serve until the parent has ended."""
        while True:
            for ready, _ in self._poll.poll():
                if ready == self._parent:
                    return
                if ready == self._listening.fileno():
                    self._fork()
                else:
                    self._report(ready)

    def _fork(self) -> None:
        connection, _ = self._listening.accept()
        head, descriptors, _, _ = socket.recv_fds(connection, HEAD, HEAD)
        with connection.makefile("rb") as file:
            request = json.loads(file.read(int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            _run(_become(request, descriptors, self._path))
        for descriptor in descriptors:
            os.close(descriptor)
        process = os.pidfd_open(pid)
        self._poll.register(process, select.POLLIN)
        self._running[process] = (pid, connection)
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % pid)

    def _report(self, process: int) -> None:
        pid, connection = self._running.pop(process)
        self._poll.unregister(process)
        os.close(process)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with connection, contextlib.suppress(OSError):  # nobody asks about an owner
            connection.sendall(b"%d\n" % code)


def _become(request: dict[str, Any], descriptors: list[int], path: str) -> Callable[[], object]:
    """Give this process the requested state; return the function to run."""
    if request["session"]:
        os.setsid()
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    held = {
        number: fcntl.fcntl(found, fcntl.F_DUPFD, HIGH)
        for number, found in zip(request["numbers"], descriptors, strict=True)
    }
    os.closerange(0, HIGH)
    for number, found in held.items():
        os.dup2(found, number)
        os.close(found)
    for number, name, mode in ((0, "stdin", "rb"), (1, "stdout", "wb"), (2, "stderr", "wb")):
        old, new = getattr(sys, name), open(number, mode, closefd=False)  # noqa: SIM115 - for good
        stream = io.TextIOWrapper(new, old.encoding, old.errors, newline="\n", line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = request["words"]
    sys.path[0] = str(COMMAND.parent)
    if request["words"][0] != str(COMMAND):
        return background.main
    popen = SimpleNamespace(DEVNULL=subprocess.DEVNULL, Popen=partial(_start_owner, path))
    client_owner.subprocess = popen  # type: ignore[attr-defined,assignment]
    return cli.main


def _run(what: Callable[[], object]) -> NoReturn:
    """Call `what`, and end as an interpreter does, but without clearing memory, which takes twice as long as most commands."""
    code = 0
    try:
        what()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _start_owner(
    template: str, command: list[str], *, stdin: int, stdout: Any, stderr: Any, pass_fds: list[int], **how: Any
) -> Forked:
    """Start an owner in place of the command's own `subprocess.Popen`."""
    *interpreter, module, state_dir, ready = command
    assert interpreter == [sys.executable, "-X", "utf8", "-m"], command
    assert stdin == subprocess.DEVNULL
    session, env, cwd = how.pop("start_new_session"), how.pop("env"), how.pop("cwd")
    assert not how
    mask = os.umask(0o077)
    os.umask(mask)
    with open(os.devnull) as nothing:
        numbers = {0: nothing.fileno(), 1: stdout.fileno(), 2: stderr.fileno(), **{fd: fd for fd in pass_fds}}
        words = [module, state_dir, ready]
        return Forked(template, words, numbers, cwd=cwd, env=env, umask=mask, session=session)


def main() -> None:
    """Import all that takes long, then fork on request."""
    path, listening, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for module, _, _ in cli.COMMANDS.values():
        importlib.import_module(f"fabric_jobs.cli.{module}")
    for name in ("fabric_jobs.owner", *LATE):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _Template(path, socket.socket(fileno=listening), parent).serve()
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


if __name__ == "__main__":
    main()
