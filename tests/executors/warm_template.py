"""Plays the shim to a template process: starts it, asks for children, and hears of their ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fabric_jobs
from fabric_jobs.executors.warm.command import Command, read

PACKAGE = Path(fabric_jobs.__file__).parent
TEMPLATE = PACKAGE / "executors" / "warm" / "run_template.py"
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONPATH": str(PACKAGE / "runtime"),
    "PYTHONUNBUFFERED": "1",
    "LANG": "C.UTF-8",
}
MARK = "FABRIC_JOBS_ATTEMPT_DIRECTORY"


@dataclass(frozen=True)
class Ended:
    """The end of a program, and what it has left."""

    code: int  # 128 + n for signal n
    stdout: str
    stderr: str


@dataclass
class Warm:
    """A template process for a command line in a directory."""

    directory: Path
    words: tuple[str, ...]
    preload: Sequence[str] = ()
    variables: dict[str, str] = field(default_factory=dict)
    idle: float = 60.0

    def __post_init__(self) -> None:
        command = read(self.words)
        assert isinstance(command, Command), command
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.process = subprocess.Popen(
            [command.python, *command.options, str(TEMPLATE), str(theirs.fileno())],
            cwd=self.directory,
            env={**ENVIRONMENT, **self.variables, MARK: "x" * 1000},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        self._lines = ours.makefile("rb")
        count = len(self.words) - len(command.arguments)
        wanted = {"kind": command.kind, "target": command.target, "words": self.words[:count], "mark": MARK}
        self.tell(**wanted, preload=list(self.preload), idle=self.idle)
        self.first = self.hear()

    def tell(self, **what: Any) -> None:
        self.socket.sendall(json.dumps(what).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        line = self._lines.readline()
        return dict(json.loads(line)) if line else {}

    def start(self, name: str, arguments: Sequence[str] = (), **variables: str) -> None:
        """Ask for a child."""
        place = self.directory / "out" / name
        place.mkdir(parents=True)
        self.tell(
            start=name,
            arguments=list(arguments),
            environment={**variables, MARK: str(place)},
            stdout=str(place / "stdout"),
            stderr=str(place / "stderr"),
            directory=str(self.directory),
        )

    def run(self, name: str, arguments: Sequence[str] = (), **variables: str) -> Ended:
        """Run a child to its end."""
        self.start(name, arguments, **variables)
        started, ended = self.hear(), self.hear()
        assert started["started"] == ended["ended"] == name
        assert started["pid"] == ended["pid"]
        self.tell(reap=ended["pid"])
        place = self.directory / "out" / name
        return left(ended["code"], place)

    def close(self) -> None:
        self._lines.close()
        self.socket.close()
        assert self.process.wait(30) in (0, -signal.SIGKILL)


def cold(directory: Path, words: Sequence[str], **variables: str) -> Ended:
    """Run a program with a cold start."""
    place = directory / "cold"
    place.mkdir(exist_ok=True)
    with open(place / "stdout", "wb") as stdout, open(place / "stderr", "wb") as stderr:
        ended = subprocess.run(
            words,
            cwd=directory,
            env={**ENVIRONMENT, **variables, MARK: str(place)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            check=False,
        )
    code = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
    return left(code, place)


def left(code: int, place: Path) -> Ended:
    """Return the end of a program and what it has left, without addresses and random names."""
    texts = ((place / name).read_text() for name in ("stdout", "stderr"))
    return Ended(code, *(re.sub(r"0x[0-9a-f]{6,}|tmp\w{8}\b", "…", text) for text in texts))


def python(*words: str) -> tuple[str, ...]:
    return (sys.executable, *words)
