"""Manages the template processes of a shim: which program is forked from which, and when one is replaced.

`template` describes the protocol. A template process belongs to one program in one environment, and forks a child for each
attempt. Attempts wait until it is ready. If it refuses, or dies before it is ready, they start cold.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from . import proc
from .spawn import CannotRun, spawn_template

TYPE_CHECKING = False  # `typing` and `dataclasses` are slow to import
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Users(Protocol):
        """Hears about forked attempts."""

        def begun(self, name: str, pid: int) -> None:
            """The child of an attempt exists. It has not run a line of its program yet."""

        def ended(self, name: str, pid: int, code: int, reap: Callable[[], None]) -> None:
            """A child has ended. Call `reap()` once its exit code is written."""

        def cold(self, request: dict[str, Any], remark: str) -> None:
            """The attempt must start cold."""


PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "warm", "run_template.py")
CHECK_SECONDS = 1.0  # between two checks of files that are not the program's own
REFUSAL_SECONDS = 60.0  # how long a program starts cold before another try, unless a file changes
SEND_SECONDS = 5.0  # a template process that does not read its request is then killed
MOST = 64  # template processes
TRIES = 3  # of an attempt whose template process dies
TAKEN = 1 << 16  # bytes
MARK_BYTES = 1024  # room for an attempt's mark
PR_SET_CHILD_SUBREAPER = 36


class Template:
    """One template process."""

    def __init__(self, key: str, pid: int, control: socket.socket, places: tuple[str, ...]) -> None:
        self.key = key
        self.pid = pid
        self.control = control
        self.places = places  # directories whose files are the program's own
        self.text = b""  # an incomplete line
        self.ready = False
        self.files: dict[str, list[int]] = {}
        self.own: list[str] = []  # of these, the program's own
        self.checked = 0.0
        self.waiting: dict[str, dict[str, Any]] = {}  # requests by name, not sent yet
        self.asked: dict[str, dict[str, Any]] = {}  # sent, not answered yet
        self.children: set[int] = set()
        self.retired = False  # it forks nothing more

    @property
    def idle(self) -> bool:
        """Whether no attempt depends on it."""
        return not (self.waiting or self.asked or self.children)


class Refusal:
    """A program that cannot be forked."""

    def __init__(self, why: str, files: dict[str, list[int]], own: list[str], until: float, checked: float) -> None:
        self.why = why
        self.files = files
        self.own = own
        self.until = until
        self.checked = checked


class Templates:
    """All template processes of a shim."""

    def __init__(self, poll: select.poll, users: Users) -> None:
        """Register template processes at `poll`; call `serve` for those that are readable."""
        self._poll = poll
        self._users = users
        self._by_key: dict[str, Template] = {}
        self._by_descriptor: dict[int, Template] = {}
        self._refusals: dict[str, Refusal] = {}
        self._tries: dict[str, int] = {}  # of attempts whose template process died

    @property
    def expects_children(self) -> bool:
        """Whether a child may exist that is not known yet."""
        return any(template.asked for template in self._by_descriptor.values())

    def start(self, request: dict[str, Any]) -> bool:
        """Fork an attempt, now or later. If it must start cold, return False and put a remark into the request."""
        key = _key(request)
        refusal = self._refusals.get(key)
        if refusal is not None:
            if time.monotonic() < refusal.until and not _changed(refusal):
                request["remark"] = refusal.why
                return False
            del self._refusals[key]
        template = self._by_key.get(key)
        if template is not None and template.ready and _changed(template):
            self._retire(template)
            template = None
        if template is None:
            template = self._make(key, request)
        if template is None:
            return False
        template.waiting[request["name"]] = request
        if template.ready:
            self._ask(template)
        return True

    def withdraw(self, name: str) -> bool:
        """Withdraw an attempt that waits; return False if its fork was requested already."""
        return any(template.waiting.pop(name, None) for template in self._by_descriptor.values())

    def serves(self, descriptor: int) -> bool:
        """Tell whether a descriptor belongs to a template process."""
        return descriptor in self._by_descriptor

    def serve(self, descriptor: int) -> None:
        """Read what a template process or its child reports."""
        template = self._by_descriptor[descriptor]
        while True:
            try:
                found = template.control.recv(TAKEN)
            except BlockingIOError:
                return
            except OSError:
                found = b""
            if not found:
                self._lose(template)
                return
            *lines, template.text = (template.text + found).split(b"\n")
            for line in lines:
                self._hear(template, json.loads(line))

    def serve_all(self) -> None:
        """Read all reports, before ended processes are reaped."""
        for descriptor in list(self._by_descriptor):
            if descriptor in self._by_descriptor:
                self.serve(descriptor)

    def _hear(self, template: Template, said: dict[str, Any]) -> None:
        if "ready" in said:
            template.ready, template.files, template.checked = True, said["files"], time.monotonic()
            template.own = _own(template.files, template.places)
            self._ask(template)
        elif "cold" in said:
            self._refuse(template, said["cold"], said["files"])
        elif "started" in said:
            if template.asked.pop(said["started"], None) is not None:
                template.children.add(said["pid"])
                self._users.begun(said["started"], said["pid"])
        elif "ended" in said:
            template.asked.pop(said["ended"], None)
            template.children.add(said["pid"])
            self._users.ended(said["ended"], said["pid"], said["code"], lambda: self._reap(template, said["pid"]))
        elif "failed" in said and (request := template.asked.pop(said["failed"], None)) is not None:
            self._users.cold(request, "")

    def _ask(self, template: Template) -> None:
        waiting, template.waiting = template.waiting, {}
        template.asked |= waiting
        for name, request in waiting.items():
            words, warm = request["words"], request["warm"]
            own = {each: value for each, value in request["environment"].items() if each in warm["own"]}
            directory = request["directory"]
            self._say(
                template,
                start=name,
                arguments=words[len(warm["words"]) :],
                environment=own,
                stdout=f"{directory}/stdout",
                stderr=f"{directory}/stderr",
                directory=request["cwd"],
            )

    def _reap(self, template: Template, pid: int) -> None:
        template.children.discard(pid)
        if template.control.fileno() >= 0:
            self._say(template, reap=pid)
            self._let_go(template)

    def _say(self, template: Template, **what: Any) -> None:
        template.control.settimeout(SEND_SECONDS)
        try:
            template.control.sendall(json.dumps(what).encode() + b"\n")
        except OSError:  # it died or hangs; its end is reported
            with suppress(ProcessLookupError):
                os.kill(template.pid, signal.SIGKILL)
        template.control.setblocking(False)

    def _make(self, key: str, request: dict[str, Any]) -> Template | None:
        self._make_room()
        warm = request["warm"]
        mark = "x" * max(MARK_BYTES, 2 * len(request["directory"]))
        kept = {name: value for name, value in request["environment"].items() if name not in warm["own"]}
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        options = warm["words"][: 1 + warm["options"]]
        try:
            _adopt_orphans()
            words = [*options, PROGRAM, str(theirs.fileno())]
            pid = spawn_template({**request, "words": words, "environment": {**kept, proc.MARK: mark}})
        except (OSError, ValueError, CannotRun):
            ours.close()
            return None  # a cold start reports the error
        finally:
            theirs.close()
        template = Template(key, pid, ours, (request["cwd"], warm["workspace"]))
        self._by_key[key] = self._by_descriptor[ours.fileno()] = template
        self._poll.register(ours.fileno(), select.POLLIN)
        about = {name: warm[name] for name in ("kind", "target", "words", "preload")}
        self._say(template, **about, mark=proc.MARK)
        return template

    def _make_room(self) -> None:
        idle = [template for template in self._by_key.values() if template.idle]
        for template in idle[: max(0, len(self._by_descriptor) + 1 - MOST)]:
            self._retire(template)

    def _retire(self, template: Template) -> None:
        """Let it end after its last child."""
        if self._by_key.get(template.key) is template:
            del self._by_key[template.key]
        template.retired = True
        self._let_go(template)

    def _let_go(self, template: Template) -> None:
        if template.retired and template.idle:
            self._forget(template)

    def _forget(self, template: Template) -> None:
        if self._by_key.get(template.key) is template:
            del self._by_key[template.key]
        self._poll.unregister(template.control.fileno())
        del self._by_descriptor[template.control.fileno()]
        template.control.close()

    def _refuse(self, template: Template, why: str, files: dict[str, list[int]]) -> None:
        now = time.monotonic()
        if self._by_key.get(template.key) is template:
            del self._by_key[template.key]
        self._refusals[template.key] = Refusal(
            f"starts cold: {why}", files, _own(files, template.places), now + REFUSAL_SECONDS, now
        )
        waiting, template.waiting = template.waiting, {}
        for request in waiting.values():
            self._users.cold(request, f"starts cold: {why}")

    def _lose(self, template: Template) -> None:
        """Note its end. A request without an answer has no child, since each child reports first."""
        self._forget(template)
        left = {**template.asked, **template.waiting}
        template.asked, template.waiting = {}, {}
        for name, request in left.items():
            self._tries[name] = self._tries.get(name, 0) + 1
            if self._tries[name] >= TRIES:
                self._refuse(template, "its template process has died", {})
            if not self.start(request):
                self._users.cold(request, request.pop("remark", ""))
        if not self._by_descriptor:
            self._tries.clear()


def _key(request: dict[str, Any]) -> str:
    warm = request["warm"]
    kept = {name: value for name, value in request["environment"].items() if name not in warm["own"]}
    program = [warm[name] for name in ("kind", "target", "words", "preload")]
    return json.dumps([program, request["cwd"], request["umask"], request["hold"], kept], sort_keys=True)


def _changed(known: Template | Refusal) -> bool:
    """Tell whether files have changed since they were read. Those that are not the program's own are checked less often."""
    now = time.monotonic()
    looked_at: Iterable[str] = known.own
    if now - known.checked >= CHECK_SECONDS:
        known.checked, looked_at = now, known.files
    return any(_stamp(path) != known.files[path] for path in looked_at)


def _own(files: Iterable[str], places: Iterable[str]) -> list[str]:
    """Return the files that the author may change at any time: those in the program's places, except installed packages."""
    below = tuple(f"{place.rstrip('/')}/" for place in places if place)
    return [path for path in files if f"{path}/".startswith(below) and "/site-packages/" not in path]


def _stamp(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size]


def _adopt_orphans() -> None:
    """Become the parent of children whose template process dies, to get their exit codes."""
    if sys.platform == "linux":
        import ctypes  # late: most shims never need it

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
