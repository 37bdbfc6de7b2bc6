"""Definitions as YAML, as what would run on Kubernetes, and as OpenAPI documents: over HTTP and as commands."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
import yaml
from schemathesis.core.result import Ok

from fabric_jobs.gateway import definitions, dry_run
from tests.acceptance.live import PROJECT, Live
from tests.gateway.test_users import Caller, skill

ECHO = "print(message()['payload'], end='')"
PAIR = {
    "name": "pair",
    "skills": [{"skillName": "plain", "refId": "one"}, {"skillName": "plain", "refId": "two"}, {"skillName": "a/b"}],
    "mappings": [
        {"from": "input", "to": "one.request"},
        {"from": "one.out", "to": "two.request"},
        {"from": "two.out", "to": "a/b"},
        {"from": "a/b", "to": "output"},
    ],
}


def with_parameters(*listed: dict[str, Any], **more: Any) -> dict[str, Any]:
    document = skill(**more)
    document["inputs"][0]["parameters"] = list(listed)
    return document


def operations_of(document: dict[str, Any]) -> list[str]:
    schema = schemathesis.openapi.from_dict(document)
    return [found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)]


def test_a_skill_is_shown_as_what_would_run(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    found = caller.get("/skills/plain?output=k8s")
    assert [item["kind"] for item in found["items"]] == ["Secret", "Job"]
    dry = caller.get("/skills/plain/deploy?dryrun=true")
    assert dry.pop("success") is True
    assert "would start nothing" in dry.pop("message")
    assert dry == found
    caller.refused(400, "GET", f"{PROJECT}/skills/plain?output=helm")
    caller.refused(404, "GET", f"{PROJECT}/skills/none?output=k8s")
    caller.post(
        "/skills", skill("odd", actions=[{"name": "act", "image": "odd", "podSpec": [{"path": "/x/y", "value": 1}]}])
    )
    assert "'/x/y'" in caller.refused(400, "GET", f"{PROJECT}/skills/odd?output=k8s")
    assert "'/x/y'" in caller.refused(400, "GET", f"{PROJECT}/skills/odd/deploy?dryrun")


def test_an_agent_is_shown_with_each_of_its_skills_once(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    caller.post("/agents", PAIR)
    assert "'a/b' is not saved" in caller.refused(404, "GET", f"{PROJECT}/agents/pair?output=k8s")
    caller.post("/skills", skill("a/b"))
    found = caller.get("/agents/pair?output=k8s")
    names = [(item["kind"], item["metadata"]["name"]) for item in found["items"]]
    assert len(names) == len(set(names)) == 4
    assert caller.get("/agents/pair/deploy?dryrun")["items"] == found["items"]


def test_a_cluster_is_asked_beside_the_loop_of_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library, the kubeconfig and the runtime layer take too long to be read between two requests."""
    threads = set()

    def noted(*_: object, **__: object) -> dict[str, Any]:
        threads.add(threading.current_thread())
        return {"items": []}

    monkeypatch.setattr(definitions, "kubernetes", noted)
    monkeypatch.setattr(dry_run, "asked", noted)
    call = SimpleNamespace(parts=None, of=lambda parameter: True)
    saved = SimpleNamespace(kind="skill", name="plain")
    asyncio.run(definitions._not_done(cast(Any, call), cast(Any, saved), "would start nothing"))
    assert threads
    assert threading.main_thread() not in threads


def test_an_interface_is_an_openapi_document_of_the_real_routes(live: Live) -> None:
    caller = Caller(live)
    count = {"name": "count", "type": "Integer", "required": True, "description": "How many."}
    caller.post("/skills", with_parameters(count, {"name": "kind", "type": "Enum"}, name="a/b", title="Two"))
    document = caller.get("/skills/a%2Fb?output=openapi")
    (path,) = document["paths"]
    assert path == f"{PROJECT}/skillinvoke/a%2Fb/inputs/request"
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["payload"] == {
        "type": "object",
        "properties": {"count": {"type": "integer", "description": "How many."}, "kind": {}},
        "required": ["count"],
    }
    assert operations_of(document) == [f"POST {path}"]
    assert json.loads(caller.call("POST", path, json.dumps({"payload": {"count": 1}}).encode()).body)["activationId"]
    caller.post("/skills", skill())
    caller.post("/agents", PAIR)
    assert operations_of(caller.get("/agents/pair?output=openapi")) == [
        f"POST {PROJECT}/agentinvoke/pair/services/input"
    ]


def test_a_task_is_shown_as_its_job(live: Live) -> None:
    live.skill("echo", ECHO, environmentVariables={"A": "b"})
    live.invoke("echo", {"hidden": 1})
    said = yaml.safe_load(live.ok("tasks", "describe", "echo", "--k8s").out)
    (task,) = live.ok("tasks", "list", "-o", "json").value
    secret, job = said["items"]
    assert job["metadata"]["annotations"]["fabric-jobs/attempt"] == f"{task['name']}-1"
    order = json.loads(secret["stringData"]["order.json"])
    assert (order["environment"]["A"], order["words"][-1]) == ("b", "(left out)")
    assert "hidden" not in json.dumps(said)
    assert live.ok("tasks", "describe", "echo", "-o", "json").value["state"] == "COMPLETE"
    live.fails(3, "tasks", "describe", "none", "--k8s")


def test_definitions_are_described_as_their_files_are_now(live: Live) -> None:
    live.skill("echo", ECHO)
    live.agent("alone", ("input", "echo"), ("echo", "output"))
    shown = yaml.safe_load(live.ok("skills", "describe", "echo").out)
    assert (shown["name"], shown["_version"]) == ("echo", 1)
    path = live.root / "skills/echo/skill.yaml"
    path.write_text(path.read_text().replace('"camel"', '"title": "New", "camel"'))
    assert live.ok("skills", "describe", "echo", "-o", "json").value["title"] == "New"
    assert live.ok("agents", "describe", "alone", "-o", "openapi").value["info"]["title"] == "alone"
    listed = yaml.safe_load(live.ok("agents", "describe", "alone", "-o", "k8s").out)
    assert [item["kind"] for item in listed["items"]] == ["Secret", "Job"]
    assert live.ok("tasks", "list", "-o", "json").value == []
    assert "Did you mean 'echo'?" in live.fails(3, "skills", "describe", "ecko-x")
    live.fails(2, "skills", "describe", "echo", "-o", "helm")
