"""kill -9 of any process of a job at any time: every item is handled at least once, every batch is counted exactly once."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.apis import Apis, notes_of
from tests.acceptance.live import Live, kill_attempt, program_of, until
from tests.seeds import CRASH_SEED as SEED

RUNS = int(os.environ.get("FABRIC_JOBS_CRASH_RUNS") or 4)
ITEMS, SIZE = 600, 3
BATCHES = ITEMS // SIZE
HANDLER = """
import json, os, time

class Handler:
    def __init__(self, config):
        self.notes = config["notes"]

    def handle_batch(self, payload, batch_id):
        time.sleep(0.002)
        line = json.dumps({"path": "/", "body": payload, "batch": batch_id}) + "\\n"
        with open(self.notes, "a") as file:
            file.write(line)

    def on_job_complete(self):
        with open(self.notes, "a") as file:
            file.write(json.dumps({"path": "/on-job-complete", "body": None}) + "\\n")
"""
SERVER = "def handle(items):\n    time.sleep(0.002)\n    return 200"
VICTIMS = ("worker", "server", "owner", "shim")


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    made = Apis(live)
    made.serve()
    return made


def children_of(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def strike(apis: Apis, api: str, victim: str, chance: random.Random) -> None:
    """Kill a process of a running job."""
    if victim == "owner":
        apis.kill_owner()
        return
    running = [attempt for attempt in apis.live.attempts(api) if not (attempt / "exit").exists()]
    if not running:
        return
    attempt = chance.choice(running)
    if victim == "shim":
        kill_attempt(attempt)
        return
    program = program_of(attempt)
    servers = children_of(program) if victim == "server" else []
    kill(chance.choice(servers) if servers else program)


def succeeded(apis: Apis, api: str, job_id: str) -> int:
    """Return how many batches have succeeded; many once the job has ended, -1 while there is no owner."""
    try:
        found = apis.status(api, job_id)
    except (OSError, KeyError, ValueError):
        return -1
    if "end_time" in found:
        return 1_000_000
    return int(found["batch_metrics"]["succeeded"])


def check(ended: dict[str, Any], notes: Path, batches: int, items: list[Any]) -> None:
    """Check that every item was handled, and every batch was counted once."""
    assert ended["status"] in ("succeeded", "completed_with_failures"), ended
    metrics = ended["batch_metrics"]
    assert (metrics["succeeded"], ended["total_batch_count"]) == (batches, batches), ended
    assert ended["batches_in_queue"] == 0
    handled = [item for note in notes_of(notes) if note["path"] == "/" for item in note["body"]]
    assert set(handled) == set(items)
    assert (metrics["failed"] > 0) == (ended["status"] == "completed_with_failures")
    hooks = [note for note in notes_of(notes) if note["path"] == "/on-job-complete"]
    assert len(hooks) >= 1


@pytest.mark.parametrize("form", ["class"])
@pytest.mark.parametrize("number", range(RUNS))
def test_kills_lose_and_count_nothing_twice(apis: Apis, form: str, number: int) -> None:
    seed = SEED + number  # as FABRIC_JOBS_CRASH_SEED it repeats this run as number 0
    chance = random.Random(f"{seed}{form}")
    points = sorted(chance.sample(range(1, BATCHES - 20), 3))
    victims = [chance.choice(VICTIMS) for _ in points]
    print(f"FABRIC_JOBS_CRASH_SEED={seed}: {form}, {victims} after {points} batches")
    if form == "class":
        notes = apis.live.root / "notes"
        notes.touch()
        apis.handler("robust", HANDLER)
    else:
        notes = apis.server("robust", SERVER)
    job_id = apis.items("robust", list(range(ITEMS)), SIZE, workers=3, config={"notes": str(notes)})
    for after, victim in zip(points, victims, strict=True):
        until(lambda n=after: succeeded(apis, "robust", job_id) >= n, f"{after} batches")  # type: ignore[misc]
        strike(apis, "robust", victim, chance)
    check(apis.ended("robust", job_id), notes, BATCHES, list(range(ITEMS)))
    assert apis.live.ok("state", "check").code == 0
