"""The Python client of Cortex Labs, unmodified, through `fabric-jobs-cortex`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.live import Live, until
from tests.acceptance.test_deploying import BATCH, HANDLER
from tests.clients.cortex_labs import NEWEST, WITH_CLASSES, missing, python
from tests.forks import COMMAND
from tests.gateway.test_users import Caller

Done = subprocess.CompletedProcess[str]
SECONDS = 60
SPEC = {
    "name": "hello",
    "kind": "TaskAPI",
    "pod": {"containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", "echo done"]}]},
}


class Labs:
    """Runs scripts that use the client."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.home = live.root.parent / "home"
        self.home.mkdir()
        self.command = COMMAND.parent / "fabric-jobs-cortex"

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of a script."""
        own = {
            "HOME": str(self.home),
            "CORTEX_CLI_PATH": str(self.command),
            "CORTEX_TELEMETRY_DISABLE": "true",
            "FABRIC_JOBS_CONFIG_DIR": str(self.home / "config"),
        }
        return {**self.live.environment, **own, **variables}

    def run(self, script: str, *, cwd: Path | None = None, version: str = NEWEST, **variables: str) -> Done:
        """Run a script to its end."""
        file = self.home / "script.py"
        file.write_text(f"import json\nimport cortex\n{script}")
        return subprocess.run(
            [python(version), "-W", "ignore", file],
            cwd=cwd or self.live.root,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def __call__(self, script: str, **options: Any) -> Any:
        """Return the JSON of what a script has put into `found`."""
        done = self.run(f"{script}\nprint(json.dumps(found))", **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def labs(live: Live) -> Labs:
    """The client, in a workspace."""
    if reason := missing():
        pytest.skip(f"the Python client of Cortex Labs cannot be had: {reason}")
    return Labs(live)


def test_a_workspace_is_an_environment_without_any_configuration(labs: Labs) -> None:
    found = labs(f"client = cortex.client()\nmade = client.deploy({SPEC!r})\nfound = [made, client.list_apis()]")
    made, (listed,) = found
    assert made["message"] == "created hello (TaskAPI)"
    assert made["api"]["endpoint"].endswith("/hello")
    assert listed["spec"]["name"] == "hello"
    assert not (labs.home / ".cortex" / "cli.yaml").exists()


def test_an_environment_is_configured_used_and_deleted(labs: Labs, tmp_path: Path) -> None:
    address = Caller(labs.live).address
    script = f"""
client = cortex.new_client("here", {address.url!r})
made = client.deploy({SPEC!r})
again = client.deploy({SPEC!r}, force=True)
shown = client.get_api("hello")
listed = client.list_apis()
client.delete("hello", keep_cache=True)
found = [made, again, shown, listed, client.list_apis(), cortex.env_list()]
cortex.env_delete("here")
found.append(cortex.env_list())
"""
    outside = tmp_path / "outside"
    outside.mkdir()
    made, again, shown, listed, after, known, none = labs(script, cwd=outside, FABRIC_JOBS_TOKEN=address.token)
    assert (made["message"], again["message"]) == ("created hello (TaskAPI)", "hello (TaskAPI) is up to date")
    assert shown["endpoint"] == f"{address.url}/hello"
    assert shown["spec"] == listed[0]["spec"] == made["api"]["spec"]
    assert after == []
    assert known == {
        "default_environment": "here",
        "environments": [{"name": "here", "operator_endpoint": address.url}],
    }
    assert none == {"default_environment": None, "environments": []}


def test_a_file_is_deployed_with_its_project_and_a_job_runs(labs: Labs) -> None:
    project = labs.live.root / "sums"
    project.mkdir()
    for name, text in {"api.yaml": BATCH, "handler.py": HANDLER, "value.txt": "7"}.items():
        (project / name).write_text(text)
    script = f"""
client = cortex.client()
found = client.deploy_from_file({str(project / "api.yaml")!r})["api"]["endpoint"]
"""
    endpoint = labs(script)
    caller = Caller(labs.live, tcp=True)
    assert endpoint == f"{caller.address.url}/sums"
    config = {"root": str(labs.live.root)}
    body = {"workers": 2, "item_list": {"items": [1, 2, 3], "batch_size": 2}, "config": config}
    answer = caller.call("POST", "/sums", json.dumps(body).encode())
    job_id = json.loads(answer.body)["job_id"]

    def status() -> Any:
        job = labs(f"found = cortex.client().get_job('sums', {job_id!r})")
        return job if job["job_status"]["status"] == "succeeded" else None

    job = until(status, "the job succeeds")
    assert job["metrics"]["succeeded"] == 2
    assert job["endpoint"] == f"{endpoint}?jobID={job_id}"
    done = labs.run(f"cortex.client().stop_job('sums', {job_id!r})")
    assert "is not in progress" in done.stderr
    logs = subprocess.run(
        [labs.command, "logs", "sums", job_id, "--random-pod", "-e", "local"],
        cwd=labs.live.root,
        env=labs.environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert logs.returncode == 0, logs.stderr


TASK = """\
import cortex

class Task:
    def __call__(self, config):
        client = cortex.client()
        made = client.deploy(config["spec"])
        print(made["message"], client.env_name)
        client.delete("hello")
"""


def test_a_class_deploys_from_inside(labs: Labs) -> None:
    project = labs.live.root / "inside"
    project.mkdir()
    (packages,) = python().parent.parent.glob("lib/python*/site-packages")
    spec = "- name: inside\n  kind: TaskAPI\n  definition: {path: task.py}\n"
    for name, text in {"cortex.yaml": spec, "task.py": TASK, ".env": f"PYTHONPATH={packages}\n"}.items():
        (project / name).write_text(text)
    labs.live.ok("jobs", "deploy", project / "cortex.yaml")
    ran = labs.live.run("jobs", "submit", "inside", "--config", json.dumps({"spec": SPEC}), "--watch")
    job_id = ran.out.strip()
    assert ran.code == 0, (ran, labs.live.run("jobs", "logs", job_id))
    assert "created hello (TaskAPI) default" in labs.live.ok("jobs", "logs", job_id).out
    assert [row["name"] for row in labs.live.ok("jobs", "apis", "-o", "json").value] == ["inside"]


OLDER = f"""\
class Handler:
    def __init__(self, config):
        self.times = config["times"]

    def handle_batch(self, payload):
        return [item * self.times for item in payload]


client = cortex.client()
spec = {{"name": "older", "kind": "BatchAPI", "handler": {{"type": "python", "config": {{"times": 3}}}}}}
made = client.deploy_batch_api(spec, Handler)
task = {SPEC!r}
found = [made["message"], client.deploy(task, project_dir="project")["message"], client.get_api("older")["endpoint"]]
"""


def test_an_older_client_deploys_a_class_as_an_object(labs: Labs) -> None:
    if reason := missing(WITH_CLASSES):
        pytest.skip(f"the client {WITH_CLASSES} cannot be had: {reason}")
    (labs.live.root / "project").mkdir()
    found = labs(OLDER, version=WITH_CLASSES)
    assert found[:2] == ["created older (BatchAPI)", "created hello (TaskAPI)"]
    ran = labs.live.ok("jobs", "submit", "older", "--items", "[1, 2]", "--batch-size", "2", "--watch")
    answer = labs.live.ok("activations", "response", ran.out.strip())
    assert [int(line) for line in answer.out.split()] == [3, 6]


def test_what_is_wrong_is_raised_with_the_gateways_words(labs: Labs) -> None:
    for script, said in (
        ("cortex.client().get_api('none')", "'none' is not deployed"),
        ("cortex.client().delete('none')", "'none' is not deployed"),
        ("cortex.client('nowhere')", "nowhere"),
        ("cortex.client().refresh('none')", "'none' is not deployed"),
        ("cortex.client().deploy({'name': 'x', 'kind': 'BatchAPI', 'pod': {}})", "containers"),
    ):
        done = labs.run(script)
        assert done.returncode == 1, script
        assert said in done.stderr, script


def test_a_token_that_is_missing_or_wrong_is_told(labs: Labs, tmp_path: Path) -> None:
    url = Caller(labs.live).address.url
    outside = tmp_path / "outside"
    outside.mkdir()
    for token in ("", "wrong"):
        done = labs.run(f"cortex.new_client('x', {url!r}).list_apis()", cwd=outside, FABRIC_JOBS_TOKEN=token)
        assert done.returncode == 1
        assert "token" in done.stderr
    assert os.access(labs.command, os.X_OK)
