"""The product as its users have it: the installed command, in a workspace of its own."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pytest

from fabric_jobs import state_dir as places
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection, Disconnected
from fabric_jobs.state_dir import Address
from tests import forks
from tests.forks import COMMAND as COMMAND
from tests.forks import Forked

PROJECT = "/fabric/v4/projects/local"
PATIENCE_SECONDS = 60.0
PRELUDE = """\
import json, os, sys
from pathlib import Path
ROOT = Path(os.environ["FABRIC_JOBS_WORKSPACE"])
from fabric_skill import flush, message, messages, send_message
"""

T = TypeVar("T")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(look: Callable[[], T | None], what: str, *, pause: float = 0.005) -> T:
    """Return the first true value of `look`, which is called every `pause` seconds; fail after PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(pause)
    return found


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON on its stdout."""
        return json.loads(self.out)


class Started:
    """A running command."""

    def __init__(self, process: Forked | subprocess.Popen[bytes], place: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._place = place

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_for(self, text: str) -> None:
        """Wait until it has printed `text` to stdout or stderr."""
        until(lambda: text in self._said("out") or text in self._said("err"), f"it says '{text}'")

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def finish(self) -> Ran:
        """Wait for its end, and return its result."""
        code = self._process.wait(PATIENCE_SECONDS)
        ran = Ran(code, self._said("out"), self._said("err"))
        assert not has_traceback(ran.err), ran.err
        return ran

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _said(self, stream: str) -> str:
        return (self._place / stream).read_text(errors="replace")


class Live:
    """A workspace with its state directory, and the command to use them."""

    gateway_inside = "http://127.0.0.1:"  # the beginning of the gateway's URL for a job
    end = signal.SIGKILL  # for an owner at the end of a test, to save the time of a goodbye
    brief_seconds = 1.0  # enough for a short program to start and end, even on a busy machine

    def __init__(self, root: Path, *, idle_seconds: float = 2.0) -> None:
        self.root = root
        self.warm = False  # whether jobs written from now on are forked
        self.state = root / ".fabric-jobs"
        self.tests_state = self.state / "tests"
        (root / "skills").mkdir(parents=True, exist_ok=True)
        self._started: list[Started] = []
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FABRIC_JOBS_", "CORTEX_"))}
        self.environment = {
            **kept,
            "FABRIC_JOBS_IDLE_SECONDS": str(idle_seconds),
            "PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}",
        }

    # The workspace.

    def skill(
        self,
        name: str,
        program: str,
        *,
        outputs: Sequence[str] = ("response",),
        prelude: str = PRELUDE,
        **action: Any,
    ) -> None:
        """Write a skill of one job action; its routing names the first of `outputs`."""
        short = name.rpartition("/")[2]
        directory = self.root / "skills" / name / "actions" / short
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "main.py").write_text(prelude + textwrap.dedent(program), encoding="utf-8")
        given = {
            "name": short,
            "type": "job",
            "image": f"test-{short.lower()}",
            "command": ["python", "main.py"],
            "response": "stdout",
            **({"warm": True} if self.warm else {}),
        }
        document = {
            "camel": "1.0.0",
            "name": name,
            "inputs": [
                {
                    "name": "request",
                    "routing": {"all": {"action": short, "runtime": "cortex/jobs", "output": outputs[0]}},
                }
            ],
            "outputs": [{"name": output} for output in outputs],
            "actions": [{**given, **action}],
        }
        (self.root / "skills" / name / "skill.yaml").write_text(json.dumps(document))

    def agent(self, name: str, *mappings: tuple[Any, ...], properties: Mapping[str, Any] | None = None) -> None:
        """Write an agent of the skills in its mappings. A mapping is (from, to), optionally with its other keys."""
        ends = [end.partition(".")[0] for mapping in mappings for end in mapping[:2]]
        skills = [end for end in dict.fromkeys(ends) if end not in ("input", "output")]
        document = {
            "camel": "1.0.0",
            "name": name,
            "skills": [{"skillName": skill} for skill in skills],
            "mappings": [{"from": item[0], "to": item[1], **(item[2] if item[2:] else {})} for item in mappings],
            "properties": [{"name": key, "value": value} for key, value in (properties or {}).items()],
        }
        (self.root / "agents").mkdir(exist_ok=True)
        (self.root / "agents" / f"{name}.yaml").write_text(json.dumps(document))

    def gate(self, name: str) -> Path:
        """Make a FIFO. A program that opens it for reading waits there until `release`."""
        path = self.root / name
        os.mkfifo(path)
        return path

    def release(self, gate: Path) -> None:
        """Let the program at a gate go on, now or when it arrives."""

        def opened() -> bool:
            try:
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return False  # nobody is reading it
            return True

        until(opened, f"a program waits at {gate.name}")

    def directory_inside(self, skill: str) -> str:
        """Return the working directory of a skill's program, as the program sees it."""
        return skill

    # The command.

    def run(self, *words: object, stdin: str | bytes | None = None, cwd: Path | None = None, **env: str) -> Ran:
        """Run `fabric-jobs` to its end."""
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        with memory(given) as taken, memory() as out, memory() as err:
            streams = {"stdin": taken.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            process = forks.start(
                list(map(str, words)), cwd=cwd or self.root, env={**self.environment, **env}, **streams
            )
            try:
                code = process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            said = [(file.seek(0), file.read())[1] for file in (out, err)]
        ran = Ran(code, said[0].decode(errors="surrogateescape"), said[1].decode(errors="replace"))
        assert words[:2] == ("tasks", "logs") or not has_traceback(ran.err), ran.err
        return ran

    def ok(self, *words: object, **options: Any) -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*words, **options)
        assert ran.code == 0, ran
        return ran

    def fails(self, code: int, *words: object, **options: Any) -> str:
        """Run a command that must fail; return its error output."""
        ran = self.run(*words, **options)
        assert ran.code == code, ran
        assert ran.err.strip(), "it says nothing"
        return ran.err

    def invoke(self, name: str, payload: object = None, *words: object, kind: str = "skills") -> Any:
        """Invoke and return the activation record."""
        return self.ok(kind, "invoke", name, "--payload", json.dumps(payload), "--output", "json", *words).value

    def fail(self, name: str, payload: object = None, *, kind: str = "skills") -> tuple[Any, str]:
        """Invoke with a failure expected; return the activation record and the error output."""
        ran = self.run(kind, "invoke", name, "--payload", json.dumps(payload), "--output", "json")
        assert ran.code == 1, ran
        return ran.value, ran.err

    def detach(self, name: str, payload: object = None, *, kind: str = "skills") -> str:
        """Invoke without waiting; return the activation's id."""
        return self.ok(kind, "invoke", name, "--payload", json.dumps(payload), "--detach").out.strip()

    def wait(self, activation: str) -> Any:
        """Return the record of an activation once it has ended."""
        return json.loads(self.run("activations", "wait", activation, "--output", "json", "-q").out)

    def start(self, *words: object, **env: str) -> Started:
        """Start `fabric-jobs` without waiting. It ends with the test."""
        place = self.root.parent / f"started-{len(self._started)}"
        place.mkdir()
        with open(os.devnull) as nothing, open(place / "out", "wb") as out, open(place / "err", "wb") as err:
            streams = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
            process = forks.start(list(map(str, words)), cwd=self.root, env={**self.environment, **env}, **streams)
        self._started.append(Started(process, place))
        return self._started[-1]

    # The owner.

    def address(self) -> Address | None:
        """Return the owner's published address; None if there is none."""
        return places.read_address(self.state)

    def published(self) -> Address:
        """Wait for an owner, and return its address."""
        return until(self.address, "an owner")

    def get(self, path: str) -> Any:
        """Return the JSON of a GET below the project. Wait for an owner that answers."""
        return json.loads(until(lambda: self._answer(path), f"an answer to {path}").body)

    def progress(self, activation: str) -> dict[str, dict[str, Any]]:
        """Return the progress of an activation by skill."""
        return until(lambda: self.glance(activation), f"the progress of {activation}")

    def glance(self, activation: str) -> dict[str, dict[str, Any]]:
        """Return the progress of an activation by skill; empty while there is no owner."""
        answer = self._answer(f"/activations/{activation}/follow?after=1000000")
        return {} if answer is None else {node["skill"]: node for node in json.loads(answer.body)["progress"]}

    def _answer(self, path: str) -> Answer | None:
        address = self.address()
        if address is None:
            return None
        connection = Connection(address.socket, address.token)
        try:
            answer = connection.request("GET", PROJECT + path, timeout=10)
        except Disconnected:
            return None
        finally:
            connection.close()
        assert answer.status in (200, 503), answer  # 503: it is ending
        return answer if answer.status == 200 else None

    def owner(self) -> int:
        """Return the process id of the owner."""
        return self.published().pid

    def kill_owner(self) -> None:
        """Kill the owner with -9, and wait until it is gone."""
        pid = self.owner()
        os.kill(pid, signal.SIGKILL)
        until(lambda: _is_gone(pid), "the end of the owner")

    def stop_owner(self) -> None:
        """Ask the owner to end, if it still runs, and wait for its end."""
        found = self.address()
        if found is not None:
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGTERM)
        until(lambda: not _is_held(self.state / "owner.lock"), "the end of the owner")

    def attempts(self, skill: str) -> list[Path]:
        """Return the directories of the attempts of a skill, oldest first."""
        found = (self.state / "attempts").glob(f"local-{skill}-*")
        return sorted(found, key=lambda path: path.stat().st_ctime_ns)

    def close(self) -> None:
        """End every process of this workspace, by its id."""
        for started in self._started:
            started.kill()
        for state in (self.state, self.tests_state):
            _end_owner(state, self.end)


def _end_owner(state: Path, number: signal.Signals) -> None:
    """End the owner of a state directory, and the remaining processes of its attempts."""
    while _is_held(state / "owner.lock"):
        address = places.read_address(state)
        if address is not None:
            with suppress(ProcessLookupError):
                os.kill(address.pid, number)
        time.sleep(0.005)
    for begun in (state / "attempts").glob("*/begun"):
        pid = _pid(begun.parent)
        with suppress(OSError):
            if not (begun.parent / "exit").exists() and str(begun.parent).encode() in environment_of(pid):
                os.killpg(pid, signal.SIGKILL)


@contextmanager
def memory(content: bytes = b"") -> Iterator[BinaryIO]:
    """Yield a file in memory, at its beginning."""
    with open(os.memfd_create("said"), "r+b", buffering=0) as file:
        file.write(content)
        file.seek(0)
        yield file


def has_traceback(said: str) -> bool:
    """Tell whether a command crashed. A traceback in a job's last lines does not count: it is indented."""
    return any(line.startswith("Traceback") for line in said.splitlines())


def kill_attempt(directory: Path) -> None:
    """Kill the shim of a workspace with -9. This attempt is lost, and so are all others that run there."""
    for lock in (directory.parent.parent / "shims").glob("*.lock"):
        if lock.stem != "start" and _is_held(lock):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ends with its last program
                os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
            until(lambda held=lock: not _is_held(held), "the end of the shim")  # type: ignore[misc]


def program_of(directory: Path) -> int:
    """Return the process id of an attempt's program."""
    return until(lambda: _pid(directory), "the program of the attempt")


def environment_of(pid: int) -> bytes:
    """Return the variables that a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def records(pages: str) -> list[Any]:
    """Return the values of NDJSON."""
    return [json.loads(line) for line in pages.splitlines()]


def live(tmp_path: Path) -> Iterator[Live]:
    """Yield a workspace whose processes end with the test."""
    made = Live(tmp_path / "w")
    try:
        yield made
    finally:
        made.close()


live_fixture = pytest.fixture(name="live")(live)


def names(rows: Iterable[Mapping[str, Any]], key: str = "name") -> list[str]:
    """Return one column."""
    return [row[key] for row in rows]


def _pid(directory: Path) -> int:
    try:
        return int((directory / "begun").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _is_held(lock: Path) -> bool:
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextmanager
def laptop_of(live: Live, place: Path) -> Iterator[Live]:
    """Invoke the skill `echo` of a served workspace; yield another workspace, whose user has a configuration of their own."""
    live.skill("echo", "print(message()['payload'], end='')")
    live.invoke("echo", 0)
    made = Live(place / "laptop" / "w")
    made.environment["FABRIC_JOBS_CONFIG_DIR"] = str(place / "config")
    try:
        yield made
    finally:
        made.close()
