"""Makes the clients of Fabric as their users have them, unmodified from the registries, each in an environment of its own.

An environment is made once, and kept in FABRIC_JOBS_TEST_CLIENTS, by default below the user's cache directory. A test is
skipped with the reason where a client cannot be had.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

SECONDS = 240
# By version of cortex-python: what else pip has to know to build its dependencies.
CONSTRAINTS = {"6.3.3": "", "6.1.0": "cython<3\n"}
VERSIONS = tuple(CONSTRAINTS)
COMMAND = ("cortex-cli@2.4.0",)
# The libraries that the command sends its requests and signs its tokens with, in the versions that it names.
LIBRARIES = ("got@11.8.5", "jose-node-cjs-runtime@4.8.1", "graphql-request@3.7.0", "graphql@15.6.1")


def root() -> Path:
    """Return the directory of the environments."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FABRIC_JOBS_TEST_CLIENTS") or Path(caches, "fabric-jobs-tests", "clients"))


@cache
def missing(version: str) -> str:
    """Make cortex-python in this version, if it is not there; return why it cannot be had, or nothing."""
    place = _place(version)

    def make() -> str:
        constraints = place.with_suffix(".constraints")
        constraints.write_text(CONSTRAINTS[version])
        return ran([sys.executable, "-m", "venv", place], {}) or ran(
            [place / "bin/pip", "install", "--quiet", f"cortex-python=={version}"],
            {"PIP_CONSTRAINT": str(constraints)},
        )

    return made(place, make)


@cache
def missing_node(packages: tuple[str, ...]) -> str:
    """Install packages for node, if they are not there; return why they cannot be had, or nothing."""
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    if absent:
        return f"there is no {' and no '.join(absent)}"
    place = node_modules(packages).parent

    def make() -> str:
        place.mkdir()
        return ran(["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--omit=dev", *packages], {})

    return made(place, make)


def node_modules(packages: tuple[str, ...]) -> Path:
    """Return the directory that node finds these packages in, made or not."""
    return root() / packages[0].replace("@", "-") / "node_modules"


def python_of(version: str) -> Path:
    """Return the interpreter that has cortex-python in this version, made or not."""
    return _place(version) / "bin" / "python"


def _place(version: str) -> Path:
    return root() / f"cortex-python-{version}-py{sys.version_info[0]}.{sys.version_info[1]}"


def made(place: Path, make: Callable[[], str]) -> str:
    """Make a directory that other processes may be making too; return what went wrong."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = place / "complete"
        if complete.exists():
            return ""
        shutil.rmtree(place, ignore_errors=True)
        problem = make()
        if not problem:
            complete.touch()
        return problem


def ran(command: list[object], variables: dict[str, str]) -> str:
    """Run a command; return its last words if it fails."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it failed without a word"]
    telling = [line for line in said if "Not Found" in line or line.startswith("ERROR")]
    return "" if done.returncode == 0 else (telling or said)[-1]
