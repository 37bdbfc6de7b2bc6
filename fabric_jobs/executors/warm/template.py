"""The template process: a Python that has imported a program's packages, and forks one child for each attempt.

    PYTHON [OPTION…] run_template.py DESCRIPTOR

It uses only the standard library and runs on the program's Python. The descriptor is one end of a socket pair that carries
lines of JSON. The other side first describes the program, and gets `ready`, or why it must start `cold`. Then:

    → {"start": ID, …}                  ← {"started": ID, "pid": N}, from the child itself, before it runs a line of the program
    → {"reap": N}, once it is written   ← {"ended": ID, "pid": N, "code": C}

So no exit code is lost: an ended child stays a zombie until the other side has written its code. If this process dies, the
other side inherits its children. A start still unanswered when the socket ends never happened.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

import child  # type: ignore[import-not-found]  # beside this file: the package may not be there

HERE = os.path.dirname(os.path.abspath(__file__))
IDLE_SECONDS = 60.0
TASKS = "/proc/self/task"


class Template:
    """Serves one socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received = b""
        self._children: dict[int, str] = {}  # ids by pid, of children not reaped yet
        self._ended: set[int] = set()  # of these, reported as ended
        self._program: Any = None

    def prepare(self) -> None:
        """Read the program's description and import its packages. End this process if the program cannot be forked."""
        begun = time.time_ns()
        wanted = self._line()
        self._idle = float(wanted.get("idle", IDLE_SECONDS))
        self._program = child.Program(wanted)
        sys.path[:] = [
            each for each in sys.path if os.path.abspath(each) != HERE
        ]  # the program must not find our modules by accident
        self._program.prepare()
        if sys.flags.inspect or sys.flags.interactive or sys.flags.verbose or "importtime" in sys._xoptions:
            self._refuse("Python was told to be interactive or verbose", begun)
        for module in ("fabric_skill", *wanted["preload"]):
            self._import(module, begun)
        child.settle()
        gc.collect()
        gc.freeze()
        self._tell(ready=True, files=files(begun))

    def _import(self, module: str, begun: int) -> None:
        try:
            __import__(module)
        except (Exception, SystemExit) as error:
            if module != "fabric_skill":  # without PYTHONPATH, the program cannot find it either
                what = " ".join(f"{type(error).__name__}: {error}".split())
                self._refuse(f"'{module}' cannot be imported: {what}", begun)
        if len(os.listdir(TASKS)) > 1:
            self._refuse(f"'{module}' started a thread when it was imported", begun)

    def _refuse(self, why: str, begun: int) -> NoReturn:
        self._tell(cold=why, files=files(begun, *sys.path[:1]))
        os._exit(0)

    def serve(self) -> Any:
        """Fork a child for each start. Returns only in a child, with its program."""
        before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select([control, reading], [], [], None if self._children else self._idle)
            if not ready:
                os._exit(0)
            if reading in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(reading, 4096)
                self._tell_ended()
            if control not in ready:
                continue
            for order in self._lines():
                if "reap" in order:
                    self._reap(order["reap"])
                elif self._fork(order):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, before)
                    os.close(reading)
                    os.close(writing)
                    return self._program.begin(order, self._control)

    def _fork(self, order: dict[str, Any]) -> bool:
        """Fork, and return whether this is the child."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(failed=order["start"], errno=error.errno)
            return False
        if pid:
            self._children[pid] = order["start"]
        return not pid

    def _tell_ended(self) -> None:
        for pid in self._children.keys() - self._ended:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                code = found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status
                self._ended.add(pid)
                self._tell(ended=self._children[pid], pid=pid, code=code)

    def _reap(self, pid: int) -> None:
        if self._children.pop(pid, None) is not None:
            self._ended.discard(pid)
            os.waitpid(pid, 0)

    def _tell(self, **what: Any) -> None:
        try:
            self._control.sendall(json.dumps(what).encode() + b"\n")
        except OSError:  # the other side is gone
            os._exit(0)

    def _line(self) -> dict[str, Any]:
        while True:
            for line in self._lines():
                return line

    def _lines(self) -> list[dict[str, Any]]:
        """Return the complete lines received. End this process if the other side is gone."""
        try:
            part = self._control.recv(1 << 20)
        except OSError:
            part = b""
        if not part:
            os._exit(0)
        *lines, self._received = (self._received + part).split(b"\n")
        return [json.loads(line) for line in lines]


def files(begun: int, *more: str) -> dict[str, list[int]]:
    """Return time and size of all modules' files. Files written after `begun`, when reading began, count as changed."""
    found: dict[str, list[int]] = {}
    loaded = [vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    for path in [*loaded, *more]:
        if not isinstance(path, str):
            continue
        try:
            now = os.stat(path)
        except (OSError, ValueError):
            continue
        is_new = begun <= now.st_mtime_ns <= time.time_ns()
        found[os.path.abspath(path)] = [0, 0] if is_new else [now.st_mtime_ns, now.st_size]
    return found


def main() -> Any:
    """Serve until the socket ends. Returns only in a child, with its program."""
    template = Template(socket.socket(fileno=int(sys.argv[1])))
    template.prepare()
    return template.serve()
