"""The template process of a pool's pod, which forks a child for each attempt. `fabric_warm.template` has the protocol."""

from __future__ import annotations

import json
import os
import socket
import zipimport
from contextlib import suppress

from . import program

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

FILES = ("run_template.py", "template.py", "child.py")
PACKAGE = "fabric_warm"  # in the runtime layer
NEVER_SECONDS = 1e7  # it ends with this process
TAKEN = 1 << 16  # bytes


class Refused(Exception):
    """The program cannot be forked from a template process."""


class Template:
    """A Python that has imported the packages of a program."""

    def __init__(self, order: dict[str, Any], layer: str) -> None:
        """Start it. Raises Refused."""
        self.is_ready = False
        self.is_gone = False
        self._count = len(order["words"])
        self._received = b""
        self._directory = os.getcwd()
        self.control, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        options = [program.encoded(word) for word in order["words"][: 1 + order["options"]]]
        script = os.fsencode(os.path.join(_unpacked(order["work"], layer), FILES[0]))
        try:
            environment = program.environment_of({**order, "port": 0}, layer)
            self.pid = program.start([*options, script, b"%d" % theirs.fileno()], environment, 1, 2)
        except program.CannotRun as error:
            raise Refused(f"{order['words'][0]}: {error}") from error
        finally:
            theirs.close()
        about = {name: order[name] for name in ("kind", "target", "words", "preload")}
        self._tell(**about, idle=NEVER_SECONDS)
        self.control.setblocking(False)

    def hear(self) -> list[dict[str, Any]]:
        """Return what it has said. Raises Refused if it says so, or dies before it is ready."""
        while not self.is_gone:
            try:
                part = self.control.recv(TAKEN)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            if not part:
                self.is_gone = True
                self.control.close()
            self._received += part
        *lines, self._received = self._received.split(b"\n")
        found = [json.loads(line) for line in lines]
        for said in found:
            if "cold" in said:
                raise Refused(said["cold"])
            self.is_ready = self.is_ready or "ready" in said
        if self.is_gone and not self.is_ready:
            raise Refused("its template process has died")
        return found

    def start(self, order: dict[str, Any], work: str) -> None:
        """Fork an attempt. What becomes of it is heard later."""
        self._tell(
            start=order["name"],
            arguments=order["words"][self._count :],
            environment=order["environment"],
            stdout=os.path.join(work, "stdout"),
            stderr=os.path.join(work, "stderr"),
            directory=self._directory,
        )

    def reap(self, pid: int) -> None:
        """Let it forget a child whose end is known."""
        self._tell(reap=pid)

    def _tell(self, **what: Any) -> None:
        if self.is_gone:
            return
        with suppress(OSError):  # its end is heard
            self.control.settimeout(None)
            self.control.sendall(json.dumps(what).encode() + b"\n")
        with suppress(OSError):
            self.control.setblocking(False)


def _unpacked(work: str, layer: str) -> str:
    """Return a directory with the files of the template process, which cannot be started from an archive."""
    directory = os.path.join(work, PACKAGE)
    os.makedirs(directory, exist_ok=True)
    packed = zipimport.zipimporter(layer)
    for name in FILES:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(packed.get_data(os.path.join(PACKAGE, name)))
    return directory
