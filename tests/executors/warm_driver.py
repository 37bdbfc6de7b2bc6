"""Drives forked programs: a Python that takes orders from a named pipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from tests.executors.contract import Running
from tests.executors.drivers import LocalDriver

# Each order is Python code.
OBEDIENT = """
import os, signal, sys
place = sys.argv[1]
with open(f"{place}/starts", "a") as file:
    file.write("start\\n")
while True:
    with open(f"{place}/orders") as orders:
        text = orders.read()
    exec(text)
"""


class WarmDriver(LocalDriver):
    """Attempts of the local executor, forked from one template process."""

    def spec(self, name: str) -> AttemptSpec:
        (process,) = super().spec(name).processes
        program = self._directory / "program"
        if not program.exists():
            program.mkdir()
            (program / "main.py").write_text(OBEDIENT)
        command = (sys.executable, "main.py", str(process.directory))
        return AttemptSpec(name=name, processes=(ProcessSpec(directory=program, command=command, warm=()),))

    def order(self, running: Running, text: str, *, wait: bool = True) -> None:
        done = f"{self.place(running.spec.name)}/done"
        self.tell(running, f"{text}\n" + (f"with open({done!r}, 'w') as file: file.write('done\\n')\n" if wait else ""))
        if wait:
            assert Path(done).read_text() == "done\n"

    def tell(self, running: Running, text: str) -> None:
        (self.place(running.spec.name) / "orders").write_text(text)

    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.order(running, f"os.write(1, {stdout!r}); os.write(2, {stderr!r})")

    def end(self, running: Running, code: int) -> None:
        self.order(running, f"sys.exit({code})", wait=False)

    def vanish(self, running: Running) -> None:
        self.order(running, "")
        os.kill(self.shim(running), 9)

    def deafen(self, running: Running) -> None:
        self.order(running, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

    def program(self, running: Running) -> int:
        self.order(running, f"open('{self.place(running.spec.name)}/program', 'w').write(str(os.getpid()))")
        return int((self.place(running.spec.name) / "program").read_text())

    def template(self, running: Running) -> int:
        """Return the process id of an attempt's template process."""
        self.order(running, f"open('{self.place(running.spec.name)}/template', 'w').write(str(os.getppid()))")
        return int((self.place(running.spec.name) / "template").read_text())
