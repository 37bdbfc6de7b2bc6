"""The local executor: an attempt is a process group started by the shim, and its state is in one directory.

    <root>/<name>/begun, stopped, exit, swept, stdout, stderr, remarks: see `fabric_jobs.executors.local.shim`
                  note, install.log, unprepared: see `note`, and `fabric_jobs.executors.install`
                  port: see `fabric_jobs.executors.ports`
                  index, and the attempt's files

This process only remembers who waits for an attempt. The attempt's state is in its files, and depends on whether its shim
lives. If a shim is killed, its attempts are lost; another shim kills their processes before the loss is reported.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fabric_jobs import state_dir as places
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import attempt_files, ports
from fabric_jobs.executors.attempt_files.kept import Kept
from fabric_jobs.executors.attempt_files.texts import NOTE, last_line, text
from fabric_jobs.executors.base import (
    LOST,
    STOPPED,
    UNPREPARED,
    AttemptExit,
    AttemptSpec,
    Doors,
    Inside,
    Note,
)
from fabric_jobs.executors.local import legacy
from fabric_jobs.executors.local.connection import ShimConnection, ShimGone, Shims, text_of
from fabric_jobs.executors.local.endings import Endings
from fabric_jobs.executors.local.preparing import prepared
from fabric_jobs.executors.local.shim import files, proc

KILLED = 137  # exit code of what was stopped and killed
CLAIM_SECONDS = 5.0  # a claim has its shim's name in it by then
TRIES = 3  # of a start, if the shim ends at that moment

TRY_AGAIN = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO})


class Begun(NamedTuple):
    """The shim of an attempt, and the process of its program (0: not recorded)."""

    shim: str
    pid: int = 0
    started: int = 0
    inode: int = 0  # of its directory: in a copy of it the numbers are void


class LocalExecutor(Kept):
    """Runs attempts as processes of this machine. `fabric_jobs.executors.base.Executor` has the contract of each method."""

    name = "local"

    def __init__(self, root: Path, doors: Doors | None = None) -> None:
        """Keep attempts under `root`, and the files of shims beside it. Without `doors`, programs have no gateway."""
        self._root = root
        self._doors = doors
        self._shims = Shims(root.parent)
        self._endings = Endings(root, self._shims)

    def inside(self, name: str) -> Inside:
        """Return this machine's own names and addresses."""
        url, path = (self._doors.url, self._doors.socket) if self._doors is not None else ("", "")
        records = str(places.records_dir(self._root.parent)) if self._doors is not None else ""
        return Inside(files=str(self._root / name), api_endpoint=f"{url}/px", socket=path, records=records)

    def start(self, spec: AttemptSpec) -> str:
        """Let the shim start the program in its own process group."""
        directory = self._root / spec.name
        with _translated():
            if _begun(directory) is None and not legacy.is_one(directory):
                directory.mkdir(parents=True, exist_ok=True)
                self._begin(spec, directory)
                return str(directory)
        if self.poll(str(directory)) is not None:  # otherwise its end is reported from now on
            self._endings.tell(spec.name, str(directory))
        return str(directory)

    def poll(self, handle: str) -> AttemptExit | None:
        """Read the exit code; without one, see whether the shim lives."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            begun = _begun(directory)
            if begun is not None and (ended := _ended(directory)) is not None:
                return ended
            if begun is None:
                return self._poll_legacy(directory, handle)
            runs = self._runs(begun, directory, handle)
            ended = _ended(directory)  # again: it may have ended before we subscribed
            if ended is not None:
                self._endings.forget(directory.name)
            return ended if ended is not None or runs else self._swept(directory, handle, begun)

    def stop(self, handle: str, grace: float) -> None:
        """Send TERM, wait, then KILL, to all that the attempt has started, even if its program has ended."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            begun, code = _begun(directory), _exit_code(directory)
            if begun is None and not legacy.is_one(directory):
                return
            if begun is not None and code is not None:
                if code == 0:  # after any other code nothing is left
                    self._sweep(directory, handle, begun, grace)
                return
            runs = begun is not None and self._runs(begun, directory, handle)
            if runs and begun is not None and self._ask(begun.shim, do="stop", name=directory.name, grace=grace):
                return
            if code is None:
                attempt_files.mark(directory / files.STOPPED)
            self._sweep(directory, handle, begun or Begun("", legacy.group(directory)), grace)

    def address(self, handle: str) -> tuple[str, int]:
        """Read which port the program was given, and check where it listens."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            begun = _begun(directory)
            group = begun.pid if begun is not None else legacy.group(directory)
            return ports.address(directory, proc.Scan().members(str(directory), group))

    def note(self, handle: str) -> Note:
        """Read what the attempt's preparation is doing, and the remarks of its start and end."""
        directory = self._directory(handle)
        doing = text(directory / NOTE)
        if doing.startswith("installing"):
            doing = f"{doing}: {last_line(directory / 'install.log')}".removesuffix(": ")
        return Note(doing=doing, remarks=tuple(filter(None, text(directory / files.REMARKS).splitlines())))

    def remove(self, handle: str) -> None:
        """Delete the directory of an ended attempt."""
        with suppress(ExecutorUnavailable):
            if self.poll(handle) is not None:
                shutil.rmtree(self._directory(handle), ignore_errors=True)

    def changed(self) -> tuple[str, ...]:
        """Wait for reports of the shims, and for the end of a shim, which ends its programs."""
        return self._endings.wait()

    def wake(self) -> None:
        """Let `changed` return."""
        self._endings.wake()

    def close(self) -> None:
        """End `changed`; attempts keep running."""
        self._endings.close()

    def _begin(self, spec: AttemptSpec, directory: Path) -> None:
        """Hand a program to the shim. A shim that ends meanwhile has either started nothing, or left its claim."""
        for name, content in spec.files.items():
            (directory / name).write_bytes(content)
        handed_over = False
        try:
            with prepared(spec.processes[0], directory) as request:
                handed_over = self._hand_over(spec.name, directory, request)
        finally:
            if not handed_over:
                self._endings.forget(spec.name)
        if not handed_over:
            raise ExecutorUnavailable("the process that starts programs does not answer.")

    def _hand_over(self, name: str, directory: Path, request: dict[str, object]) -> bool:
        for _ in range(TRIES):
            shim = self._shims.current()
            self._endings.expect(name, str(directory), shim.shim)  # before the start, since the program may end at once
            try:
                self._request(shim, do="start", name=name, directory=text_of(directory), **request)
            except ShimGone:
                if _begun(directory) is None:
                    continue
            return True
        return False

    def _runs(self, begun: Begun, directory: Path, handle: str) -> bool:
        """Tell whether the shim of an attempt lives; if so, subscribe to the attempt's end."""
        if not begun.shim:
            return time.time() - (directory / files.BEGUN).stat().st_mtime < CLAIM_SECONDS
        shim = self._shims.of(begun.shim)
        if shim is None:
            return False
        self._endings.expect(directory.name, handle, shim.shim)
        return True

    def _poll_legacy(self, directory: Path, handle: str) -> AttemptExit | None:
        if legacy.runs(directory):
            self._endings.expect_legacy(directory.name, handle)
            return None
        is_one, ended = legacy.is_one(directory), _ended(directory)
        if ended is not None:
            legacy.sync(directory)
        if not is_one or ended == AttemptExit(0):  # leftovers of a success keep running
            return ended or AttemptExit(None, LOST)
        return self._swept(directory, handle, Begun("", legacy.group(directory)))

    def _swept(self, directory: Path, handle: str, begun: Begun) -> AttemptExit | None:
        """Return how an attempt without a shim ended, once none of its processes is alive; until then, let a shim end them."""
        if (directory / files.SWEPT).exists():
            if (ended := _ended(directory)) is not None:
                return ended
            stopped = (directory / files.STOPPED).exists()
            return AttemptExit(KILLED, STOPPED) if stopped else AttemptExit(None, LOST)
        self._sweep(directory, handle, begun, 0.0)
        return None

    def _sweep(self, directory: Path, handle: str, begun: Begun, grace: float) -> None:
        """Let a shim end the remaining processes of another shim's attempt, and report when none are left."""
        shim = self._shims.current()
        self._endings.expect(directory.name, handle, shim.shim)
        request = {"name": directory.name, "directory": text_of(directory), "pid": begun.pid}
        if not self._ask(shim.shim, do="sweep", started=begun.started, grace=grace, **request):
            raise ExecutorUnavailable("the process that starts programs has ended.")

    def _ask(self, shim_id: str, **request: object) -> bool:
        """Send a request to a shim; return False if the shim has ended."""
        shim = self._shims.of(shim_id)
        if shim is None:
            return False
        with suppress(ShimGone):
            self._request(shim, **request)
            return True
        return False

    def _request(self, shim: ShimConnection, **request: object) -> None:
        try:
            shim.request(**request)
        except ShimGone:
            self._shims.lose(shim)
            raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in TRY_AGAIN:
            raise ExecutorUnavailable(f"no process can be started: {error.strerror}.") from error
        what = "its arguments and variables are too long" if error.errno == errno.E2BIG else str(error)
        raise InvalidInput(f"the program cannot be started: {what}.") from error


def _ended(directory: Path) -> AttemptExit | None:
    """Return how an attempt ended; None if its exit code is unknown."""
    code = _exit_code(directory)
    if code is None:
        return None
    stopped = STOPPED if (directory / files.STOPPED).exists() else ""
    if code and not stopped and (directory / "unprepared").exists():
        return AttemptExit(code, UNPREPARED)
    return AttemptExit(code, stopped)


def _begun(directory: Path) -> Begun | None:
    """Return the shim of an attempt; None if it has none."""
    try:
        found = (directory / files.BEGUN).read_text()
    except FileNotFoundError:
        return None
    shim, _, process = found.partition("\n")
    begun = Begun(shim, *map(int, process.split() if process.endswith("\n") else ()))
    return begun if begun.inode == directory.stat().st_ino else Begun(shim)


def _exit_code(directory: Path) -> int | None:
    """Return the recorded exit code; None if there is none."""
    try:
        found = (directory / files.EXIT).read_text()
    except FileNotFoundError:
        return None
    if not found.endswith("\n") or not found.strip().isdecimal():
        return None  # half-written: a loss of power, or a full disk
    return int(found)
