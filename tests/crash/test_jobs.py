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
from tests.queue_server import queue_server
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


def hooks_of(notes: Path) -> list[Any]:
    """Return the calls of on-job-complete."""
    return [note for note in notes_of(notes) if note["path"] == "/on-job-complete"]


def check(ended: dict[str, Any], notes: Path, batches: int, items: list[Any]) -> None:
    """Check that every item was handled, and every batch was counted once."""
    assert ended["status"] in ("succeeded", "completed_with_failures"), ended
    metrics = ended["batch_metrics"]
    assert (metrics["succeeded"], ended["total_batch_count"]) == (batches, batches), ended
    assert ended["batches_in_queue"] == 0
    handled = [item for note in notes_of(notes) if note["path"] == "/" for item in note["body"]]
    assert set(handled) == set(items)
    assert (metrics["failed"] > 0) == (ended["status"] == "completed_with_failures")
    assert hooks_of(notes)


@pytest.mark.parametrize("form", ["class", "containers"])
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


def test_an_owner_that_is_killed_while_it_reads_files_goes_on_where_it_was(apis: Apis) -> None:
    """Each line becomes one item: none is lost, and none comes twice. More are waiting than may be read ahead."""
    count, size = 300_000, 500
    chance = random.Random(SEED)
    lines = apis.live.root / "lines"
    lines.mkdir()
    for number in range(3):
        text = "".join(f"{n}\n" for n in range(number * count // 3, (number + 1) * count // 3))
        (lines / f"{number}.json").write_text(text)
    notes = apis.live.root / "notes"
    notes.touch()
    apis.handler("reads", HANDLER)
    block = {"s3_paths": [f"{lines}/"], "batch_size": size}
    job_id = apis.submit("reads", workers=2, delimited_files=block, config={"notes": str(notes)})
    for after in sorted(chance.sample(range(1, count // size - 200), 3)):
        until(lambda n=after: succeeded(apis, "reads", job_id) >= n, f"{after} batches")  # type: ignore[misc]
        assert not apis.status("reads", job_id)["enqueued"]
        apis.kill_owner()
    ended = apis.ended("reads", job_id)
    check(ended, notes, count // size, list(range(count)))
    assert ended["items"] == count
    batches = {tuple(note["body"]) for note in notes_of(notes) if note["path"] == "/"}
    assert len(batches) == count // size, "a batch that is handled again has the same items"


@pytest.mark.parametrize("victim", ["worker", "owner", "shim"])
def test_a_worker_that_dies_in_the_hook_is_followed_by_one_that_calls_it(apis: Apis, victim: str) -> None:
    notes = apis.live.root / "notes"
    notes.touch()
    waits = (
        HANDLER
        + """
        if not os.path.exists(self.notes + ".open"):
            open(self.notes + ".gate").read()
"""
    )
    apis.handler("hooked", waits)
    gate = apis.live.gate("notes.gate")
    job_id = apis.items("hooked", [1, 2], workers=2, config={"notes": str(notes)})
    until(lambda: hooks_of(notes), "the hook is called")
    (apis.live.root / "notes.open").touch()
    calling = [attempt for attempt in apis.live.attempts("hooked") if not (attempt / "exit").exists()]
    if victim == "owner":
        apis.kill_owner()
        apis.live.release(gate)
    elif victim == "shim":
        kill_attempt(calling[-1])
    else:
        for attempt in calling:
            kill(program_of(attempt))
    ended = apis.ended("hooked", job_id)
    assert (ended["batch_metrics"]["succeeded"], ended["on_job_complete"]) == (2, "200")
    assert len(hooks_of(notes)) == (1 if victim == "owner" else 2)


def test_an_owner_that_is_killed_while_it_sends_dead_batches_sends_each(live: Live) -> None:
    """A queue that drops repeated messages has each once."""
    with queue_server() as queues:
        live.environment |= queues.variables
        apis = Apis(live)
        apis.serve()
        arn = queues.make(queues.name(".fifo"))
        apis.handler("picky", HANDLER + "\n    def handle_batch(self, payload):\n        raise ValueError(payload)\n")
        block = {"items": list(range(100)), "batch_size": 1}
        queue = {"arn": arn, "max_receive_count": 1}
        notes = {"notes": str(live.root / "notes")}
        job_id = apis.submit("picky", workers=2, item_list=block, sqs_dead_letter_queue=queue, config=notes)
        for count in (1, 30, 60):
            until(lambda n=count: queues.count(arn) >= n, f"{count} messages")  # type: ignore[misc]
            apis.kill_owner()
        ended = apis.ended("picky", job_id)
        assert ended["status"] == "completed_with_failures"
        until(lambda: apis.status("picky", job_id)["queued_batches"]["sent"] == 100, "all are sent")
        messages = queues.messages(arn)
        assert sorted(message["items"] for message in messages) == [[n] for n in range(100)]
        assert all(message["error"].startswith("ValueError") for message in messages)
