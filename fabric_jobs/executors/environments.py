"""Caches Python environments: one directory for each Python and its requirements, shared by all workspaces of a user.

    <cache>/environments/<key>/use       a lock: shared by users and builders, exclusive for removal
                               build     a lock: exclusive for the builder, pip included
                               about     what it is, as JSON
                               venv/     the environment
                               complete  written last; holds its path, since an environment cannot be moved

A directory without `complete` is not an environment; the next user builds it again. Locks need no clean-up after a kill.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fabric_jobs.errors import InvalidInput, PlaceUnavailable
from fabric_jobs.executors.requirements import Requirements

FORMAT = "1"  # changes when environments are built differently
REMOVED = ".removed-"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The location of the environment for a requirements.txt, built or not."""

    directory: Path
    python: str  # the interpreter it is made from
    requirements: Path
    summary: str

    @property
    def venv(self) -> Path:
        """The directory of the virtual environment."""
        return self.directory / "venv"

    @property
    def binaries(self) -> Path:
        """The directory of its programs."""
        return self.venv / "bin"


@dataclass(frozen=True, kw_only=True)
class Cached:
    """A cached environment, described for people."""

    key: str
    python: str  # version
    state: str  # complete | in use | building | incomplete
    size: int  # bytes
    used_at: float  # seconds since 1970
    requirements: str  # the first words


def root() -> Path:
    """Return the directory of all environments."""
    cache = os.environ.get("FABRIC_JOBS_CACHE")
    if cache:
        return Path(cache).absolute() / "environments"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fabric-jobs" / "environments"
    except RuntimeError as error:
        hint = "Set HOME, XDG_CACHE_HOME or FABRIC_JOBS_CACHE."
        raise InvalidInput("there is no home directory for the environments of skills.", hint=hint) from error


def environment_of(python: str, requirements: Requirements) -> Environment:
    """Return the environment for an interpreter and its requirements. The cache is not consulted."""
    real = os.path.realpath(python)
    found = os.stat(real)
    words = [FORMAT, real, str(found.st_size), str(found.st_mtime_ns), sys.platform, os.uname().machine]
    key = blake2b("\0".join([*words, requirements.text]).encode(errors="replace"), digest_size=10).hexdigest()
    return Environment(
        directory=root() / key, python=python, requirements=requirements.path, summary=requirements.summary
    )


def is_complete(directory: Path) -> bool:
    """Tell whether an environment was fully built, at this path, for a Python that still exists."""
    try:
        built_in = (directory / "complete").read_text()
    except OSError:
        return False
    return built_in == str(directory) and (directory / "venv" / "bin" / "python").exists()


def hold(environment: Environment) -> int | None:
    """Return a descriptor that prevents a complete environment's removal while open; None if it has yet to be built."""
    descriptor = lock(environment.directory / "use", fcntl.LOCK_SH | fcntl.LOCK_NB)
    if descriptor is None:
        return None
    if is_complete(environment.directory):
        os.utime(environment.directory / "complete")
        return descriptor
    os.close(descriptor)
    return None


def lock(path: Path, operation: int, *, make: bool = False) -> int | None:
    """Return the descriptor of a locked file; None if the file is missing, or a non-blocking lock is taken."""
    while True:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            if make:
                continue  # removed at this moment
            return None
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # the locked file was removed meanwhile


def listed() -> list[Cached]:
    """Return all environments, the most recently used first."""
    with _reachable():
        return sorted((_cached(path) for path in _directories()), key=lambda cached: -cached.used_at)


def prune(*, before: float | None) -> list[Cached]:
    """Remove environments unused since `before` (seconds since 1970; None: all), and unfinished ones.

    Returns what was removed. Those in use or being built stay.
    """
    with _reachable():
        for path in root().glob(f"*{REMOVED}*"):
            shutil.rmtree(path, ignore_errors=True)
        removed = []
        for path in _directories():
            cached = _cached(path)
            is_old = before is None or cached.used_at < before or cached.state == "incomplete"
            if is_old and _remove(path):
                removed.append(cached)
        return removed


def size_of(directory: Path) -> int:
    """Return the size of a directory's files in bytes."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


def _directories() -> list[Path]:
    try:
        return sorted(path for path in root().iterdir() if REMOVED not in path.name and path.is_dir())
    except FileNotFoundError:
        return []


def _cached(directory: Path) -> Cached:
    about: dict[str, str] = {}
    with suppress(OSError, ValueError):
        about = json.loads((directory / "about").read_text())
    marker = directory / "complete"
    with suppress(OSError):
        used_at = (marker if marker.exists() else directory).stat().st_mtime
    return Cached(
        key=directory.name,
        python=about.get("python", ""),
        state=_state(directory),
        size=size_of(directory),
        used_at=used_at,
        requirements=about.get("requirements", ""),
    )


def _state(directory: Path) -> str:
    if _is_locked(directory / "build"):
        return "building"
    if not is_complete(directory):
        return "incomplete"
    return "in use" if _is_locked(directory / "use") else "complete"


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    descriptor = lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _remove(directory: Path) -> bool:
    """Remove an unused environment. It is renamed first, so that nobody finds it."""
    building = lock(directory / "build", fcntl.LOCK_EX | fcntl.LOCK_NB, make=True)
    used = lock(directory / "use", fcntl.LOCK_EX | fcntl.LOCK_NB, make=True)
    try:
        if building is None or used is None:
            return False
        aside = directory.with_name(f"{directory.name}{REMOVED}{os.getpid()}")
        directory.rename(aside)
    finally:
        for descriptor in (building, used):
            if descriptor is not None:
                os.close(descriptor)
    shutil.rmtree(aside, ignore_errors=True)
    return True


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlaceUnavailable(
            f"the environments in {root()} cannot be used: {error}",
            hint="Choose another directory with FABRIC_JOBS_CACHE.",
        ) from error
