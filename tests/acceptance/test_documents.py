"""The commands for connections, types, models and experiments: one group for each kind, all alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.live import Live, names
from tests.gateway.test_users import Caller, skill

KINDS: dict[str, dict[str, Any]] = {
    "connections": {"name": "cortex/a", "connectionType": "mongo", "params": [{"name": "uri", "value": "x"}]},
    "types": {"name": "cortex/a", "parameters": [{"name": "x", "type": "string"}]},
    "models": {"name": "cortex/a", "type": "sklearn"},
    "experiments": {"name": "cortex/a", "modelId": "m"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_saved_listed_described_and_deleted(live: Live, kind: str) -> None:
    noun, document = kind.removesuffix("s"), KINDS[kind]
    assert live.ok(kind, "list").err == f"There are no {kind}. Next: fabric-jobs {kind} save FILE\n"
    (live.root / "a.json").write_text(json.dumps(document))
    said = live.ok(kind, "save", "a.json")
    assert said.err.splitlines() == [
        f"{noun} 'cortex/a' is saved as version 1.",
        f"Next: fabric-jobs {kind} describe cortex/a",
    ]
    assert live.ok(kind, "list").out.splitlines()[1].startswith("cortex/a")
    assert names(live.ok(kind, "list", "--output", "json").value) == ["cortex/a"]
    found = live.ok(kind, "describe", "cortex/a", "-o", "json").value
    assert {key: found[key] for key in document} == document
    live.fails(3, kind, "describe", "cortex/b")
    live.ok(kind, "delete", "cortex/a", "--yes")
    live.fails(3, kind, "delete", "cortex/a", "--yes")


def test_a_file_may_have_several_types_and_its_problems_have_lines(live: Live) -> None:
    file = live.root / "types.yaml"
    file.write_text("types:\n- name: a\n- name: b\n  parameters:\n  - {type: string}\n- 5\n")
    said = live.fails(4, "types", "save", "types.yaml")
    assert "types.yaml:5:5: error: types[1].parameters[0]: the key 'name' is missing" in said
    assert "types.yaml:6:3: error: types[2]: this is a number, but must be a mapping" in said
    assert live.ok("types", "list", "-o", "json").value == []
    file.write_text("types:\n- name: a\n- name: b\n")
    live.ok("types", "save", "types.yaml")
    assert names(live.ok("types", "list", "-o", "json").value) == ["a", "b"]
    file.write_bytes(b"\xff")
    live.fails(2, "types", "save", "types.yaml")
    live.fails(2, "types", "save", "none.yaml")


def test_what_is_in_use_stays_and_the_command_says_who_uses_it(live: Live) -> None:
    caller = Caller(live)
    caller.post("/types", {"name": "text"})
    used = skill()
    used["outputs"][0]["parameters"] = {"$ref": "text"}
    caller.post("/skills", used)
    assert "type 'text' is in use by plain." in live.fails(2, "types", "delete", "text")
    assert names(live.ok("types", "list", "-o", "json").value) == ["text"]


def test_an_experiment_is_deleted_with_its_runs_after_a_question(live: Live) -> None:
    caller = Caller(live)
    caller.post("/experiments", {"name": "e"})
    assert live.ok("experiments", "runs", "e").err == "Experiment 'e' has no runs.\n"
    caller.post(
        "/experiments/e/runs", {"runId": "r", "params": {"depth": 3}, "metrics": {"accuracy": 0.9}, "took": 1.5}
    )
    caller.call("PUT", "/fabric/v4/projects/local/experiments/e/runs/r/artifacts/model", b"x")
    table = live.ok("experiments", "runs", "e").out.splitlines()
    assert table[1].split() == ["r", "depth=3", "accuracy=0.9", "1.5", "model"]
    assert live.ok("experiments", "runs", "e", "-o", "json").value[0]["metrics"] == {"accuracy": 0.9}
    live.fails(3, "experiments", "runs", "none")
    assert "with its runs and their artifacts?" in live.fails(130, "experiments", "delete", "e")
    assert names(live.ok("experiments", "list", "-o", "json").value) == ["e"]
    live.ok("experiments", "delete", "e", "--yes")
    assert live.ok("experiments", "list", "-o", "json").value == []
