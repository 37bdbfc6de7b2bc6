"""Cortex Labs' pages about the classes Task and Handler, example by example, with what they promise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.apis import Apis
from tests.acceptance.live import Live

FILES = {
    "values.json": '{"a": 1}',
    "requirements.txt": "",
    "helpers/names.py": "NAME = 'kept'\n",
    "helpers/other.yaml": "kept: true\n",
    "notes.txt": "ignored\n",
    "data/keep.csv": "kept\n",
    "data/drop.csv": "ignored\n",
    "old.pyc": "excluded",
    "old.pyo": "excluded",
    "old.pyd": "excluded",
    ".hidden": "excluded",
    ".git/config": "excluded",
    ".cortexignore": "notes.txt\ndata/*\n!data/keep.csv\n",
    ".env": "VARIABLE=value\nOTHER=a=b\n",
}
KEPT = {"values.json", "helpers/names.py", "helpers/other.yaml", "data/keep.csv", "requirements.txt"}
# Of what a program sees, and where it says so.
LOOK = """
import json, os
from pathlib import Path

def say(path, **values):
    with open(path, "a") as file:
        file.write(json.dumps(values) + "\\n")

def files():
    return sorted(str(path.relative_to(".")) for path in Path(".").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
"""


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    made = Apis(live)
    made.serve()
    return made


def said(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_task_definition_page(apis: Apis, tmp_path: Path) -> None:
    """Project files, `.env`, the interface with its merged config, and the logger."""
    out = tmp_path / "out"
    program = (
        LOOK
        + """
from cortex_internal.lib.log import logger as cortex_logger
from helpers.names import NAME

class Task:
    def __call__(self, config):
        with open('values.json', 'r') as values_file:
            values = json.load(values_file)
        self.values = values
        cortex_logger.info("completed validations", extra={"accuracy": 0.97, "nested": {"a": {"b": 1}}})
        cortex_logger.info("collides", extra={"message": "x", "levelname": "y", "process": 1, "asctime": "z", "labels": "l"})
        client = Path(os.environ["CORTEX_CLI_CONFIG_DIR"], "cli.yaml").read_text()
        say(config.pop("out"), values=values, files=files(), config=config, name=NAME, client=client,
            env=[os.environ.get("VARIABLE"), os.environ.get("OTHER")])
"""
    )
    config = {"out": str(out), "model": {"name": "m", "layers": [1, 2], "deep": {"x": 1, "y": 2}}, "from": "api"}
    entry = {"name": "my-classifier", "kind": "TaskAPI", "definition": {"path": "task.py", "config": config}}
    apis.deploy({**FILES, "task.py": program, "cortex.yaml": json.dumps([entry])})
    submitted = apis.post("my-classifier", config={"model": {"layers": [3], "deep": {"y": 3}}, "to": "job"})
    assert (submitted["kind"], submitted["workers"], submitted["api_name"]) == ("TaskAPI", 1, "my-classifier")
    ended = apis.ended("my-classifier", submitted["job_id"])
    assert ended["status"] == "succeeded", ended
    (told,) = said(out)
    assert told["values"] == {"a": 1}
    assert set(told["files"]) - {".env"} == KEPT | {"task.py"}
    assert told["env"] == ["value", "a=b"]
    assert told["config"] == {
        "model": {"name": "m", "layers": [3], "deep": {"x": 1, "y": 3}},
        "from": "api",
        "to": "job",
    }
    assert told["name"] == "kept"
    client = yaml.safe_load(told["client"])
    (found,) = [each for each in client["environments"] if each["name"] == client["default_environment"]]
    assert found["operator_endpoint"].startswith("http://")
    logged = apis.live.ok("tasks", "logs", "my-classifier").out
    lines = [json.loads(line[line.index("{") :]) for line in logged.splitlines() if '"asctime"' in line]
    first, second = (line for line in lines if line["message"] in ("completed validations", "collides"))
    assert list(first) == ["asctime", "levelname", "message", "process", "accuracy", "nested"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", first["asctime"])
    assert (first["levelname"], first["accuracy"], first["nested"]) == ("INFO", 0.97, {"a": {"b": 1}})
    assert isinstance(first["process"], int)
    assert second["levelname"] == "INFO", "what is essential is not overridden"


def test_handler_definition_page(apis: Apis, tmp_path: Path) -> None:
    """The class of the page reads its file when it is made; each batch and the end of the job come to its methods."""
    out = tmp_path / "out"
    program = (
        LOOK
        + """
class Handler:
    def __init__(self, config):
        with open('values.json', 'r') as values_file:
            values = json.load(values_file)
        self.values = values
        self.out = config["out"]
        say(self.out, files=files(), variable=os.environ.get("VARIABLE"))

    def handle_batch(self, payload, batch_id):
        say(self.out, batch=batch_id, payload=payload, values=self.values)

    def on_job_complete(self):
        say(self.out, complete=True)
"""
    )
    entry = {"name": "my-classifier", "kind": "BatchAPI", "handler": {"type": "python", "path": "handler.py"}}
    apis.deploy({**FILES, "handler.py": program, "cortex.yaml": json.dumps([entry])})
    job_id = apis.items("my-classifier", [1, {"b": [2]}, "c", None, 5.0], 2, workers=2, config={"out": str(out)})
    ended = apis.ended("my-classifier", job_id)
    assert ended["status"] == "succeeded", ended
    told = said(out)
    begun = [line for line in told if "files" in line]
    assert {line["variable"] for line in begun} == {"value"}
    assert set(begun[0]["files"]) - {".env"} == KEPT | {"handler.py"}
    batches = [line for line in told if "batch" in line]
    assert sorted(map(json.dumps, (line["payload"] for line in batches))) == sorted(
        map(json.dumps, ([1, {"b": [2]}], ["c", None], [5.0]))
    )
    assert len({line["batch"] for line in batches}) == 3
    assert {line["values"]["a"] for line in batches} == {1}
    worked = [line for line in told if "files" not in line]  # a worker may begin when the others have done it all
    assert [line for line in worked if "complete" in line] == [worked[-1]], "once, and after the last batch"
