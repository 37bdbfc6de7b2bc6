"""Gives a program that listens a free port instead of the declared one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import listening
from fabric_jobs.executors.port_exchange import Exchange
from fabric_jobs.executors.program import Program
from fabric_jobs.runtime.cortex_worker.ports import free_port

LOCALHOST = "127.0.0.1"
ANYWHERE = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.])")
FILE = "port"  # in the directory of an attempt


def give(
    found: Program, environment: Mapping[str, str], declared: int, directory: Path
) -> tuple[Program, dict[str, str]]:
    """Return a program and its variables with a free port in place of the declared one. PORT has it, too.

    A program that listens on all addresses, as it must in a container, is moved to localhost: nobody else should reach it.
    """
    port = _note_free_port(directory, declared)
    exchange = Exchange(str(declared), str(port))
    words = tuple(ANYWHERE.sub(LOCALHOST, word) for word in exchange.words(found.words))
    variables, own = (
        {key: ANYWHERE.sub(LOCALHOST, value) for key, value in exchange.variables(values).items()}
        for values in (found.variables, environment)
    )
    given = found._replace(words=words, variables=variables, remarks=(*found.remarks, *exchange.remarks()))
    return given, {**own, "PORT": str(port)}


def address(directory: Path, processes: Iterable[int]) -> tuple[str, int]:
    """Return where the processes of an attempt listen. Raise ExecutorUnavailable if it was given no port.

    Of the ports in use, the given one comes first, then the declared one, then a single other one; else it is the given one.
    """
    try:
        given, *declared = map(int, (directory / FILE).read_text().split())
    except (OSError, ValueError) as error:
        raise ExecutorUnavailable(f"{directory} has no port: {error}") from error
    found = listening.ends(processes)
    for port in (given, *declared):
        for end in found:
            if end[1] == port:
                return end
    return found[0] if len(found) == 1 else (LOCALHOST, given)


def _note_free_port(directory: Path, declared: int) -> int:
    # Several attempts of a daemon can run beside each other, and beside other programs.
    port = free_port()
    (directory / FILE).write_text(f"{port} {declared}")
    return port
