"""Handles a shim's attempts from start to end.

An attempt whose program exits with 0, unasked, ends at once; a remark names processes left running. Any other attempt ends
when none of its processes is alive: its group and all processes with its mark are killed, after the grace period if it was
asked to stop. One scan of all processes serves all attempts that are ending.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from . import files, proc
from .spawn import CannotRun, spawn
from .templates import Templates

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

SCAN_SECONDS = 0.02  # least time between two scans of all processes
SCAN_SHARE = 4  # the pause is at least this many times the duration of a scan
CHEAP_SECONDS = 0.002  # after a scan shorter than this, the next may follow at once
STUBBORN_SECONDS = 10.0  # killed processes are gone by then; later they are checked every
SLOW_SECONDS = 1.0
AGAIN_SECONDS = 1.0  # before a retry, if an exit code could not be written
KILLED_BEFORE = 128 + signal.SIGTERM  # exit code of what was stopped before it began
LEFT = "its program has ended and left these processes running:"


class Attempt:
    """One unfinished attempt."""

    def __init__(self, name: str, directory: str, group: int, *, sure: bool = True, running: bool = True) -> None:
        self.name = name
        self.directory = directory
        self.group = group  # process group; also the pid of its program
        self.sure = sure  # that the group is still its own: its number may be reused
        self.running = running  # its program has not been reaped yet
        self.code: int | None = None  # exit code of its program; None at the end for another shim's attempt
        self.stopped = False
        self.deadline: float | None = None  # when to kill it; None: it runs
        self.asked = False  # whether its group was asked to end
        self.asked_others = False  # whether processes outside the group were
        self.due = 0.0  # time of the next scan for it
        self.reap: Callable[[], None] | None = (
            None  # lets a template process reap its child once the exit code is written
        )
        self.left = 0  # scans that may still find something alive; the last may be outdated


class Attempts:
    """The attempts that this shim has started, and those that it ends."""

    def __init__(self, shim: str, tell: Callable[[str], None], poll: select.poll) -> None:
        """Call `tell(name)` when an attempt has ended. Template processes register at `poll`."""
        self.templates = Templates(poll, self)
        self._strangers: dict[int, int] = {}  # exit codes of children not yet assigned to an attempt
        self._shim = shim
        self._tell = tell
        self._live: dict[str, Attempt] = {}
        self._programs: dict[int, Attempt] = {}
        self._unwritten: list[Attempt] = []
        self._again = 0.0
        self._rested = 0.0  # no scan of all processes before that time
        self._ended: list[Attempt] = []  # programs have ended; leftovers not checked yet
        self._looked = 0.0  # no check of leftovers before that time

    @property
    def busy(self) -> bool:
        """Whether an attempt is unfinished."""
        return bool(self._live or self._unwritten or self._ended)

    def start(self, request: dict[str, Any]) -> bool:
        """Start the program of an attempt; return False if it was started before. Raises OSError and ValueError."""
        directory = request["directory"]
        if not files.claim(directory, self._shim):
            return False
        attempt = Attempt(request["name"], directory, 0, sure=False)
        if "warm" in request:
            self._live[attempt.name] = attempt
            if self.templates.start(request):
                return True
            del self._live[attempt.name]
            _remark(attempt, request.pop("remark", ""))
        self._spawn(attempt, request)
        return True

    def begun(self, name: str, pid: int) -> None:
        """Take over an attempt that a template process has forked."""
        attempt = self._live[name]
        self._adopt(attempt, pid)
        code = self._strangers.pop(pid, None)
        if code is not None:  # both it and its template process have ended since
            self.ended(name, pid, code, _nothing)
        elif attempt.stopped:
            _ask(attempt)

    def ended(self, name: str, pid: int, code: int, reap: Callable[[], None]) -> None:
        """Note the end of a forked attempt. Call `reap` once its exit code is written."""
        attempt = self._programs.pop(pid, None) or self._live.get(name)
        if attempt is None or not attempt.running:
            reap()
            return
        attempt.group, attempt.code, attempt.running, attempt.reap = pid, code, False, reap
        self._ended.append(attempt)

    def cold(self, request: dict[str, Any], remark: str) -> None:
        """Start an attempt cold that was to be forked."""
        attempt = self._live[request["name"]]
        _remark(attempt, remark)
        if attempt.stopped:
            attempt.code, attempt.running = KILLED_BEFORE, False
            self._finish([attempt])
            return
        try:
            self._spawn(attempt, request)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{attempt.name}: {error}\n")
            del self._live[attempt.name]
            self._tell(attempt.name)  # its end is unknown, so the owner tries again

    def _spawn(self, attempt: Attempt, request: dict[str, Any]) -> None:
        try:
            pid = spawn(request)
        except CannotRun as error:
            files.append(f"{attempt.directory}/stderr", f"fabric-jobs: {request['words'][0]}: {error}\n")
            attempt.code, attempt.running = error.code, False
            self._finish([attempt])
            return
        except (OSError, ValueError):
            files.give_back(attempt.directory)
            raise
        self._adopt(attempt, pid)

    def _adopt(self, attempt: Attempt, pid: int) -> None:
        """Handle an attempt whose program is a child of this process or of a template process."""
        attempt.group, attempt.sure = pid, True
        self._live[attempt.name] = attempt
        self._programs[attempt.group] = attempt
        with suppress(OSError):  # its mark identifies the process anyway
            files.note_process(attempt.directory, attempt.group, proc.started(attempt.group))

    def stop(self, name: str, grace: float) -> bool:
        """Ask an attempt to end; return False if this shim runs none of that name."""
        attempt = self._live.get(name)
        if attempt is None:
            return False
        if not attempt.stopped and attempt.code is None:
            files.mark(attempt.directory, files.STOPPED)
            attempt.stopped = True
            if self.templates.withdraw(name):
                attempt.code, attempt.running = KILLED_BEFORE, False
                self._finish([attempt])
                return True
            _ask(attempt)
        self._end(attempt, time.monotonic() + grace)
        return True

    def sweep(self, request: dict[str, Any]) -> bool:
        """End the remaining processes of an attempt that has ended, or that is another shim's."""
        name, pid = request["name"], request["pid"]
        attempt = self._live.get(name)
        if attempt is None:
            sure = bool(pid) and proc.started(pid) == request["started"]
            attempt = self._live[name] = Attempt(name, request["directory"], pid, sure=sure, running=False)
        self._end(attempt, time.monotonic() + request["grace"])
        return True

    def reap(self) -> None:
        """Note the programs that have ended."""
        self.templates.serve_all()  # a child reports its start before it can end
        if not self.templates.expects_children:
            self._strangers.clear()
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                attempt = self._programs.pop(pid, None)
                code = _code(status)
                if attempt is None:
                    self._strangers[pid] = code
                else:
                    attempt.code, attempt.running = code, False
                    self._ended.append(attempt)

    def tick(self) -> float | None:
        """Do what is due. Return the seconds until more is due; None if nothing is."""
        now = time.monotonic()
        if self._ended and self._looked <= now:
            ended, self._ended = self._ended, []
            self._look_back([attempt for attempt in ended if self._live.get(attempt.name) is attempt], now)
        ending = [attempt for attempt in self._live.values() if attempt.deadline is not None]
        if self._rested <= now and any(attempt.due <= now for attempt in ending):
            self._scan(ending, now)
        if self._unwritten and self._again <= now:
            unwritten, self._unwritten = self._unwritten, []
            self._finish(unwritten)
        moments = [max(attempt.due, self._rested) for attempt in self._live.values() if attempt.deadline is not None]
        moments += ([self._again] if self._unwritten else []) + ([self._looked] if self._ended else [])
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _end(self, attempt: Attempt, deadline: float) -> None:
        attempt.deadline = deadline if attempt.deadline is None else min(deadline, attempt.deadline)
        attempt.due = min(attempt.due, deadline)

    def _look_back(self, ended: list[Attempt], now: float) -> None:
        """Report attempts that have left no processes: nearly all. A child's pid is above its parent's, which shortens the scan."""
        first = min((attempt.group for attempt in ended), default=0)
        scan = _scan(first if proc.newest() >= first else 0)  # otherwise pids have wrapped around
        took = time.monotonic() - now
        self._looked = now + (SCAN_SHARE * took if took > CHEAP_SECONDS else 0.0)
        over: list[Attempt] = []
        for attempt in ended:
            marked = scan.marked.get(attempt.directory, ()) if scan is not None else ()
            if attempt.code == 0 and not attempt.stopped:
                for pid, _ in marked:
                    _remark(attempt, f"{LEFT} {proc.name(pid)} (process {pid})")
                over.append(attempt)
            elif scan is None or _members(attempt, scan):
                self._end(attempt, time.monotonic())
                attempt.due, attempt.left = 0.0, 1
            else:
                over.append(attempt)
        self._finish(over)

    def _scan(self, ending: list[Attempt], now: float) -> None:
        scan = _scan(0)
        self._rested = now + max(SCAN_SECONDS, SCAN_SHARE * (time.monotonic() - now))
        if scan is not None:
            self._finish([attempt for attempt in ending if not _press(attempt, scan, now)])

    def _finish(self, over: list[Attempt]) -> None:
        for attempt in over:
            self._live.pop(attempt.name, None)
            try:
                if attempt.code is None:
                    files.mark(attempt.directory, files.SWEPT)
                else:
                    files.write_exit(attempt.directory, attempt.code)
            except FileNotFoundError:
                pass  # its directory is gone, and nobody waits for it
            except OSError as error:  # such as a full disk
                sys.stderr.write(f"{attempt.name}: {error}\n")
                self._unwritten.append(attempt)
                self._again = time.monotonic() + AGAIN_SECONDS
                continue
            if attempt.reap is not None:
                attempt.reap()
            self._tell(attempt.name)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _nothing() -> None:
    """Do nothing: nobody has to reap this attempt."""


def _scan(above: int) -> proc.Scan | None:
    try:
        return proc.Scan(above)
    except OSError:  # out of descriptors or memory
        return None


def _press(attempt: Attempt, scan: proc.Scan, now: float) -> bool:
    """Ask or force the remaining processes of an attempt to end; return whether there are any."""
    assert attempt.deadline is not None
    marked = scan.marked.get(attempt.directory, ())
    attempt.sure = attempt.sure or any(group == attempt.group for _, group in marked)
    found = _members(attempt, scan)
    attempt.left = 2 if found else attempt.left - 1
    if not found and not attempt.running and attempt.left <= 0:  # the next scan finds processes made during this one
        return False
    if now >= attempt.deadline:
        _signal_group(attempt, signal.SIGKILL)
        _signal(found, signal.SIGKILL)
    else:
        _ask(attempt)
        if not attempt.asked_others:
            _signal([pid for pid, group in marked if group != attempt.group], signal.SIGTERM)
    attempt.asked_others = True
    if attempt.running and now < attempt.deadline:
        attempt.due = attempt.deadline  # its end is reported anyway
    else:
        attempt.due = now + (SLOW_SECONDS if now > attempt.deadline + STUBBORN_SECONDS else SCAN_SECONDS)
    return True


def _members(attempt: Attempt, scan: proc.Scan) -> list[int]:
    """Return the living processes of an attempt. Once empty, the group no longer counts as its own."""
    found = scan.members(attempt.directory, attempt.group if attempt.sure else 0)
    if not proc.has_proc() and attempt.sure and _exists(attempt.group):
        return [attempt.group]
    if attempt.sure and not attempt.running and attempt.group not in scan.groups:
        attempt.sure = False
    return found


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remark(attempt: Attempt, text: str) -> None:
    with suppress(OSError):
        if text:
            files.append(f"{attempt.directory}/{files.REMARKS}", f"\n{text}")


def _ask(attempt: Attempt) -> None:
    """Ask its group to end, once: processes that a program starts for its clean-up are not disturbed."""
    if attempt.sure and not attempt.asked:
        attempt.asked = True
        _signal_group(attempt, signal.SIGTERM)


def _signal_group(attempt: Attempt, number: signal.Signals) -> None:
    if attempt.sure:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(attempt.group, number)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
