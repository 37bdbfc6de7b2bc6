"""APIs of a workspace: skills that an agent feeds, and that are generated from templates."""

from __future__ import annotations

import json
import shlex
from typing import Any

from tests.acceptance.live import Live

COUNT = "for n in range(message()['payload']): send_message(n)"
HANDLER = """\
class Handler:
    def __init__(self, config):
        self.factor = config["factor"]

    def handle_batch(self, payload):
        return [[n * self.factor, len(payload)] for n in payload]
"""


def line(live: Live, handler: str = HANDLER, **properties: Any) -> None:
    """Write an agent in which a skill's records are the items of a Batch API."""
    live.skill("source", COUNT)
    project = live.root / "skills" / "ml"
    project.mkdir()
    code = {"path": "handler.py", "config": {"factor": 10}}
    (project / "cortex.yaml").write_text(json.dumps([{"name": "score", "kind": "BatchAPI", "handler": code}]))
    (project / "handler.py").write_text(handler)
    agent: dict[str, Any] = {
        "name": "line",
        "skills": [
            {"skillName": "source"},
            {"skillName": "score", "properties": [{"name": key, "value": properties[key]} for key in properties]},
        ],
        "mappings": [
            {"from": "input", "to": "source"},
            {"from": "source", "to": "score.items"},
            {"from": "score.results", "to": "output"},
        ],
    }
    (live.root / "agents").mkdir(exist_ok=True)
    (live.root / "agents" / "line.yaml").write_text(json.dumps(agent))


def test_the_records_of_an_agent_are_the_items_of_an_api(live: Live) -> None:
    line(live, workers=2, batch_size=4)
    response = live.invoke("line", 10, kind="agents")["response"]
    assert sorted(n for n, _ in response) == [10 * n for n in range(10)]
    assert max(size for _, size in response) <= 4


def test_a_job_without_a_result_is_no_failure_and_a_changed_class_is_what_runs_next(live: Live) -> None:
    line(live, HANDLER.replace("return", "_ ="))
    assert live.invoke("line", 3, kind="agents")["response"] is None
    (live.root / "skills" / "ml" / "handler.py").write_text(HANDLER)
    assert live.invoke("line", 1, kind="agents")["response"] == [0, 1]


def test_a_failed_batch_says_which_record_of_which_mapping_and_what_to_type(live: Live) -> None:
    line(live, HANDLER.replace("return", "if 5 in payload: raise ValueError('five')\n        return"), batch_size=2)
    ran = live.run("agents", "invoke", "line", "--payload", 8)
    assert ran.code == 1
    assert "2 records are dead letters; the first: skill 'score' failed: ValueError: five" in ran.err
    assert "record: offset 4 of source.response → score\n" in ran.err
    assert "Next: fabric-jobs deadletters list --activation " in ran.err


def generated(live: Live, name: str, template: str) -> str:
    """Generate an API, run the command that is suggested next, and return the id of the job."""
    ran = live.ok("workspaces", "generate", name, "--template", template, "--notree")
    assert live.ok("workspaces", "lint").out == ""
    program, *words = shlex.split((ran.out + ran.err).splitlines()[-1])
    assert program == "fabric-jobs"
    job = live.ok(*words)
    assert "succeeded" in job.err
    return job.out.strip()


def test_a_generated_batch_api_runs_with_the_command_that_is_suggested(live: Live) -> None:
    job = generated(live, "scale", "batch-api")
    response = live.ok("activations", "response", job).out
    assert sorted(json.loads(line) for line in response.splitlines()) == [2, 4, 6, 8, 10]
    assert live.ok("skills", "invoke", "scale", "--payload", 21, "-q").out == "42\n"


def test_a_generated_task_api_runs_with_the_command_that_is_suggested(live: Live) -> None:
    job = generated(live, "greet", "task-api")
    assert live.ok("jobs", "logs", job).out == "greet | Hello, world!\n"
