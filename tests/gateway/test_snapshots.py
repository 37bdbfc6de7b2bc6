"""Snapshots of agents: made, listed, shown and invoked by their ids, whatever becomes of the agent."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.acceptance.live import PROJECT, Live, names
from tests.gateway.access import make_project, make_token
from tests.gateway.test_describing import PAIR, operations_of
from tests.gateway.test_users import Caller, skill

PRINT = "print(message()['properties']['word'], end='')"


def say(live: Live, word: str) -> None:
    """Write a skill whose property is a word, which its program prints."""
    live.skill("say", PRINT)
    path = live.root / "skills/say/skill.yaml"
    document = json.loads(path.read_text())
    document["properties"] = [{"name": "word", "type": "string", "defaultValue": word}]
    path.write_text(json.dumps(document))


def test_a_snapshot_runs_what_it_froze(live: Live) -> None:
    say(live, "old")
    live.agent("alone", ("input", "say"), ("say", "output"))
    ran = live.ok("agents", "create-snapshot", "alone", "--title", "first")
    old = ran.out.strip()
    assert f"fabric-jobs agents invoke {old} --snapshot" in ran.err
    say(live, "new")
    new = live.ok("agents", "create-snapshot", "alone", "-o", "json").value["snapshotId"]
    assert live.invoke("alone", kind="agents")["response"] == "new"
    record = live.invoke(old, 1, "--snapshot", kind="agents")
    assert (record["response"], record["agentName"], record["serviceName"]) == ("old", "alone", "input")
    assert live.invoke(new, 1, "--snapshot", kind="agents")["response"] == "new"
    listed = live.ok("agents", "list-snapshots", "alone", "-o", "json").value
    assert [(item["snapshotId"], item["title"]) for item in listed] == [(new, ""), (old, "first")]
    assert listed[1]["agentVersion"] == listed[0]["agentVersion"] == 1
    assert [item["skillVersions"] for item in listed] == [{"say": 2}, {"say": 1}]
    shown = yaml.safe_load(live.ok("agents", "describe-snapshot", old, "--deps").out)
    assert shown["skills"][0]["properties"][0]["defaultValue"] == "old"
    caller = Caller(live)
    caller.call("DELETE", f"{PROJECT}/agents/alone")
    caller.call("DELETE", f"{PROJECT}/skills/say")
    answer = caller.sync(f"/agentinvoke/{old}/services/input?sync=true", {"payload": 1})
    assert (answer["status"], answer["response"]) == ("COMPLETE", "old")
    live.kill_owner()
    assert live.invoke(old, 1, "--snapshot", kind="agents")["response"] == "old"


def test_what_is_wrong_makes_no_snapshot(live: Live) -> None:
    caller = Caller(live)
    path = f"{PROJECT}/agents/pair/snapshots"
    caller.refused(404, "POST", path)
    caller.refused(404, "GET", path)
    caller.post("/skills", skill())
    caller.post("/agents", PAIR)
    assert "no skill 'a/b'" in caller.refused(404, "POST", path, b"{}")
    caller.post("/skills", skill("a/b"))
    wrong: list[dict[str, Any]] = [
        {"title": 1},
        {"title": "x" * 1001},
        {"snapshotId": "../../../etc"},
        {"snapshotId": "short"},
        {"agentName": "other"},
    ]
    for body in wrong:
        caller.refused(400, "POST", path, json.dumps(body).encode())
    caller.refused(400, "POST", path, b"[]")
    caller.refused(401, "POST", path, b"{}", token="wrong")
    assert caller.get("/agents/pair/snapshots")["snapshots"] == []
    caller.refused(404, "GET", f"{PROJECT}/snapshots/none")
    caller.refused(404, "POST", f"{PROJECT}/agentinvoke/0123456789abcdef/services/input", b'{"payload": 1}')
    live.fails(3, "agents", "list-snapshots", "none")
    live.fails(3, "agents", "invoke", "0123456789abcdef", "--snapshot", "--payload", "1")


def test_a_deleted_snapshot_is_gone_and_its_project_can_go(live: Live) -> None:
    caller = Caller(live)
    path = make_project(caller, "other")
    agent = {"name": "plain", "skills": [], "mappings": [{"from": "input", "to": "output"}]}
    caller.call("POST", f"{path}/agents", json.dumps(agent).encode())
    key = json.loads(caller.call("POST", f"{path}/agents/plain/snapshots").body)["snapshotId"]
    caller.refused(404, "GET", f"{PROJECT}/snapshots/{key}")  # in another project
    caller.refused(404, "DELETE", f"{PROJECT}/snapshots/{key}")
    caller.refused(403, "DELETE", f"{path}/snapshots/{key}", token=make_token(caller, "runs", "run", "other").jwt())
    caller.call("DELETE", f"{path}/agents/plain")
    assert "snapshots" in live.run("projects", "delete", "other").err
    assert caller.call("DELETE", f"{path}/snapshots/{key}").status == 200
    caller.refused(404, "GET", f"{path}/snapshots/{key}")
    caller.refused(404, "POST", f"{path}/agentinvoke/{key}/services/input", b'{"payload": 1}')
    assert live.fails(3, "agents", "delete-snapshot", key)
    live.ok("projects", "delete", "other")
    caller.post("/agents", agent)
    caller.post("/agents/plain/snapshots", {"snapshotId": "release-1"})
    assert live.ok("agents", "delete-snapshot", "release-1").out == "snapshot release-1 is deleted.\n"
    assert caller.get("/agents/plain/snapshots")["snapshots"] == []


def test_a_repeated_request_makes_one_snapshot_and_another_one_is_refused(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    mappings = [{"from": "input", "to": "plain.request"}, {"from": "plain.out", "to": "output"}]
    caller.post("/agents", {"name": "user", "skills": [{"skillName": "plain"}], "mappings": mappings})
    body = {"snapshotId": "release-1", "title": "one"}
    first = caller.post("/agents/user/snapshots", body)
    caller.post("/skills", skill(title="changed"))
    assert caller.post("/agents/user/snapshots", body) == first
    caller.refused(409, "POST", f"{PROJECT}/agents/user/snapshots", json.dumps({**body, "title": "two"}).encode())
    without_body = json.loads(caller.call("POST", f"{PROJECT}/agents/user/snapshots").body)
    assert names(caller.get("/agents/user/snapshots")["snapshots"], "snapshotId") == [
        without_body["snapshotId"],
        "release-1",
    ]


def test_a_snapshot_is_shown_in_every_form(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    caller.post("/skills", skill("a/b"))
    caller.post("/agents", PAIR)
    key = caller.post("/agents/pair/snapshots", {})["snapshotId"]
    caller.post("/skills", skill(actions=[{"name": "act", "type": "job", "image": "newer"}]))
    found = caller.get(f"/snapshots/{key}?deps=true")
    assert names(found["skills"]) == ["a/b", "plain"]
    assert found["agent"]["name"] == found["agentName"] == "pair"
    assert "skills" not in caller.get(f"/snapshots/{key}")
    images = [
        item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in caller.get(f"/snapshots/{key}?output=k8s")["items"]
        if item["kind"] == "Job"
    ]
    assert images == ["x", "x"]
    document = caller.get(f"/snapshots/{key}?output=openapi")
    assert operations_of(document) == [f"POST {PROJECT}/agentinvoke/{key}/services/input"]
    answer = caller.call("GET", f"{PROJECT}/snapshots/{key}?output=yaml")
    assert yaml.safe_load(answer.body)["snapshotId"] == key
    caller.refused(400, "GET", f"{PROJECT}/snapshots/{key}?output=helm")


def test_an_agent_of_that_name_wins(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    mappings = [{"from": "input", "to": "output"}]
    caller.post("/agents", {"name": "user", "skills": [], "mappings": mappings})
    caller.post("/agents/user/snapshots", {"snapshotId": "release-1"})
    caller.post("/agents", {"name": "release-1", "skills": [], "mappings": mappings})
    record = caller.sync("/agentinvoke/release-1/services/input?sync=true", {"payload": 5})
    assert (record["agentName"], record["response"]) == ("release-1", 5)
