"""Drives real processes: a shell that takes orders from a named pipe."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.local import LocalExecutor
from tests.executors.contract import Driver, Running, ended

# Each order is shell code; `done_` confirms all orders before it.
OBEDIENT = 'echo start >>"$1/starts"; while :; do . "$1/orders"; done'


class LocalDriver(Driver):
    """Attempts of the local executor, each with two named pipes, for orders and answers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._root = directory / "attempts"
        self._made: list[LocalExecutor] = []
        self.old: list[subprocess.Popen[bytes]] = []  # programs started as an older version did
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.executor: LocalExecutor = self.anew()

    def place(self, name: str) -> Path:
        """Return the directory of an attempt's pipes."""
        return self._directory / "places" / name

    def spec(self, name: str) -> AttemptSpec:
        place = self.place(name)
        if not place.exists():
            place.mkdir(parents=True)
            os.mkfifo(place / "orders")
            os.mkfifo(place / "done")
        command = ("/bin/sh", "-c", OBEDIENT, "program", str(place))
        return AttemptSpec(name=name, processes=(ProcessSpec(directory=place, command=command),))

    def order(self, running: Running, text: str, *, wait: bool = True) -> None:
        """Let the program run shell code; with `wait`, return once it has."""
        place = self.place(running.spec.name)
        with open(place / "orders", "w") as orders:
            orders.write(f"{text}\n" + (f'echo done >"{place}/done"\n' if wait else ""))
        if wait:
            assert (place / "done").read_text() == "done\n"

    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.order(running, f"printf '{_octal(stdout)}'; printf '{_octal(stderr)}' >&2")

    def end(self, running: Running, code: int) -> None:
        self.order(running, f"exit {code}", wait=False)

    def vanish(self, running: Running) -> None:
        self.order(running, ":")
        os.kill(self.shim(running), signal.SIGKILL)

    def deafen(self, running: Running) -> None:
        self.order(running, "trap '' TERM")

    def starts(self, running: Running) -> int:
        return len((self.place(running.spec.name) / "starts").read_text().splitlines())

    def anew(self) -> LocalExecutor:
        self._made.append(LocalExecutor(self._root))
        return self._made[-1]

    def unreachable(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, self._limits[1]))  # no more files can be opened

    def shim(self, running: Running) -> int:
        """Return the process id of an attempt's shim."""
        shim = (Path(running.handle) / "begun").read_text().split()[0]
        return int(json.loads((self._directory / "shims" / f"{shim}.lock").read_text())["pid"])

    def program(self, running: Running) -> int:
        """Return the process id of the program."""
        self.order(running, f"echo $$ >{self.place(running.spec.name)}/program")
        return int((self.place(running.spec.name) / "program").read_text())

    def close(self) -> None:
        """Close the executors, and end all processes."""
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
        last = self.anew()
        for path in self._root.glob("*"):
            last.stop(str(path), 0)
        for path in self._root.glob("*"):
            ended(last, str(path))
        for child in self.old:
            child.wait()
        for executor in self._made:
            executor.close()


def _octal(text: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in text)
