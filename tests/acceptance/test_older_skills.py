"""Skills as Fabric's users have them: names with '/', no `actions:`, the program beside skill.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.runtime.cortex_worker.ports import free_port
from tests.acceptance.live import Live

JOB = "import json, sys; print(json.loads(sys.argv[1])['payload'] + 1)"
LISTENER = """\
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = [os.environ.get("GREETING"), message["payload"], self.headers.get("X-Flavour")]
        body = json.dumps({"payload": told}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

"""


def older_skill(directory: Path, name: str, program: str, *, runtime: str = "cortex/jobs", **more: Any) -> None:
    """Write a skill of the older layout: its action is named by its routing alone."""
    directory.mkdir(parents=True, exist_ok=True)
    target = {"action": name, "runtime": runtime, "output": "output"}
    document = {"camel": "1.0.0", "name": f"{name}-skill", "inputs": [{"name": "input", "routing": {"all": target}}]}
    (directory / "skill.yaml").write_text(json.dumps({**document, "outputs": [{"name": "output"}], **more}))
    (directory / "Dockerfile").write_text(
        'FROM python\nADD . /app\nWORKDIR /app\nENTRYPOINT ["python", "/app/program.py"]\n'
    )
    (directory / "program.py").write_text(program)


def test_older_skills_and_an_agent_at_the_root_run(live: Live) -> None:
    for name in ("generator", "consumer"):
        older_skill(live.root / "skills" / name, f"cortex/{name}", JOB)
    mappings = [{"from": "input", "to": "a"}, {"from": "a", "to": "b"}, {"from": "b", "to": "output"}]
    skills = [
        {"skillName": f"cortex/{name}-skill", "refId": ref} for name, ref in (("generator", "a"), ("consumer", "b"))
    ]
    (live.root / "agent.yaml").write_text(json.dumps({"name": "cortex/chain", "skills": skills, "mappings": mappings}))
    failed = live.run("agents", "invoke", "cortex/chain", "--payload", "1")
    assert "can only concatenate str" in failed.err  # what is printed is a text
    assert live.invoke("cortex/generator-skill", 1)["response"] == "2\n"
    assert live.get("/skills/cortex%2Fgenerator-skill")["inputs"][0]["parameters"] == []
    assert "0 errors" in live.ok("workspaces", "lint").err
    attempts = sorted(path.name for path in (live.state / "attempts").iterdir())
    assert [name[: len("local-cortex-generator-skill-cortex-generator")] for name in attempts][1:] == [
        "local-cortex-generator-skill-cortex-generator"
    ] * 2
    assert all((live.state / "attempts" / name / "stdout").is_file() for name in attempts)
    assert len(attempts) == 3  # each task was started once


def test_a_directory_may_be_one_skill_with_an_action_json(live: Live, tmp_path: Path) -> None:
    only = Live(tmp_path / "only")
    (only.root / "skills").rmdir()
    listen = 'HTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()'
    older_skill(only.root, "connection", LISTENER + listen, runtime="cortex/daemons")
    action = {"name": "connection", "actionType": "daemon", "docker": "", "port": "5000"}
    command = json.dumps(["python", "program.py", "--port", "5000"])
    variables = '"GREETING"="hello"'
    (only.root / "action.json").write_text(
        json.dumps({**action, "command": command, "environmentVariables": variables})
    )
    try:
        for _ in range(2):
            assert only.invoke("connection-skill", 1)["response"] == ["hello", 1, None]
        assert "0 errors" in only.ok("workspaces", "lint").err
        (task,) = [task for task in only.ok("tasks", "list", "-o", "json").value if task["activationId"] is None]
        assert (
            task["attempt"] == 1
        )  # one daemon for both: what a run writes into .fabric-jobs is not a change of the program
    finally:
        only.close()


@pytest.mark.parametrize("has_own", [False, True], ids=["declared", "own"])
def test_a_daemon_that_ignores_PORT_is_found_by_what_it_listens_on(live: Live, has_own: bool) -> None:
    declared = free_port()
    where = '"127.0.0.1", 0' if has_own else f'"0.0.0.0", {declared}'
    properties = {"daemon.port": declared, "headers.X-Flavour": "sour"}
    older_skill(
        live.root / "skills" / "fixed",
        "fixed",
        LISTENER + f"HTTPServer(({where}), Handler).serve_forever()",
        runtime="cortex/daemons",
        properties=[{"name": name, "defaultValue": value} for name, value in properties.items()],
    )
    assert live.invoke("fixed-skill", 1)["response"] == [None, 1, "sour"]
    live.kill_owner()
    assert live.invoke("fixed-skill", 2)["response"] == [None, 2, "sour"]  # the next owner finds it, too
    assert len(live.attempts("fixed-skill")) == 1
