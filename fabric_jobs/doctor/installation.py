"""Python, its environment, and this package."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import fabric_jobs
from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding, Scope

OLDEST = (3, 11)
COMMANDS = ("fabric-jobs", "fj")


def python(scope: Scope) -> Iterator[Finding]:
    """Check that the interpreter is new enough."""
    version = platform.python_version()
    if sys.version_info < OLDEST:
        yield Finding(
            PROBLEM,
            f"Python {version} is older than {OLDEST[0]}.{OLDEST[1]}.",
            "Install a newer one, and reinstall fabric-jobs with it.",
        )
        return
    yield Finding(OK, f"Python {version}, {sys.executable}")


def environment(scope: Scope) -> Iterator[Finding]:
    """Check that environments can be made here, and packages installed."""
    missing = [name for name in ("venv", "ensurepip", "pip") if find_spec(name) is None]
    kind = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    if missing:
        yield Finding(
            WARNING,
            f"{kind} in {sys.prefix}; these modules are missing: {', '.join(missing)}.",
            "On Debian and Ubuntu: apt install python3-venv python3-pip",
        )
        return
    yield Finding(OK, f"{kind} in {sys.prefix}; venv, ensurepip and pip are there")


def package(scope: Scope) -> Iterator[Finding]:
    """Check that it is installed once, and that the shell finds the commands of this installation."""
    found = {str(item.locate_file("")): item.version for item in metadata.distributions(name="fabric-jobs")}
    version = fabric_jobs.__version__
    if len(found) > 1:
        yield Finding(
            WARNING,
            f"It is installed more than once: {', '.join(sorted(found))}.",
            "Remove all but one: pip uninstall fabric-jobs",
        )
    elif found and version not in found.values():
        yield Finding(
            WARNING,
            f"The files are version {version}, but were installed as {next(iter(found.values()))}.",
            "Reinstall it.",
        )
    else:
        yield Finding(OK, f"{version}, {Path(fabric_jobs.__file__).parent}")
    for name in COMMANDS:
        yield from _command(name)


def _command(name: str) -> Iterator[Finding]:
    first, own = shutil.which(name), Path(sys.executable).parent / name
    if first is None:
        yield Finding(
            NOTE, f"{name} is not on the PATH of this shell.", f"export PATH={own.parent}:$PATH" if own.exists() else ""
        )
    elif own.exists() and os.path.realpath(first) != os.path.realpath(own):
        yield Finding(
            WARNING,
            f"{name} on the PATH is {first}, which belongs to another installation than {own}.",
            f"export PATH={own.parent}:$PATH",
        )
