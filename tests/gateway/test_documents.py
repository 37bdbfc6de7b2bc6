"""Documents that a project keeps by name: connections, types, models, experiments with runs, sessions, actions."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.live import PROJECT, Live, names, until
from tests.gateway.test_users import Caller, skill

KINDS: dict[str, dict[str, Any]] = {
    "connections": {"name": "cortex/db", "connectionType": "mongo", "params": [{"name": "uri", "value": "#SECURE.m"}]},
    "types": {"name": "cortex/db", "parameters": [{"name": "x", "type": "string"}]},
    "models": {"name": "cortex/db", "type": "sklearn", "tags": [{"label": "a", "value": "a"}]},
    "experiments": {"name": "cortex/db", "modelId": "m", "meta": {"k": [1]}},
    "actions": {"name": "cortex/db", "type": "job", "image": "registry/x:1", "command": ["python", "main.py"]},
}


def asked(**query: Any) -> str:
    return "&".join(
        f"{key}={quote(value if isinstance(value, str) else json.dumps(value))}" for key, value in query.items()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_saved_listed_shown_changed_and_deleted(live: Live, kind: str) -> None:
    caller, document = Caller(live), KINDS[kind]
    first = caller.post(f"/{kind}", document)
    assert (first["success"], first["version"]) == (True, 1)
    (row,) = caller.get(f"/{kind}")[kind]
    assert (row["name"], row["_version"], row["createdBy"]) == ("cortex/db", 1, "local")
    assert "params" not in row
    for path in ("cortex%2Fdb", "cortex/db"):
        found = caller.get(f"/{kind}/{path}")
        found = found["action"] if kind == "actions" else found
        assert {key: found[key] for key in document} == document
    assert caller.post(f"/{kind}", found)["version"] == 1  # as it was shown
    assert caller.post(f"/{kind}", {**document, "description": "T"})["version"] == 2
    assert names(caller.get(f"/{kind}?{asked(filter={'description': 'T'}, sort={'updatedAt': -1})}")[kind]) == [
        "cortex/db"
    ]
    noun = kind.removesuffix("s")
    assert [row["_version"] for row in caller.get(f"/{kind}/cortex/db/versions")[noun]] == [2, 1]
    assert json.loads(caller.call("DELETE", f"{PROJECT}/{kind}/cortex%2Fdb").body)["success"] is True
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/versions")):
        caller.refused(404, method, f"{PROJECT}/{kind}/cortex/db{path}")
    assert caller.get(f"/{kind}")[kind] == []
    assert caller.post(f"/{kind}", document)["version"] == 4


@pytest.mark.parametrize(
    ("kind", "document", "path"),
    [
        ("connections", {"name": "c"}, ""),
        ("connections", {"name": "c", "connectionType": "x", "params": [{"value": 1}]}, "params[0]"),
        ("connections", {"name": "c", "connectionType": 3}, "connectionType"),
        ("types", {"name": "../x"}, "name"),
        ("types", {"name": "t", "parameters": "x"}, "parameters"),
        ("models", {"title": "no name"}, ""),
        ("models", {"name": "m/runs/x"}, "name"),
        ("experiments", {"name": "e", "meta": [1]}, "meta"),
        ("actions", {"name": "a", "command": "python main.py"}, "command"),
        ("actions", {"name": "a", "type": "pod"}, "type"),
        ("actions", {"name": "a", "type": "daemon", "jobTimeout": 3}, "jobTimeout"),
        ("actions", {"name": "a", "k8sResources": 3}, "k8sResources"),
    ],
)
def test_a_wrong_document_says_what_is_wrong_and_nothing_is_saved(
    live: Live, kind: str, document: dict[str, Any], path: str
) -> None:
    caller = Caller(live)
    answer = caller.call("POST", f"{PROJECT}/{kind}", json.dumps(document).encode())
    assert answer.status == 400
    (problem,) = json.loads(answer.body)["details"]
    assert ".".join(problem["path"]) == path
    assert caller.get(f"/{kind}")[kind] == []


def test_bodies_are_objects_of_a_limited_size(live: Live) -> None:
    live.environment["FABRIC_JOBS_DEFINITION_BYTES"] = "2000"
    caller = Caller(live)
    large = json.dumps({"name": "a", "connectionType": "x", "value": "x" * 2000}).encode()
    assert "FABRIC_JOBS_DEFINITION_BYTES" not in caller.refused(413, "POST", f"{PROJECT}/connections", large)
    for body in (b"[]", b"{", b'{"types": []}', b'{"types": [1]}', b'{"types": {}}'):
        caller.refused(400, "POST", f"{PROJECT}/types", body)
    caller.post("/experiments", {"name": "e"})
    run = caller.post("/experiments/e/runs", {})["runId"]
    value = json.dumps({"value": "x" * 2000}).encode()
    assert "artifacts" in caller.refused(413, "PUT", f"{PROJECT}/experiments/e/runs/{run}/params/k", value)
    session = caller.post("/sessions", {})["sessionId"]
    caller.refused(413, "POST", f"{PROJECT}/sessions/{session}", json.dumps({"state": {"k": "x" * 2000}}).encode())
    assert caller.get(f"/sessions/{session}")["state"] == {}


def test_several_types_are_saved_together_or_not_at_all(live: Live) -> None:
    caller = Caller(live)
    body = json.dumps({"types": [{"name": "a"}, {"name": "b", "parameters": 3}]}).encode()
    caller.refused(400, "POST", f"{PROJECT}/types", body)
    assert caller.get("/types")["types"] == []
    assert names(caller.post("/types", {"types": [{"name": "b"}, {"name": "a"}]})["types"]) == ["b", "a"]
    assert names(caller.get("/types")["types"]) == ["a", "b"]


def test_what_is_in_use_is_not_deleted(live: Live) -> None:
    caller = Caller(live)
    caller.post("/types", {"name": "text"})
    caller.post("/connections", {"name": "db", "connectionType": "mongo"})
    caller.post("/models", {"name": "m"})
    caller.post("/experiments", {"name": "e", "modelId": "m"})
    used = skill(datasets=[{"name": "d", "connections": [{"default": {"name": "db", "type": "mongo"}}]}])
    used["outputs"][0]["parameters"] = {"$ref": "text"}
    caller.post("/skills", used)
    for path, user in (
        ("types/text", {"name": "plain", "type": "skill"}),
        ("connections/db", {"name": "plain", "type": "skill"}),
        ("models/m", {"name": "e", "type": "experiment"}),
    ):
        answer = caller.call("DELETE", f"{PROJECT}/{path}")
        assert (answer.status, json.loads(answer.body)["details"]) == (403, [user])
        assert caller.get(f"/{path}")["_version"] == 1
    for path in ("experiments/e", "models/m", "skills/plain", "types/text", "connections/db"):
        assert caller.call("DELETE", f"{PROJECT}/{path}").status == 200


def test_models_are_published_and_found_by_their_tags(live: Live) -> None:
    caller = Caller(live)
    saved = caller.post("/models", {"name": "m", "tags": [{"label": "nlp", "value": "nlp"}]})
    assert (saved["created"], saved["modelId"]) == (True, "m")
    caller.post("/models/m/publish", {})
    assert caller.get("/models/m")["status"] == "published"
    assert caller.post("/models", {"name": "m", "title": "M"})["created"] is False
    assert (caller.get("/models/m")["status"], caller.get("/models/m")["title"]) == ("published", "M")
    caller.post("/models/m/unpublish", {})
    assert caller.get("/models/m")["status"] == "unpublished"
    assert names(caller.get("/models?tags=nlp,other")["models"]) == ["m"]
    assert caller.get("/models?tags=other")["models"] == []
    caller.refused(404, "POST", f"{PROJECT}/models/x/publish", b"{}")


def test_runs_are_made_changed_found_and_deleted(live: Live) -> None:
    caller = Caller(live)
    caller.post("/models", {"name": "m"})
    caller.post("/experiments", {"name": "cortex/e", "modelId": "m"})
    runs = f"{PROJECT}/experiments/cortex%2Fe/runs"
    made = caller.post("/experiments/cortex%2Fe/runs", {"params": {"depth": 3}})["runId"]
    named = caller.post("/experiments/cortex/e/runs", {"runId": "run_01", "_id": "x", "experimentName": "y"})
    assert (named["runId"], named["experimentName"]) == ("run_01", "cortex/e")
    for group, key, value in (("metrics", "accuracy", 0.9), ("meta", "algo", "tree"), ("params", "width", [1, None])):
        body = json.dumps({"value": value}).encode()
        assert json.loads(caller.call("PUT", f"{runs}/{made}/{group}/{key}", body).body)["success"] is True
    times = json.dumps({"startTime": 5, "endTime": None, "took": 1.5}).encode()
    assert json.loads(caller.call("PUT", f"{runs}/{made}", times).body)["success"] is True
    run = caller.get(f"/experiments/cortex%2Fe/runs/{made}")
    assert (run["params"], run["metrics"], run["meta"]) == (
        {"depth": 3, "width": [1, None]},
        {"accuracy": 0.9},
        {"algo": "tree"},
    )
    assert (run["startTime"], run["endTime"], run["took"], run["artifacts"]) == (5, None, 1.5, {})

    def found(path: str = "/experiments/cortex%2Fe/runs", **query: Any) -> list[Any]:
        return names(caller.get(f"{path}?{asked(**query)}")["runs"], "runId")

    assert found() == [made, "run_01"]
    assert found("/models/m/experiments/runs") == [made, "run_01"]
    assert found(filter={"runId": "run_01"}) == ["run_01"]
    assert found(filter={"metrics.accuracy": {"$gt": 0.5}}) == [made]
    assert found(sort={"_createdAt": 1}, limit="1", skip="1") == ["run_01"]
    assert found(sort={"took": -1}) == found(sort={"endTime": 1, "took": -1}) == [made, "run_01"]
    assert found(sort={"took": 1}, limit="1") == ["run_01"]  # it has none, which comes before all others
    caller.refused(400, "GET", f"{runs}?sort=name")
    deleted = json.loads(caller.call("DELETE", f"{runs}?{asked(filter={'runId': made})}").body)
    assert (deleted["message"], deleted["deleted"]) == ("Runs deleted", 1)
    assert caller.call("DELETE", f"{runs}/run_01").status == 200
    caller.refused(404, "DELETE", f"{runs}/run_01")
    assert found() == []


def test_a_run_belongs_to_its_experiment(live: Live) -> None:
    caller = Caller(live)
    caller.post("/experiments", {"name": "e"})
    for path, body in (("x/runs", b"{}"), ("e/runs/none", b"{}"), ("e/runs/none/params/k", b'{"value": 1}')):
        method = "POST" if path == "x/runs" else "PUT"
        caller.refused(404, method, f"{PROJECT}/experiments/{path}", body)
    for body in (b'{"runId": "a/b"}', b'{"runId": 3}', b'{"runId": ""}', b'{"params": [1]}'):
        caller.refused(400, "POST", f"{PROJECT}/experiments/e/runs", body)
    run = caller.post("/experiments/e/runs", {"runId": "r"})["runId"]
    caller.refused(400, "PUT", f"{PROJECT}/experiments/e/runs/{run}/params/k", b"{}")
    caller.refused(405, "PUT", f"{PROJECT}/experiments/e/runs/{run}/other/k", b'{"value": 1}')
    assert caller.post("/experiments/e/runs", {"runId": "r", "took": 2})["took"] == 2  # the same run
    assert len(caller.get("/experiments/e/runs")["runs"]) == 1
    assert caller.call("DELETE", f"{PROJECT}/experiments/e").status == 200
    caller.refused(404, "GET", f"{PROJECT}/experiments/e/runs/r")
    caller.post("/experiments", {"name": "e"})
    assert caller.get("/experiments/e/runs")["runs"] == []


def test_values_that_are_set_at_once_are_all_kept(live: Live) -> None:
    caller = Caller(live)
    caller.post("/experiments", {"name": "e"})
    caller.post("/experiments/e/runs", {"runId": "r"})
    session = caller.post("/sessions", {})["sessionId"]

    def set_values(number: int) -> None:
        for index in range(5):
            key = f"{number}-{index}"
            caller.call("PUT", f"{PROJECT}/experiments/e/runs/r/metrics/{key}", b'{"value": 1}')
            caller.post(f"/sessions/{session}", {"state": {key: 1}})

    threads = [threading.Thread(target=set_values, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caller.get("/experiments/e/runs/r")["metrics"]) == 20
    assert len(caller.get(f"/sessions/{session}")["state"]) == 20


def test_a_session_holds_a_state_until_it_ends(live: Live) -> None:
    caller = Caller(live)
    started = caller.post("/sessions", {"ttl": 100, "description": "talk"})
    path = f"/sessions/{started['sessionId']}"
    caller.post(path, {"state": {"a": 1, "b": {"c": None}}})
    caller.post(path, {"state": {"a": 2}})
    assert caller.get(path)["state"] == {"a": 2, "b": {"c": None}}
    assert caller.get(f"{path}?key=a")["state"] == {"a": 2}
    assert caller.get(f"{path}?key=x")["state"] == {}
    shown = caller.get(f"{path}?verbose")
    assert (shown["description"], shown["ttl"]) == ("talk", 100)
    assert shown["expiresAt"] == pytest.approx(shown["updatedAt"] + 100_000, abs=1000)
    assert names(caller.get("/sessions?limit=10")["sessions"], "sessionId") == [started["sessionId"]]
    assert json.loads(caller.call("DELETE", PROJECT + path).body)["success"] is True
    for method, body in (("GET", b""), ("DELETE", b""), ("POST", b'{"state": {}}')):
        caller.refused(404, method, PROJECT + path, body)
    brief = caller.post("/sessions", {"ttl": 0.05})["sessionId"]
    until(lambda: caller.call("GET", f"{PROJECT}/sessions/{brief}").status == 404, "the session ends")
    assert caller.get("/sessions")["sessions"] == []
    wrongs: list[dict[str, Any]] = [{"ttl": ttl} for ttl in (0, "5", True, 1e9)]
    for wrong in [*wrongs, {"description": 3}, {"state": []}]:
        caller.refused(400, "POST", f"{PROJECT}/sessions", json.dumps(wrong).encode())


def test_an_action_is_deployed_in_the_deprecated_form(live: Live) -> None:
    caller = Caller(live)
    caller.post(
        "/actions?actionType=job",
        {
            "name": "a",
            "docker": "r/x:1",
            "command": '["python", "main.py"]',
            "port": "8080",
            "k8sResources": [{"a": 1}],
        },
    )
    action = caller.get("/actions/a")["action"]
    assert (action["type"], action["image"], action["command"]) == ("job", "r/x:1", ["python", "main.py"])
    assert (action["k8sResources"], "port" in action) == (['{"a": 1}'], False)
    caller.post("/actions?actionType=daemon", {"name": "d", "image": "r/y:1", "port": "8080"})
    assert [(row["name"], row["type"]) for row in caller.get("/actions")["actions"]] == [("a", "job"), ("d", "daemon")]
    assert caller.get("/actions/d")["action"]["port"] == "8080"
    caller.post("/actions?actionType=daemon", {"name": "d", "image": "r/y:1", "port": "8080", "type": None})
    assert caller.get("/actions/d")["action"]["type"] == "daemon"
    caller.refused(400, "POST", f"{PROJECT}/actions?actionType=pod", b'{"name": "p"}')
    caller.refused(400, "POST", f"{PROJECT}/actions?actionType=job", b'{"name": "p", "type": {}}')


def test_documents_outlive_a_killed_owner(live: Live) -> None:
    caller = Caller(live)
    caller.post("/experiments", {"name": "e"})
    caller.post("/experiments/e/runs", {"runId": "r", "metrics": {"a": 1}})
    live.kill_owner()
    caller = Caller(live)
    assert caller.get("/experiments/e/runs/r")["metrics"] == {"a": 1}


def test_a_project_with_documents_is_not_deleted_and_one_with_deleted_ones_is(live: Live) -> None:
    caller = Caller(live)
    live.ok("projects", "create", "other")
    other = f"{PROJECT.removesuffix('local')}other"
    caller.call("POST", f"{other}/types", b'{"name": "text"}')
    caller.call("POST", f"{other}/sessions", b"{}")
    assert "type text" in live.fails(2, "projects", "delete", "other")
    caller.call("DELETE", f"{other}/types/text")
    live.ok("projects", "delete", "other")
    caller.refused(404, "GET", f"{other}/types")
