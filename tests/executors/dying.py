"""Starts attempts in processes that are killed with -9 at a chosen step."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.docker import DockerExecutor
from fabric_jobs.executors.docker.copying import OwnFiles
from fabric_jobs.executors.docker.steps import Steps


def die(*_: object, **__: object) -> NoReturn:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives")


def _before(owner: Any, name: str) -> None:
    setattr(owner, name, die)


def _after(owner: Any, name: str) -> None:
    done = getattr(owner, name)
    setattr(owner, name, lambda *words, **options: die(done(*words, **options)))


def _while_it_starts() -> None:
    def start(_: DockerEngine, container: str) -> None:
        # The engine gets the request, but nobody waits for its answer.
        subprocess.Popen(["docker", "start", container], stdout=subprocess.DEVNULL, start_new_session=True)
        die()

    setattr(DockerEngine, "start", start)  # noqa: B010 - mypy would not have it otherwise


def _while_it_is_copied() -> None:
    whole = OwnFiles.copy

    def copy(files: OwnFiles, found: Iterable[tuple[str, bytes]]) -> None:
        for stream, text in found:
            whole(files, [(stream, text[: len(text) // 2 + 1])])
            die()

    setattr(OwnFiles, "copy", copy)  # noqa: B010


# The steps at which a process can die, in the order of an attempt's life.
STEPS: dict[str, Callable[[], None]] = {
    "before it is made": lambda: _before(DockerEngine, "create"),
    "after it is made": lambda: _after(DockerEngine, "create"),
    "before it listens": lambda: _before(DockerEngine, "attach"),
    "before it starts": lambda: _before(DockerEngine, "start"),
    "while it starts": _while_it_starts,
    "after it starts": lambda: _after(DockerEngine, "start"),
    "while it is copied": _while_it_is_copied,
    "after it is copied": lambda: _before(DockerEngine, "wait"),
    "before the end is written": lambda: _before(Steps, "_end"),
    "before it is deleted": lambda: _before(DockerEngine, "remove"),
}


def start_and_die(root: Path, spec: AttemptSpec, step: str) -> multiprocessing.process.BaseProcess:
    """Start an attempt in a process that is killed at `step`; return the process."""
    made = multiprocessing.get_context("spawn").Process(target=_run, args=(root, spec, step))
    made.start()
    return made


def _run(root: Path, spec: AttemptSpec, step: str) -> None:
    STEPS[step]()
    executor = DockerExecutor(root)
    while True:  # a busy engine may answer too late; try again, as an owner does
        with suppress(ExecutorUnavailable):
            executor.start(spec)
            break
    threading.Event().wait()  # wait to be killed
