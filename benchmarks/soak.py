"""Activations of an agent with five skills and a fan-out, some at a time, while the owner and tasks are killed with -9.

Nothing may be lost or doubled, and every activation has to end. A seed chooses the victims; when a kill meets them is up to
the machine. Only processes of this workspace are killed: each is checked by what it was started with.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import workspace, write_daemon, write_skill
from fabric_jobs import state_dir as places
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

RECORDS = 40  # that the source sends
SINGLE = 3  # of these get a task each
STUCK_SECONDS = 120.0  # without any event
PAUSE_SECONDS = (0.1, 0.9)  # between two kills
OWNER_SHARE = 0.15  # of the kills
LOST_LIMIT = 2  # kills of the shim per task, which may lose three attempts
PROC = Path("/proc")

SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message({"n": n})
"""
STREAM = """
import time
from fabric_skill import messages, send_message
for record in messages():
    time.sleep(0.002)
    send_message({"by": "stream", "n": 2 * record["n"]})
"""
SINGLES = """
import json, sys
print(json.dumps({"by": "single", "n": 3 * json.loads(sys.argv[-1])["payload"]["n"]}))
"""
DAEMON = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        n = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["payload"]["n"]
        body = json.dumps({"payload": {"by": "daemon", "n": 5 * n}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
TOTAL = """
import json
from fabric_skill import messages
seen = {}
for record in messages(acknowledge="end"):
    seen.setdefault(record["by"], []).append(record["n"])
print(json.dumps(seen))
"""


def write_flow(root: Path) -> None:
    """Write the five skills and their agent: a source, three branches, and an aggregator."""
    retries = {"limit": 1000, "backoff_seconds": 0.05, "max_backoff_seconds": 0.2}
    write_skill(root, "source", SOURCE, response="stdout", retries=retries)
    write_skill(root, "stream", STREAM, receives="stream", retries=retries)
    write_skill(root, "single", SINGLES, workers=2, retries=retries)
    write_daemon(root, "daemon", DAEMON, concurrency=4, retries=retries)
    write_skill(root, "total", TOTAL, receives="stream", retries=retries)
    agent = {
        "camel": "1.0.0",
        "name": "flow",
        "skills": [{"skillName": name} for name in ("source", "stream", "single", "daemon", "total")],
        "mappings": [
            {"from": "input", "to": "source"},
            {"from": "source", "to": "stream"},
            {"from": "source", "to": "single", "when": {"n": {"lt": SINGLE}}},
            {"from": "source", "to": "daemon"},
            *({"from": name, "to": "total"} for name in ("stream", "single", "daemon")),
            {"from": "total", "to": "output"},
        ],
    }
    (root / "agents").mkdir()
    (root / "agents" / "flow.yaml").write_text(json.dumps(agent))


def expected() -> Counter[tuple[str, int]]:
    """Return the records that the aggregator must see, each once."""
    branches = {"stream": (2, RECORDS), "single": (3, SINGLE), "daemon": (5, RECORDS)}
    return Counter((name, times * n) for name, (times, count) in branches.items() for n in range(count))


def seen_by(response: Any) -> Counter[tuple[str, int]]:
    """Return the records that the aggregator reports."""
    if not isinstance(response, dict):
        return Counter()
    return Counter((name, n) for name, numbers in response.items() for n in numbers)


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A killed process."""

    at: float  # seconds since 1970
    what: str  # owner | program | shim
    attempt: str = ""  # its name; empty for the owner


@dataclass
class Killer:
    """Kills processes now and then, in a thread."""

    state: Path
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Kill until `done`."""
        lost: Counter[str] = Counter()  # by task
        while not self.done.wait(self.chance.uniform(*PAUSE_SECONDS)):
            if self.chance.random() < OWNER_SHARE:
                self._kill_owner()
                continue
            directories = sorted(live_attempts(self.state))
            what = self.chance.choice(("program", "program", "shim"))
            if not directories:
                continue
            directory = self.chance.choice(directories)
            if what == "shim":
                tasks = {directory.name.rpartition("-")[0] for directory in directories}
                if any(lost[each] >= LOST_LIMIT for each in tasks):
                    continue
                lost.update(tasks)
            self._kill(what, directory)

    def _kill_owner(self) -> None:
        address = places.read_address(self.state)
        if address is not None and kill(address.pid, str(self.state)):
            self.kills.append(Kill(at=time.time(), what="owner"))

    def _kill(self, what: str, directory: Path) -> None:
        shim, pid = begun(directory)
        mark = str(directory)
        if what == "shim":
            mark = str(self.state / "shims")
            with suppress(OSError, ValueError):
                pid = json.loads((self.state / "shims" / f"{shim}.lock").read_text())["pid"]
        if kill(pid, mark):
            self.kills.append(Kill(at=time.time(), what=what, attempt=directory.name))


def kill(pid: int, mark: str) -> bool:
    """Kill a process with -9 if its arguments or variables contain `mark`; return whether it did."""
    with suppress(OSError):
        handle = os.pidfd_open(pid)  # from now on the pid cannot be reused
        try:
            if mark.encode() not in started_with(pid):
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return True
        finally:
            os.close(handle)
    return False


def started_with(pid: int) -> bytes:
    """Return arguments and variables of a process; empty if it is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes() + b"\0" + (PROC / str(pid) / "environ").read_bytes()
    return b""


def begun(directory: Path) -> tuple[str, int]:
    """Return the shim of an attempt, and the pid of its program (0: unknown)."""
    with suppress(OSError, ValueError):
        shim, pid, *_ = (directory / "begun").read_text().split()
        return shim, int(pid)
    return "", 0


def live_attempts(state: Path) -> list[Path]:
    """Return the directories of attempts whose program is alive."""
    found = []
    for directory in places.attempts_dir(state).glob("*"):
        _, pid = begun(directory)
        if pid and not (directory / "exit").exists() and str(directory).encode() in started_with(pid):
            found.append(directory)
    return found


def processes(state: Path) -> list[int]:
    """Return the living processes of this workspace's attempts."""
    mark = f"FABRIC_JOBS_ATTEMPT_DIRECTORY={places.attempts_dir(state)}".encode()
    return [int(path.name) for path in PROC.glob("[0-9]*") if mark in started_with(int(path.name))]


@dataclass
class Soak:
    """The activations, and their outcomes."""

    root: Path
    activations: int
    at_once: int
    pending: set[str] = field(default_factory=set)
    started: int = 0
    lost: int = 0
    doubled: int = 0
    ended: int = 0
    problems: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.root / ".fabric-jobs"

    def run(self) -> None:
        """Run all activations, or stop if nothing moves any more."""
        gateway = Gateway(self.state)  # starts the owner, and another after each kill
        target = verbs.save_agent(gateway, Workspace(self.root), "flow", None)
        after, moved = 0, time.monotonic()
        while self.ended < self.activations:
            while self.started < self.activations and len(self.pending) < self.at_once:
                activation = secrets.token_hex(12)
                self.pending.add(activation)
                self.started += 1
                verbs.start(gateway, target, {"payload": RECORDS, "activationId": activation}, self.root)
            events = gateway.get("/events", after=after, wait=5.0)["events"]
            self.events += events
            if events:
                after, moved = events[-1]["number"], time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                self._note_stuck(gateway)
                return
            for event in events:
                if event["kind"] in ("activation.COMPLETE", "activation.ERROR", "activation.CANCELLED"):
                    self._check(gateway, event["activationId"])

    def _check(self, gateway: Gateway, activation: str) -> None:
        record = gateway.get(f"/activations/{activation}")
        self.pending.discard(activation)
        self.ended += 1
        seen = seen_by(record["response"])
        lost, doubled = expected() - seen, seen - expected()
        self.lost += lost.total()
        self.doubled += doubled.total()
        if record["status"] != "COMPLETE" or lost or doubled:
            self.problems.append(
                f"{activation} ended {record['status']}: {record.get('cause')}; lost {dict(lost)}, doubled {dict(doubled)}"
            )
        if self.ended % 20 == 0:
            print(f"  {self.ended} activations", file=sys.stderr)

    def _note_stuck(self, gateway: Gateway) -> None:
        for activation in sorted(self.pending):
            progress = gateway.get(f"/activations/{activation}/follow")["progress"]
            self.problems.append(f"{activation} does not go on: {json.dumps(progress)}")


def times_to_progress(kills: list[Kill], events: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the seconds to the first progress after each kill, by what was killed.

    After an owner's death, progress is the first event; after a task's death, the next running attempt. A kill of a task
    that had just ended has none.
    """
    found: dict[str, list[float]] = {}
    by_task: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_task.setdefault(event.get("name", ""), []).append(event)
    for kill_ in kills:
        task, _, number = kill_.attempt.rpartition("-")
        moves = events if kill_.what == "owner" else by_task.get(task, [])
        for event in moves:
            runs = event["kind"] == "task.ACTIVE" and event["attempt"] > int(number or 0)
            if event["at"] / 1000 > kill_.at and (kill_.what == "owner" or runs):
                found.setdefault(kill_.what, []).append(event["at"] / 1000 - kill_.at)
                break
    return found


def end_owner(state: Path) -> None:
    """End the owner as a user would, and kill whatever is left."""
    address = places.read_address(state)
    if address is None or str(state).encode() not in started_with(address.pid):
        return
    with suppress(OSError):
        handle = os.pidfd_open(address.pid)
        os.kill(address.pid, signal.SIGTERM)
        waited = time.monotonic()
        while started_with(address.pid) and time.monotonic() - waited < 30:
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activations", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seed", type=int, help="chooses the victims; printed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def log_of(state: Path) -> list[str]:
    """Return the lines of the owner's log with errors."""
    with suppress(OSError):
        lines = places.log_file(state).read_text(errors="replace").splitlines()
        found = [line for line in lines if " ERROR " in line or line.startswith("Traceback")]
        if found:
            print(*lines[-100:], sep="\n", file=sys.stderr)
        return found
    return []


def soak(root: Path, wanted: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run the soak test; return the result to print."""
    write_flow(root)
    run = Soak(root, wanted.activations, wanted.at_once)
    killer = Killer(run.state, random.Random(seed))
    thread = threading.Thread(target=killer.run)
    thread.start()
    began = time.monotonic()
    try:
        run.run()
    except FabricJobsError as error:
        run.problems.append(f"a call failed: {error}")
    finally:
        killer.done.set()
        thread.join()
        end_owner(run.state)
    left = processes(run.state)
    for pid in left:
        kill(pid, str(run.state))
    times = times_to_progress(killer.kills, run.events)
    everything = sorted(seconds for found in times.values() for seconds in found)
    errors = log_of(run.state)
    return {
        "seed": seed,
        "activations": run.activations,
        "seconds": round(time.monotonic() - began, 1),
        "ended": run.ended,
        "lost": run.lost,
        "doubled": run.doubled,
        "left_processes": len(left),
        "kills": dict(Counter(kill_.what for kill_ in killer.kills)),
        "restarts": {what: len(found) for what, found in times.items()},
        "seconds_to_progress": {
            "median": round(statistics.median(everything), 3) if everything else None,
            "longest": round(everything[-1], 3) if everything else None,
            **{what: round(statistics.median(found), 3) for what, found in times.items()},
        },
        "owner_errors": errors[:20],
        "problems": run.problems[:20],
        "ok": not run.problems and not left and not errors and run.ended == run.activations,
    }


def main() -> None:
    """Run and print; exit 1 if anything was lost, doubled, left over or endless."""
    wanted = arguments()
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", file=sys.stderr)
    with workspace() as root:
        found = soak(root, wanted, seed)
    if wanted.json:
        print(json.dumps(found))
    else:
        print(
            f"soak: {found['lost']} lost, {found['doubled']} doubled, {found['ended']} of {found['activations']} ended"
        )
        for key, value in found.items():
            print(f"  {key}: {value}")
    sys.exit(0 if found["ok"] else 1)


if __name__ == "__main__":
    main()
