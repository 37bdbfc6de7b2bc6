"""The example of a Batch API: as a skill of an agent, and with jobs of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.workspace.example import copy_example
from tests.acceptance.live import Live

STORM = shipped.examples_dir() / "storm"
FLIGHTS, BATCHES = 6_104, 13
EXPECTED = json.loads((STORM / "agents/invoke/storm/input/expected.json").read_text())


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
