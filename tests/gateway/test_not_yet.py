"""Every option either has an effect or is refused: nothing is accepted and ignored."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import yaml

from tests.acceptance.live import PROJECT, Live, names
from tests.gateway.test_users import Caller, skill

ECHO = "print(message()['payload'], end='')"
INVOKE = "/skillinvoke/plain/inputs/request"


def test_what_cannot_be_carried_out_is_refused_and_does_nothing(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    mappings = [{"from": "input", "to": "plain.request"}, {"from": "plain.out", "to": "output"}]
    caller.post("/agents", {"name": "user", "skills": [{"skillName": "plain"}], "mappings": mappings})
    calls: list[tuple[str, str, Any]] = [
        *(("GET", f"/{kind}{word}", None) for kind in ("skills/plain", "agents/user") for word in ASKED),
        *(("GET", f"/{kind}?filter={quote(json.dumps(wanted))}", None) for kind, wanted in FILTERS),
    ]
    for method, path, body in calls:
        data = b"" if body is None else json.dumps(body).encode()
        assert caller.refused(501, method, PROJECT + path, data).endswith("."), path
        caller.refused(401, method, PROJECT + path, data, token="wrong")
    assert caller.get("/activations")["activations"] == []
    assert caller.get("/tasks")["tasks"] == []


ASKED = (
    "?verbose=true",
    "/deploy?verbose",
    "/deploy?stereotypes[0]=a",
    "/undeploy?verbose=true",
)
FILTERS: list[tuple[str, dict[str, Any]]] = [
    ("activations", {"payload": 1}),
    ("activations", {"status": {"$ne": "ERROR"}}),
    ("skills", {"name": {"$regex": ".*"}}),
    ("agents", {"$or": []}),
]


def test_what_asks_for_nothing_is_taken(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    assert caller.get("/skills/plain?verbose=false&output=json")["name"] == "plain"
    assert caller.get("/skills/plain/deploy?dryrun=false&verbose=false&stereotypes=")["success"] is True
    assert caller.get("/tasks?scheduled=false&json=true&query=x")["tasks"] == []
    caller.post(f"{INVOKE}?scheduleName=&scheduleCron=", {"payload": 1, "callbackUrl": None})


def test_lists_of_definitions_are_filtered_sorted_and_cut(live: Live) -> None:
    caller = Caller(live)
    for name, title in (("b", "same"), ("a", "same"), ("c", "other")):
        caller.post("/skills", skill(name, title=title))

    def found(**query: Any) -> list[Any]:
        text = "&".join(
            f"{key}={quote(value if isinstance(value, str) else json.dumps(value))}" for key, value in query.items()
        )
        return names(caller.get(f"/skills?{text}")["skills"])

    assert found() == ["a", "b", "c"]
    assert found(filter={"title": "same"}) == ["a", "b"]
    assert found(filter={"name": {"$in": ["b", "c"]}, "title": {"$ne": "other"}}) == ["b"]
    assert found(sort={"name": -1}) == ["c", "b", "a"]
    assert found(sort={"title": 1, "name": -1}) == ["c", "b", "a"]
    assert found(sort={"title": -1, "name": 1}) == ["a", "b", "c"]
    assert found(limit="1", skip="1") == ["b"]
    assert found(limit="2", sort={"name": -1}, filter={"title": "same"}) == ["b", "a"]
    wrong = (
        "filter=x",
        "filter=[]",
        'filter={"name":{"$in":"b"}}',
        'filter={"name":{}}',
        'filter={"name":{"$eq":[[1]]}}',
    )
    for query in (*wrong, 'sort={"size":1}', 'sort={"name":2}', "sort=name", "limit=0", "limit=x", "skip=-1"):
        caller.refused(400, "GET", f"{PROJECT}/skills?{quote(query, safe='=')}")


def test_lists_of_runs_are_filtered_like_their_own_keys(live: Live) -> None:
    live.skill("echo", ECHO)
    live.skill("other", ECHO)
    live.agent("both", ("input", "echo"), ("echo", "output"))
    first = live.invoke("other")["activationId"]
    second = live.invoke("both", kind="agents")["activationId"]
    caller = Caller(live)

    def found(path: str, key: str, **wanted: Any) -> list[Any]:
        rows = caller.get(f"/{path}?filter={quote(json.dumps(wanted))}")[path]
        return names(rows, key)

    assert found("activations", "activationId") == [second, first]
    assert found("activations", "activationId", agentName="both", status="COMPLETE") == [second]
    assert found("activations", "activationId", skillName="other") == [first]
    assert found("tasks", "skillName", agentName="both") == ["echo"]
    assert found("tasks", "skillName", skillName="other", state="complete") == ["other"]
    assert names(caller.get("/tasks?agentName=both")["tasks"], "skillName") == ["echo"]
    assert names(caller.get("/tasks?sort=asc")["tasks"], "skillName") == ["other", "echo"]
    query = f"agentName=x&filter={quote(json.dumps({'agentName': 'both'}))}"
    assert "different values" in caller.refused(400, "GET", f"{PROJECT}/activations?{query}")


def test_a_definition_is_shown_as_yaml(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill(title="Größe"))
    answer = caller.call("GET", f"{PROJECT}/skills/plain?output=yaml")
    assert answer.headers["content-type"].startswith("application/yaml")
    assert yaml.safe_load(answer.body) == caller.get("/skills/plain?output=json") == caller.get("/skills/plain")
    caller.refused(400, "GET", f"{PROJECT}/skills/plain?output=toml")


def test_a_dry_run_of_a_deploy_starts_nothing(live: Live) -> None:
    live.skill("echo", "open(ROOT / 'started', 'w')", type="daemon", port=5000)
    path = live.root / "skills/echo/skill.yaml"
    path.write_text(path.read_text().replace("cortex/jobs", "cortex/daemons"))
    caller = Caller(live)
    document = json.loads(path.read_text())
    del document["actions"][0]["response"]
    caller.post("/skills", document, **{"x-fabric-source": str(path.parent)})
    said = caller.get("/skills/echo/deploy?dryrun=true")["message"]
    assert "would start its daemons: echo" in said
    assert [item["kind"] for item in caller.get("/skills/echo/deploy?dryrun")["items"]] == [
        "Secret",
        "Deployment",
        "Service",
    ]
    assert caller.get("/tasks")["tasks"] == []
    caller.refused(400, "GET", f"{PROJECT}/skills/echo/deploy?dryrun=perhaps")
