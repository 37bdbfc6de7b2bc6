"""Turns a forked child into the program, which must not notice any difference from a cold start. Standard library only."""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import os
import socket
import sys
import types
import weakref
from contextlib import suppress
from importlib.machinery import BuiltinImporter, SourceFileLoader
from json import dumps
from typing import Any

try:
    import ctypes

    _exit = ctypes.PyDLL(None).exit  # unlike the system's _exit, it flushes the buffers of C libraries
except (ImportError, OSError, AttributeError):  # a Python built without ctypes
    _exit = os._exit  # type: ignore[assignment]

# What Python deletes from `sys` before it finalises objects.
FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
FORGOTTEN = ("path", "argv", "path_hooks", "path_importer_cache", "meta_path")
LAST = ("ps1", "ps2", "last_exc", "last_type", "last_value", "last_traceback", "__interactivehook__")
UNKNOWN = 256  # an exit code that only Python itself can tell
OURS = frozenset({__file__, os.path.join(os.path.dirname(os.path.abspath(__file__)), "run_template.py")})

_before = 0  # the number of modules shared by all children
_kept: list[Any] = []  # kept to avoid freeing it page by page before the end
_own: list[weakref.ref[types.ModuleType]] = []  # modules of the program
_ending: list[int] = []  # the exit code of a program that has finished


class Program:
    """The program of one template process."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._kind, self._target = wanted["kind"], wanted["target"]
        self._words: list[str] = wanted["words"]  # the command line without the arguments
        self._mark = _Memory("environ", 50, wanted.get("mark", ""))
        self._title = _Memory("cmdline", 48)
        self.run: Any = None
        self.given: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Make this process look like the program's to modules that are imported."""
        for step in (_end, gc.collect, _clear, gc.collect, _let_go):  # exit handlers run in reverse order
            atexit.register(step)  # one by one, so that finalisers in between have no frame of ours below them
        self._is_archive = self._kind == "script" and _has_modules(self._target)
        first = {"code": "", "module": os.getcwd()}.get(self._kind, os.path.dirname(os.path.realpath(self._target)))
        if self._is_archive:
            sys.path.insert(0, os.path.join(os.getcwd(), self._target))
        elif not getattr(sys.flags, "safe_path", sys.flags.isolated):  # safe_path: since 3.11
            sys.path.insert(0, first)
        if self._is_archive or self._kind == "module":
            import runpy

            self._runpy = runpy
        _kept.append(sys.modules["__main__"])
        self._main = self._become([])

    def begin(self, order: dict[str, Any], control: socket.socket) -> Program:
        """Become an attempt, with its session, files and variables, and report it; then be ready to run."""
        os.setsid()
        for number, name in ((1, "stdout"), (2, "stderr")):
            opened = os.open(order[name], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        os.chdir(order["directory"])
        os.environ.update(order["environment"])
        self._mark.write(order["environment"].get(self._mark.name, "").encode(errors="surrogateescape"))
        self._title.write("\0".join(self._words).encode(errors="surrogateescape"))
        numbers = sys.modules.get("numpy.random")
        if numbers is not None:
            numbers.seed()  # `random` reseeds itself
        for path in [path for path, finder in sys.path_importer_cache.items() if finder is None]:
            del sys.path_importer_cache[path]  # the path may exist by now
        self._main = self._become(order["arguments"])
        control.sendall(dumps({"started": order["start"], "pid": os.getpid()}).encode() + b"\n")
        control.close()
        return self

    def _become(self, arguments: list[str]) -> types.ModuleType:
        name = {"code": "-c", "module": "-m"}.get(self._kind, self._target)
        sys.argv = [name, *arguments]
        sys.orig_argv = [*self._words, *arguments]
        main = types.ModuleType("__main__")
        if sys.version_info < (3, 14):
            vars(main)["__annotations__"] = {}
        vars(main)["__builtins__"] = sys.modules["builtins"]
        sys.modules["__main__"] = main
        return main

    def load(self) -> None:
        """Set what `run(*given)` runs. It is called with only one line of ours below it."""
        if self._kind == "module" or self._is_archive:
            self.run = self._runpy._run_module_as_main  # type: ignore[attr-defined]
            self.given = ("__main__", False) if self._is_archive else (self._target, True)
            return
        space = self._main.__dict__
        if self._kind == "code":
            space["__loader__"] = BuiltinImporter
            text, path = self._target.encode(errors="surrogateescape"), "<string>"
        else:
            path = os.path.join(os.getcwd(), self._target)
            space.update(__loader__=SourceFileLoader("__main__", path), __file__=path, __cached__=None)
            text = _source(path)
        code = compile(text, path, "exec", dont_inherit=True)
        if self._kind == "code":
            _show_source(code, self._target)
        self.run, self.given = exec, (code, space)

    def __enter__(self) -> None:
        """Let the program run."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        """Hide our own lines from its traceback, and note how it ended. Python itself does the rest."""
        if error is not None:
            inner = error.__traceback__
            while inner is not None and inner.tb_frame.f_code.co_filename in OURS:
                inner = inner.tb_next
            error.__traceback__ = inner
        _ending[:] = [_code(error)]
        self.run, self.given = None, ()
        del self._main


class _Memory:
    """Memory that the kernel shows as this process's environment or command line, and that can be overwritten."""

    def __init__(self, file: str, field: int, name: str = "") -> None:
        self.name = name
        self._at = self._size = 0
        with suppress(OSError, ValueError, IndexError):  # another system, or not permitted
            with open("/proc/self/stat", "rb") as stat:
                start = int(stat.read().rpartition(b")")[2].split()[field - 3])
            with open(f"/proc/self/{file}", "rb") as shown:
                text = shown.read()
            before = f"{name}=".encode() if name else b""
            at = (b"\0" + text).index(b"\0" + before) + len(before)
            self._size = (text.index(b"\0", at) if name else len(text)) - at
            self._at = start + at

    def write(self, value: bytes) -> None:
        """Overwrite it, as far as there is room."""
        if not value or len(value) >= self._size:
            return
        with suppress(OSError), open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(self._at)
            memory.write(value.ljust(self._size, b"\0"))


def _show_source(code: types.CodeType, text: str) -> None:
    """Let tracebacks show the lines of a `-c` program, as Python itself does since 3.13."""
    if sys.version_info >= (3, 13):
        import linecache

        key = code if hasattr(linecache, "_code_key") else code.co_filename  # 3.13.0 looks it up by name
        with suppress(AttributeError, TypeError):
            linecache._register_code(key, text, code.co_filename)


def _source(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.orig_argv[0]}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(2) from None


def _has_modules(path: str) -> bool:
    """Tell whether modules can be imported from a path, as a directory or an archive."""
    for hook in sys.path_hooks:
        with suppress(ImportError):
            hook(path)
            return True
    return False


def settle() -> None:
    """Note which modules exist before a child is forked."""
    global _before
    _before = len(sys.modules)


def _code(error: BaseException | None) -> int:
    """Return the exit code for a program's end; UNKNOWN if only Python itself can tell."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return UNKNOWN
    if not isinstance(error, SystemExit):
        return 1 if sys.excepthook is sys.__excepthook__ else UNKNOWN
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF if abs(error.code) < 1 << 62 else UNKNOWN
    return 1


# The functions below, in this order, end the process instead of finalising Python, which would touch all memory shared with
# the template process. They start after all exit handlers have run and all threads have ended. If something is unusual, they
# do nothing, and Python ends as usual.


def _let_go() -> None:
    """Forget all modules. Nothing else holds those of the program."""
    if not _ending or _ending[0] == UNKNOWN:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        _ending.clear()
        return
    # Touching a shared object copies its page, so shared modules are left alone.
    names = ["__main__", *itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - _before))]
    own = [module for name in names if isinstance(module := sys.modules.pop(name, None), types.ModuleType)]
    _own.extend(map(weakref.ref, own))
    for name in FORGOTTEN:
        if name in sys.__dict__:
            _kept.append(sys.__dict__[name])
            setattr(sys, name, None)
    for name in LAST:
        if name in sys.__dict__:
            setattr(sys, name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, sys.__dict__.get(f"__{name}__"))
    sys.modules.pop("io", None)  # otherwise Python would still show source lines
    _write_files()  # the collector may close a file's descriptor before its buffer is flushed


def _write_files() -> None:
    """Flush the buffers of open files."""
    for each in gc.get_objects():
        if isinstance(each, FILES) and not each.closed:
            with suppress(OSError, ValueError):
                each.flush()


def _clear() -> None:
    """Empty the program's modules that are still alive, the last one first."""
    for module in [found for each in _own if (found := each()) is not None]:
        space = module.__dict__
        for is_late in (False, True):
            for name in list(space):
                if name != "__builtins__" and (is_late or (name[0] == "_" and name[1:2] != "_")):
                    space[name] = None


def _end() -> None:
    """Flush what is left, and end."""
    if not _ending or _ending[0] == UNKNOWN:
        return
    _write_files()  # files held by a shared module
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
    _exit(_ending[0])
