"""The local executor: an attempt is a process group, and everything about it is in one directory.

    <root>/<name>/lock     held by the wrapper while it lives; tells running from gone
                  pid      of the wrapper, which leads the process group
                  exit     the exit code, written by the wrapper
                  stopped  somebody asked it to stop
                  note, remarks, install.log, unprepared: see `note`, and `fabric_jobs.executors.install`
                  stdout, stderr, index, and the attempt's files

The wrapper is a shell of a few lines: it survives the process that started it, and its lock needs no clean-up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import (
    attempt_files,
    become,
    descriptors,
    log_index,
    log_pages,
    ports,
    processes,
    program,
    proxies,
)
from fabric_jobs.executors.base import (
    LOST,
    STOPPED,
    STREAMS,
    UNPREPARED,
    AttemptExit,
    AttemptSpec,
    Doors,
    Inside,
    LogPage,
    LogQuery,
    Note,
    ProcessSpec,
)
from fabric_jobs.executors.log_index import LogIndex

# Standard input is the lock, so that the program, which gets another one, does not hold it. The traps keep the shell alive
# until the program has ended; a trapped signal has its default meaning again in the program. What the shell itself says,
# such as "Terminated", is not part of the program's log.
WRAPPER = (
    'trap : TERM INT HUP; umask 077; echo $$ >"$0/pid"; exec 3>&2 2>/dev/null; '
    '(%s"$@") </dev/null 2>&3 3>&-; echo $? >"$0/exit"'
)

START_SECONDS = 0.05  # a wrapper as old as this has started the program
PROGRAM_SECONDS = 10.0  # a wrapper has started its program by then, even on a busy machine
DESCRIPTORS = 3  # of this process, for one attempt: connections to the gateway
LEFT = "its program has ended, and has left running:"
LINE_BYTES, LINE_LENGTH = 2048, 70  # what is looked at for the last line of a log, and what is shown of it

TRY_AGAIN = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO})


class LocalExecutor:
    """Attempts as processes of this machine. See `fabric_jobs.executors.base.Executor` for what each method promises."""

    name = "local"

    def __init__(self, root: Path, doors: Doors | None = None) -> None:
        """Keep the attempts in directories under `root`; without `doors` the programs know no gateway."""
        self._root = root
        self._doors = doors
        self._changed: SimpleQueue[str | None] = SimpleQueue()
        self._watched: set[str] = set()
        self._ending: set[str] = set()  # names of those whose processes are being ended here
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._index = LogIndex()

    def inside(self, name: str) -> Inside:
        """Everything is what it is here."""
        url, path = (self._doors.url, self._doors.socket) if self._doors is not None else ("", "")
        return Inside(files=str(self._root / name), api_endpoint=f"{url}/px", socket=path)

    def start(self, spec: AttemptSpec) -> str:
        """Start the program in a process group of its own."""
        directory = self._root / spec.name
        with _translated():
            directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _take(lock) and not (directory / "pid").exists():
                    descriptors.admit(len(self._watched), DESCRIPTORS)
                    self._spawn(spec, directory, lock)
            finally:
                os.close(lock)
        self._watch(str(directory))
        return str(directory)

    def poll(self, handle: str) -> AttemptExit | None:
        """Look at the lock, then at the exit code."""
        directory = self._directory(handle)
        if _is_locked(directory):
            self._watch(handle)
            return None
        stopped = STOPPED if (directory / "stopped").exists() else ""
        with attempt_files.used(directory):
            code = _exit_code(directory)
            is_ending = bool(stopped) and directory.name in self._ending
            if is_ending or ((stopped or code != 0) and processes.members(directory)):
                if directory.name not in self._ending:
                    self.stop(handle, 0)
                return None  # its program has ended; what it has started has not, and the next attempt must not meet it
        if code is None:
            return AttemptExit(128 + signal.SIGKILL, STOPPED) if stopped else AttemptExit(None, LOST)
        if code and not stopped and (directory / "unprepared").exists():
            return AttemptExit(code, UNPREPARED)
        return AttemptExit(code, stopped)

    def stop(self, handle: str, grace: float) -> None:
        """TERM, a wait, KILL; to everything that the attempt has started, also when its program has ended."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            if _is_locked(directory):
                attempt_files.mark(directory / "stopped")
        self._ending.add(directory.name)
        threading.Thread(target=self._end, args=(handle, grace), name="attempt-stop", daemon=True).start()

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        """Read the file that the program writes to."""
        assert stream in STREAMS
        with attempt_files.used(self._directory(handle)):
            return log_pages.part(self._directory(handle) / stream, offset, limit)

    def merged(self, handle: str, limit: int) -> bytes:
        """Merge by the index of sizes over time."""
        with attempt_files.used(self._directory(handle)):
            return log_index.merged(self._directory(handle), limit)

    def address(self, handle: str) -> tuple[str, int]:
        """Read the port that was given to the program, and look what it listens on."""
        return ports.address(self._directory(handle))

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Read the files, by the same index."""
        try:
            return log_pages.page(self._directory(handle), query)
        except OSError as error:
            raise ExecutorUnavailable(f"the log in {handle} cannot be read: {error}") from error

    def note(self, handle: str) -> Note:
        """Read what the attempt says while it is prepared, and what was remarked at its start."""
        directory = self._directory(handle)
        doing = _text(directory / "note")
        if doing.startswith("installing"):
            doing = f"{doing}: {_last_line(directory / 'install.log')}".removesuffix(": ")
        return Note(doing=doing, remarks=tuple(_text(directory / "remarks").splitlines()))

    def remove(self, handle: str) -> None:
        """Delete the directory of an ended attempt."""
        directory = self._directory(handle)
        if not _is_locked(directory):
            shutil.rmtree(directory, ignore_errors=True)

    def changed(self) -> tuple[str, ...]:
        """Wait for a lock to be let go."""
        handle = self._changed.get()
        return () if handle is None else (handle,)

    def wake(self) -> None:
        """End one `changed`."""
        self._changed.put(None)

    def close(self) -> None:
        """End `changed`; attempts run on."""
        self._index.close()
        self._changed.put(None)
        for child in self._children.values():
            child.returncode = 0  # it outlives this process on purpose; init will reap it

    def _end(self, handle: str, grace: float) -> None:
        directory = self._directory(handle)
        try:
            with suppress(OSError, ExecutorUnavailable):
                _await_program(directory)
                processes.end(directory, lambda: _is_locked(directory), grace)
        finally:
            self._ending.discard(directory.name)
            self._changed.put(handle)

    def _spawn(self, spec: AttemptSpec, directory: Path, lock: int) -> None:
        process = spec.processes[0]
        for name, content in spec.files.items():
            (directory / name).write_bytes(content)
        found = program.find(process)
        own = dict(process.environment)
        if process.port:
            found, own = ports.give(found, own, process.port, directory)
        given = program.given(process)
        environment = {**given, "PYTHONUNBUFFERED": "1", **found.variables, **own, processes.OWN: str(directory)}
        paths = [str(program.RUNTIME), *(each.get("PYTHONPATH") for each in (given, found.variables, own))]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        environment |= proxies.direct(environment, process.gateway)
        words, environment = become.carried(found.words, environment)
        with ExitStack() as stack:
            words, held = _ready(found._replace(words=words), directory)
            for descriptor in held:
                stack.callback(os.close, descriptor)
            child = subprocess.Popen(
                ["/bin/sh", "-c", _wrapper(process), str(directory), *words],
                cwd=found.directory,
                env=environment,
                stdin=lock,
                stdout=stack.enter_context(open(directory / "stdout", "ab")),
                stderr=stack.enter_context(open(directory / "stderr", "ab")),
                pass_fds=held,
                start_new_session=True,
            )
        self._children[str(directory)] = child

    def _directory(self, handle: str) -> Path:
        """Return where an attempt is now: a state directory may have been moved, or be the copy of another one."""
        return self._root / Path(handle).name

    def _watch(self, handle: str) -> None:
        if handle in self._watched:
            return
        self._watched.add(handle)
        try:
            self._index.follow(self._directory(handle))
            threading.Thread(target=self._await_end, args=(handle,), name="attempt-watch", daemon=True).start()
        except RuntimeError as error:  # there are too many threads
            self._watched.discard(handle)
            raise ExecutorUnavailable(f"nothing can wait for attempt {Path(handle).name}: {error}.") from error

    def _await_end(self, handle: str) -> None:
        directory, child = self._directory(handle), self._children.get(handle)
        with suppress(OSError):  # out of descriptors, or a bad disk: who polls next finds out, or waits again
            if child is not None:
                child.wait()  # a wait by the lock would need a descriptor
            else:
                _wait_unlocked(directory)
            _look_back(directory)
        self._children.pop(handle, None)
        self._index.forget(directory)
        self._watched.discard(handle)
        self._changed.put(handle)


def _wrapper(process: ProcessSpec) -> str:
    limit = descriptors.of_programs()
    return WRAPPER % (f"umask {processes.umask(process)}; " + ("" if limit is None else f"ulimit -Sn {limit}; "))


def _look_back(directory: Path) -> None:
    """Sync how an attempt has ended, and remark what it has left running, unless somebody ends that too."""
    if _exit_code(directory) == 0 and not (directory / "stopped").exists():
        left = [f"{LEFT} {each}" for each in processes.left_behind(directory)]
        if left:
            attempt_files.write(directory / "remarks", "\n".join((*_text(directory / "remarks").splitlines(), *left)))


def _exit_code(directory: Path) -> int | None:
    """Return the exit code of a program that has ended, once it is on the disk; None when nobody knows it."""
    try:
        text = (directory / "exit").read_text()
    except FileNotFoundError:
        return None
    if not text.endswith("\n") or not text.strip().isdecimal():
        return None  # half of it was written when the power went, or the disk was full
    attempt_files.sync(directory / "exit", directory)
    return int(text)


def _ready(found: program.Program, directory: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the words to run, and the descriptors that have to stay open as long as they run."""
    if found.remarks:
        (directory / "remarks").write_text("\n".join(found.remarks), encoding="utf-8")
    if found.environment is None:
        return found.words, ()
    from fabric_jobs.executors import environments, install  # late: most actions need no environment

    held = environments.hold(found.environment)
    if held is not None:
        return found.words, (held,)
    install.say(directory, install.INSTALLING)
    return install.command(found.environment, directory, found.words), ()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in TRY_AGAIN:
            raise ExecutorUnavailable(f"no process can be started: {error.strerror}.") from error
        what = "its arguments and variables are too long" if error.errno == errno.E2BIG else str(error)
        raise InvalidInput(f"the program cannot be started: {what}.") from error
    except ValueError as error:  # a null byte in an argument or a variable
        raise InvalidInput(f"the program cannot be started: {error}.") from error


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(directory: Path) -> bool:
    try:
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ExecutorUnavailable(f"{directory} cannot be read: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _wait_unlocked(directory: Path) -> None:
    with suppress(FileNotFoundError):
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.close(lock)


def _await_program(directory: Path) -> None:
    """Wait until the program has been started: a signal before that reaches the wrapper only, which does not pass it on."""
    deadline = time.monotonic() + PROGRAM_SECONDS
    seen: float | None = None
    while _is_locked(directory) and time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            age = time.time() - (directory / "pid").stat().st_mtime  # wrong where the time of day was changed meanwhile
            seen = time.monotonic() if seen is None else seen
            if age >= START_SECONDS or time.monotonic() - seen >= START_SECONDS:
                return
        time.sleep(0.01)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it says nothing, or it is gone
        return ""


def _last_line(path: Path) -> str:
    """Return the last whole line of a log, as far as people want to see it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LINE_BYTES))
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return ""
    whole = [line.strip() for line in lines if line.endswith("\n") and line.strip()]
    return whole[-1][:LINE_LENGTH] if whole else ""
