"""Prepares the request that makes a shim start a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fabric_jobs.executors import ports, program, proxies
from fabric_jobs.executors.attempt_files.texts import say
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.executors.local.connection import text_of
from fabric_jobs.executors.local.shim import files, proc
from fabric_jobs.executors.warm import command
from fabric_jobs.state_dir import programs_umask

# Variables that differ between the attempts of a program.
OF_ATTEMPT = ("CORTEX_PAYLOAD", "CORTEX_TOKEN", "FABRIC_JOBS_ATTEMPT", "FABRIC_JOBS_WORKER_FILE")


@contextmanager
def prepared(process: ProcessSpec, directory: Path) -> Iterator[dict[str, object]]:
    """Give the shim's request, and keep the environment that it needs until the block ends."""
    found = program.find(process)
    own = dict(process.environment)
    if process.port:
        found, own = ports.give(found, own, process.port, directory)
    given = program.given(process)
    environment = {**given, "PYTHONUNBUFFERED": "1", **found.variables, **own, proc.MARK: str(directory)}
    paths = [str(program.RUNTIME), *(each.get("PYTHONPATH") for each in (given, found.variables, own))]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    environment |= proxies.direct(environment, process.gateway)
    if found.remarks:
        (directory / files.REMARKS).write_text("\n".join(found.remarks), encoding="utf-8")
    with ExitStack() as stack:
        words, hold = _ready(found, directory, stack)
        yield {
            "words": [text_of(word) for word in words],
            "environment": {text_of(name): text_of(value) for name, value in environment.items()},
            "cwd": text_of(found.directory),
            "umask": programs_umask() if process.shell is None else process.shell.umask,
            "hold": [text_of(path) for path in hold],
            **_warm(process, words, directory, is_ready=words is found.words),
        }


def _warm(process: ProcessSpec, words: tuple[str, ...], directory: Path, *, is_ready: bool) -> dict[str, object]:
    """Return the part of the request for a warm start, if possible; otherwise write a remark with the reason."""
    if process.warm is None or not is_ready:  # its environment is not built yet
        return {}
    found = command.read(words) if sys.platform == "linux" else "this is not Linux"
    if isinstance(found, str):
        files.append(f"{directory}/{files.REMARKS}", f"\nstarts cold: {found}")
        return {}
    own = (*OF_ATTEMPT, proc.MARK)
    before = [text_of(word) for word in words[: len(words) - len(found.arguments)]]
    about = {"kind": found.kind, "target": text_of(found.target), "options": len(found.options), "words": before}
    return {"warm": {**about, "preload": process.warm, "own": own, "workspace": text_of(process.workspace)}}


def _ready(found: program.Program, directory: Path, stack: ExitStack) -> tuple[tuple[str, ...], list[Path]]:
    """Return the words to run, and files to keep locked while they run. `stack` holds the locks until the shim does."""
    if found.environment is None:
        return found.words, []
    from fabric_jobs.executors import environments, install  # late: most actions need no environment

    held = environments.hold(found.environment)
    if held is not None:
        stack.callback(os.close, held)
        return found.words, [found.environment.directory / "use"]
    say(directory, install.INSTALLING)
    return install.command(found.environment, directory, found.words), []
