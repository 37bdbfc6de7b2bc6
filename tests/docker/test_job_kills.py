"""Kills of the containers and of the owner of a job: every item is handled at least once, every batch is counted exactly once."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.acceptance.live import until
from tests.acceptance.test_container_apis import SERVER, TERMINAL, Apis
from tests.docker.live import DockerLive
from tests.docker_place import docker, needs_docker
from tests.seeds import CRASH_SEED as SEED

pytestmark = needs_docker
ITEMS, SIZE = 600, 3
BATCHES = ITEMS // SIZE
PROGRAM = SERVER + "def answer(path, items):\n    time.sleep(0.02)\n    return 200, ''\nserve()"


@pytest.mark.parametrize("victim", ["container", "owner", "both"])
def test_kills_lose_and_count_nothing_twice(live: DockerLive, victim: str) -> None:
    apis, chance = Apis(live), random.Random(f"{SEED}{victim}")
    points = sorted(chance.sample(range(1, BATCHES - 50), 2))
    print(f"FABRIC_JOBS_CRASH_SEED={SEED}: {victim} after {points} batches")
    apis.deploy("robust", PROGRAM)
    block = {"items": list(range(ITEMS)), "batch_size": SIZE}
    job_id = apis.submit("robust", workers=2, item_list=block)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = apis.call("GET", f"/batch/robust?jobID={job_id}")["job_status"]
        return found

    for after in points:
        until(lambda n=after: status()["batch_metrics"]["succeeded"] >= n, f"{after} batches")  # type: ignore[misc]
        running = live.containers(all=False)
        if victim != "owner" and running:
            docker("kill", chance.choice(running), check=False)  # it may have ended
        if victim != "container":
            live.kill_owner()
            live.ok("tasks", "list")
    until(lambda: status()["status"] in TERMINAL, "the end")
    ended = status()
    assert (ended["batch_metrics"]["succeeded"], ended["total_batch_count"]) == (BATCHES, BATCHES), ended
    assert (ended["batch_metrics"]["failed"] > 0) == (ended["status"] == "completed_with_failures"), ended
    lines = live.ok("jobs", "logs", job_id).out.splitlines()
    said = [json.loads(line[line.index("[") :]) for line in lines if '["/", [' in line]
    assert {item for line in said for item in line[1]} == set(range(ITEMS))
