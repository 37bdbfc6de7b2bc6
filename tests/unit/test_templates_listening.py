"""The templates `daemon` and `external-api`: their definitions, and the answers of their programs."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.documents import parse_skill
from fabric_jobs.scaffold.templates import render
from fabric_jobs.workspace.generate import generate_skill
from fabric_jobs.workspace.lint.problems import lint
from fabric_jobs.workspace.tree import Workspace

FACTS = {"activationId": "a", "channelId": "c", "token": "t", "properties": {}}


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@contextmanager
def listening(command: list[str], directory: Path, sign: str) -> Iterator[str]:
    """Run a server during the block, and give the URL in its output line with `sign`."""
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if sign in line:
                break
        assert sign in said, said
        yield said.splitlines()[-1].partition(sign)[2].split()[0]
    finally:
        process.terminate()
        process.communicate()


def answer(url: str, body: Any = None, method: str = "POST") -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


@pytest.mark.parametrize("template", ["daemon", "external-api"])
@pytest.mark.parametrize("name", ["smmJob", "on"])
def test_the_definition_has_no_problem(template: str, name: str, tmp_path: Path) -> None:
    generated = generate_skill(name, tmp_path, template)
    path = tmp_path / "skills" / name / "skill.yaml"
    skill, warnings = parse_skill(path.read_text(), str(path))
    assert (skill.name, warnings) == (name, ())
    assert [problem for problem in lint(Workspace(tmp_path)) if problem.level == "error"] == []
    assert generated.next_command.endswith(f"--params-file skills/{name}/invoke/request/message.json")


def test_the_daemon_says_what_fabric_says(tmp_path: Path) -> None:
    render("daemon", "smmJob", tmp_path)
    skill, _ = parse_skill((tmp_path / "skills/smmJob/skill.yaml").read_text(), "skill.yaml")
    (entry,), (action,) = skill.inputs, skill.actions
    assert (entry.routing.default.runtime, entry.routing.default.action) == ("cortex/daemons", "smmJob")
    assert (action.type, action.image, action.port, action.concurrency) == ("daemon", "smmjob", "5000", 4)
    assert action.port in action.command  # where a local run puts another port
    assert skill.defaults() == {"daemon.method": "POST", "daemon.path": "invoke", "daemon.port": "5000"}
    directory = tmp_path / "skills/smmJob/actions/smmJob"
    assert "scuttle" not in (directory / "Dockerfile").read_text()
    requirements = (directory / "requirements.txt").read_text().splitlines()
    assert [line.partition(">=")[0] for line in requirements if not line.startswith("#")] == ["fastapi", "uvicorn"]
    assert len((directory / "main.py").read_text().splitlines()) <= 30


def test_the_daemon_answers_with_the_payload(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the program of the template imports it")
    render("daemon", "smmjob", tmp_path)
    skill, _ = parse_skill((tmp_path / "skills/smmjob/skill.yaml").read_text(), "skill.yaml")
    words = [word.replace("5000", "0") for word in skill.actions[0].command[1:]]
    command = [sys.executable, *words]
    with listening(command, tmp_path / "skills/smmjob/actions/smmjob", "Uvicorn running on ") as url:
        assert url.startswith("http://127.0.0.1:")
        for payload in ({"number": 1}, "text", None, [1, 2]):
            assert answer(f"{url}/invoke", {**FACTS, "payload": payload}) == (200, {"payload": payload})
        assert answer(f"{url}/invoke", FACTS)[0] == 500
        assert answer(f"{url}/healthz", method="GET") == (200, {"status": "ok"})


def test_the_external_api_calls_this_machine(tmp_path: Path) -> None:
    render("external-api", "smmjob", tmp_path)
    assert not (tmp_path / "skills/smmjob/actions").exists()
    skill, _ = parse_skill((tmp_path / "skills/smmjob/skill.yaml").read_text(), "skill.yaml")
    assert (skill.actions, skill.inputs[0].routing.default.runtime) == ((), "cortex/external-api")
    assert skill.defaults() == {
        "url": "http://127.0.0.1:8000",
        "path": "/echo",
        "method": "POST",
        "headers.Accept": "application/json",
    }


def test_the_echo_server_answers_with_the_call(tmp_path: Path) -> None:
    render("external-api", "smmjob", tmp_path)
    with listening([sys.executable, "docs/smmjob/echo_server.py", "0"], tmp_path, "Answering on ") as url:
        status, call = answer(f"{url}/echo", {"a": 1})
        assert (status, call["method"], call["path"], call["json"]) == (200, "POST", "/echo", {"a": 1})
        assert answer(f"{url}/echo", method="GET")[1]["json"] is None
