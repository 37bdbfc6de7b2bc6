"""The requests of Fabric's command `cortex`, with the libraries that it is made of; and the command itself where it can be had."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, names
from tests.clients.personal import configured, run, token_file, value
from tests.clients.places import COMMAND, LIBRARIES, missing_node, node_modules
from tests.gateway.test_users import skill

REQUESTS = Path(__file__).parent / "cortex_requests.js"
SLOW = "import time; time.sleep(3); print(json.dumps(message()['payload']), end='')"


class Cortex:
    """Sends what the command sends."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.token = token_file(live, "anna", role="admin")
        self._directory = configured(live, self.token)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        variables = {"CORTEX_CONFIG_DIR": str(self._directory), "NODE_PATH": str(node_modules(LIBRARIES))}
        return run(self._live, ["node", REQUESTS, *words], **variables)

    def __call__(self, *words: object) -> Any:
        """Return what a verb has printed."""
        return value(self.run(*words))

    def call(self, method: str, route: str, given: object = None) -> Any:
        """Return the answer to one call."""
        return self("call", method, route, json.dumps(given or {}))


@pytest.fixture
def cortex(live: Live) -> Cortex:
    """The requests of the command, as a user with the role `admin`."""
    if reason := missing_node(LIBRARIES):
        pytest.skip(f"the libraries of cortex-cli cannot be installed: {reason}")
    return Cortex(live)


def test_what_it_asks_before_every_command(cortex: Cortex) -> None:
    assert cortex.call("get", "/skills") == {"success": True, "skills": []}
    said = cortex("graphql", "{ projects { name, title, description} }")
    assert names(said["projects"]) == ["local"]


def test_a_run_longer_than_its_patience(live: Live, cortex: Cortex) -> None:
    live.skill("slow", SLOW)
    live.detach("slow", 0)
    record = cortex.call("post", "/skillinvoke/slow/inputs/request?sync=true", {"payload": 7})
    assert (record["status"], json.loads(record["response"])) == ("COMPLETE", 7)


def test_a_log_that_grows(live: Live, cortex: Cortex) -> None:
    live.skill("slow", "print('one', flush=True)\nopen(ROOT / 'gate').read()\nprint('two')")
    gate = live.gate("gate")
    activation = live.detach("slow")
    task = live.get(f"/tasks?activationId={activation}")["tasks"][0]["name"]
    live.release(gate)
    live.wait(activation)
    assert cortex("follow", f"/tasks/{task}/logs") == ["one", "two"]


def test_publish_without_pushing(live: Live, cortex: Cortex, tmp_path: Path) -> None:
    name = "scores"
    files = {
        f"types/{name}/type.json": {"name": "Flight", "parameters": [{"name": "delay", "type": "number"}]},
        f"models/{name}/model.json": {"name": "delays", "title": "Delays"},
        f"experiments/{name}/experiment.json": {"name": "e1", "title": "First"},
        f"experiments/{name}/run.json": {"runId": "run_01", "params": {"depth": 3}, "metrics": {"rmse": 0.5}},
        f"skills/{name}/skill.json": skill(name),
    }
    for path, document in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(document))
    (tmp_path / f"experiments/{name}/model.pickle").write_bytes(b"model" * 50_000)
    (tmp_path / f"content/{name}").mkdir(parents=True)
    (tmp_path / f"content/{name}/words.txt").write_text("some words")
    for version in (1, 2):  # once more changes nothing but the tag of the image
        said = cortex("publish", tmp_path, name)
        assert said["success"] is True
        assert said["version"] == 1, version
    assert cortex.call("get", f"/skills/{name}")["actions"][0]["image"] == "x:a1b2c3"
    assert cortex.call("get", "/types/Flight")["parameters"][0]["name"] == "delay"
    assert names(cortex.call("get", "/models")["models"]) == ["delays"]
    run_shown = cortex.call("get", "/experiments/e1/runs/run_01")
    assert (run_shown["params"], run_shown["metrics"]) == ({"depth": 3}, {"rmse": 0.5})
    for route, bytes_ in (
        ("/content/experiments/e1/run_01/artifacts/model", b"model" * 50_000),
        (f"/content/content/{name}/words", b"some words"),
    ):
        cortex("download", route, tmp_path / "came")
        assert (tmp_path / "came").read_bytes() == bytes_


def test_a_refusal_is_read_where_it_looks(live: Live, cortex: Cortex) -> None:
    live.ok("tokens", "revoke", "anna")
    failed = cortex.run("call", "get", "/skills")
    assert failed.returncode == 1
    assert "Auth Error: " in failed.stderr


def test_the_command_itself(live: Live) -> None:
    if reason := missing_node(COMMAND):
        pytest.skip(f"cortex-cli cannot be installed: {reason}")
    live.skill("echo", "print(message()['payload'], end='')")
    live.invoke("echo", 1)
    directory = configured(live, token_file(live, "anna", role="admin"))
    command = node_modules(COMMAND) / ".bin" / "cortex"
    done = run(live, [command, "skills", "list", "--json"], CORTEX_CONFIG_DIR=str(directory), CORTEX_NO_COMPAT="true")
    assert names(value(done)) == ["echo"]


def test_schedules(live: Live, cortex: Cortex) -> None:
    """The calls of `agents invoke --scheduleCron`, `tasks list --scheduled`, `pauseSchedule`, `resumeSchedule` and `delete`."""
    live.skill("echo", "print(message()['payload'], end='')")
    live.agent("echoes", ("input", "echo"), ("echo", "output"))
    live.invoke("echoes", 1, kind="agents")
    invoke = "/agentinvoke/echoes/services/input?scheduleCron=0+0+*+*+*&scheduleName=nightly"
    assert cortex.call("post", invoke, {"payload": {"n": 1}})["success"] is True
    listed = "/tasks?scheduled=true&limit=20&skip=0&compat=true&color=on"
    (row,) = cortex.call("get", listed)["tasks"]
    shown = [row[key] for key in ("name", "agentName", "state", "schedule", "username", "startTime")]
    assert shown == ["nightly", "echoes", "SCHEDULED", "0 0 * * *", "anna", None]
    for verb, state in (("pause", "PAUSED"), ("resume", "SCHEDULED")):
        assert cortex.call("post", f"/tasks/nightly/{verb}")["success"] is True
        assert cortex.call("get", "/tasks/nightly")["task"]["state"] == state
    assert cortex.call("delete", "/tasks/nightly")["success"] is True
    assert cortex.call("get", listed)["tasks"] == []
