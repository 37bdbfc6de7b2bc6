"""The example of a Batch API: as a skill of an agent, and with jobs of its own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.workspace.example import copy_example
from tests.acceptance.live import Live, records

STORM = shipped.examples_dir() / "storm"
FLIGHTS, BATCHES = 6_104, 13
EXPECTED = json.loads((STORM / "agents/invoke/storm/input/expected.json").read_text())
README = (STORM / "README.md").read_text()


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Live]:
    """A copy of the example."""
    copied = Live(copy_example("storm", tmp_path / "storm"))
    try:
        yield copied
    finally:
        copied.close()


def test_the_records_of_a_skill_are_the_items_of_a_batch_api(storm: Live) -> None:
    assert storm.ok("workspaces", "lint").err == "No problems found.\n"
    record = storm.invoke("storm", {"path": "data/2013-02-04-to-10.ndjson.gz"}, kind="agents")
    assert record["response"] == EXPECTED
    assert EXPECTED["2013-02-08"]["cancelled"] == 472
    nodes = storm.progress(record["activationId"])
    troubles = sum(day["cancelled"] + day["diverted"] + day["delayed"] for day in EXPECTED.values())
    assert (nodes["score-delays"]["in"], nodes["score-delays"]["out"]) == (FLIGHTS, troubles)
    said = storm.ok("activations", "logs", record["activationId"]).out
    sizes = [json.loads(line.partition("| ")[2])["flights"] for line in said.splitlines() if "scored a batch" in line]
    assert sorted(sizes) == [FLIGHTS % 500, *[500] * (BATCHES - 1)]


def test_the_commands_of_the_readme_work(storm: Live) -> None:
    commands = [shlex.split(line)[1:] for line in README.splitlines() if line.startswith("fabric-jobs ")]
    said = {" ".join(command[:2]): storm.ok(*command) for command in commands}
    assert said["agents test"].err.startswith("1 passed in")
    assert f"{BATCHES} of {BATCHES} batches succeeded" in said["jobs submit"].err
    assert re.search(rf"score-delays +succeeded +2 +{BATCHES} of {BATCHES} +0 ", said["jobs list"].out)
    job_id = said["jobs submit"].out.strip()
    found = records(storm.ok("activations", "response", job_id).out)
    days = [trouble["day"] for trouble in found if trouble["outcome"] == "cancelled"]
    assert {f"2013-02-{day:02}": days.count(day) for day in set(days)} == {
        day: counts["cancelled"] for day, counts in EXPECTED.items()
    }


def test_a_job_has_a_configuration_of_its_own(storm: Live) -> None:
    given = (
        "--ndjson",
        "data/2013-02-04-to-10.ndjson.gz",
        "--batch-size",
        "500",
        "--config",
        '{"threshold_minutes": 1e9}',
    )
    job_id = storm.ok("jobs", "submit", "score-delays", *given, "--watch").out.strip()
    outcomes = {record["outcome"] for record in records(storm.ok("activations", "response", job_id).out)}
    assert outcomes == {"cancelled", "diverted"}
