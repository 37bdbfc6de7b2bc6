"""What clients of Fabric read, and what they send without looking (docs/reference/compatibility.md)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.acceptance.live import PROJECT, Live, names, until
from tests.gateway.access import make_token
from tests.gateway.test_users import Caller, skill

TREE = f"/fabric/v4/dependencies/tree/{PROJECT.rpartition('/')[2]}"


def agent(name: str, *skills: str) -> dict[str, Any]:
    """Return the document of an agent that wires skills in a row."""
    ends = ["input", *skills, "output"]
    mappings = [{"from": one, "to": other} for one, other in pairwise(ends)]
    return {"name": name, "skills": [{"skillName": each, "refId": each} for each in skills], "mappings": mappings}


def test_a_doubled_prefix_is_taken_for_one(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill("cortex/plain"))
    for prefix in ("", "/px", "/px:5000"):
        path = f"{prefix}/fabric/v4//fabric/v4/projects/local/skillinvoke/cortex/plain/inputs/request"
        answer = caller.call("POST", path, b'{"payload": 1}')
        assert "activationId" in json.loads(answer.body), answer
    assert caller.call("GET", "/fabric/v4//fabric/v5/info").status == 404


def test_names_with_raw_slashes_reach_every_route(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill("a/b"))
    caller.post("/agents", agent("c/d", "a/b"))
    for path, name in (("/skills/a/b", "a/b"), ("/agents/c/d", "c/d")):
        assert caller.get(path)["name"] == name
        assert names(caller.get(f"{path}/versions")[path.split("/")[1][:-1]]) == [name]
        for what in ("deploy", "undeploy"):
            assert caller.get(f"{path}/{what}")["success"] is True
    assert "'a/b', action 'act' has run" in caller.refused(404, "GET", f"{PROJECT}/skills/a/b/action/act/logs")
    assert "activationId" in caller.post("/agentinvoke/c/d/services/input", {"payload": 1})
    assert "in use by c/d" in caller.refused(403, "DELETE", f"{PROJECT}/skills/a/b")


def test_definitions_say_how_they_are_deployed(live: Live) -> None:
    caller = Caller(live)
    document = skill("both")
    document["actions"].append({"name": "listens", "type": "daemon", "image": "x", "port": 5000})
    version = caller.post("/skills", document)["version"]
    caller.post("/agents", agent("uses", "both"))
    states = [{"name": "act", "state": "READY"}, {"name": "listens", "state": "READY"}]
    (row,) = caller.get("/skills")["skills"]
    assert (row["deployStatus"], row["actionStatuses"]) == ("DEPLOYED", states)
    assert caller.get("/agents")["agents"][0]["deployStatus"] == "DEPLOYED"
    shown = caller.get("/skills/both")
    assert (shown["deployStatus"], shown["actionStatuses"]) == ("DEPLOYED", states)
    assert caller.post("/skills", shown)["version"] == version  # it is the same skill
    assert (row["createdBy"], shown["createdBy"]) == ("local", "local")
    anna = make_token(caller, "anna", "admin").jwt()
    caller.call("POST", f"{PROJECT}/skills", json.dumps({**shown, "title": "hers"}).encode(), token=anna)
    assert caller.get("/skills/both")["createdBy"] == "anna"


def test_a_daemon_that_runs_says_its_state(live: Live) -> None:
    live.skill("echo", "import signal; signal.pause()", prelude="", type="daemon", port=5000)
    path = live.root / "skills/echo/skill.yaml"
    document = json.loads(path.read_text().replace("cortex/jobs", "cortex/daemons"))
    del document["actions"][0]["response"]
    path.write_text(json.dumps(document))
    caller = Caller(live)
    caller.post("/skills", document, **{"x-fabric-source": str(path.parent)})
    caller.get("/skills/echo/deploy")
    starting = {"name": "echo", "state": "STARTING"}
    until(lambda: caller.get("/skills/echo")["actionStatuses"] == [starting], "it starts")


def test_info_names_the_registry_that_is_in_use(live: Live) -> None:
    live.environment["FABRIC_JOBS_CONFIG_DIR"] = str(live.root / "config")
    caller = Caller(live)

    def registry() -> Any:
        return json.loads(json.loads(caller.call("GET", "/fabric/v4/info", token="").body)["endpoints"])["registry"]

    assert registry() == {"url": "localhost"}
    live.ok("workspaces", "registry", "add", "mine", "--url", "registry.example.org:5000", "--namespace", "team")
    live.ok("workspaces", "registry", "activate", "mine")
    assert registry() == {"url": "registry.example.org:5000/team"}
    (live.root / "config" / "registries.toml").write_text("[")
    assert registry() == {"url": "localhost"}


def test_what_a_definition_needs_is_a_tree(live: Live) -> None:
    caller = Caller(live)
    caller.post("/types", {"name": "Flight", "parameters": []})
    needs = skill("a/b")
    needs["inputs"][0]["parameters"], needs["outputs"][0]["parameters"] = {"$ref": "Flight"}, {"$ref": "Lost"}
    caller.post("/skills", needs)
    caller.post("/agents", agent("uses", "a/b", "gone"))
    types: list[dict[str, Any]] = [
        {"type": "Type", "name": name, "exists": name == "Flight", "dependencies": []} for name in ("Flight", "Lost")
    ]
    tree = json.loads(caller.call("POST", f"{TREE}/Agent/uses").body)
    assert (tree["success"], tree["type"], tree["name"], tree["exists"]) == (True, "Agent", "uses", True)
    assert tree["dependencies"] == [
        {"type": "Skill", "name": "a/b", "exists": True, "dependencies": types},
        {"type": "Skill", "name": "gone", "exists": False, "dependencies": []},
    ]
    assert json.loads(caller.call("POST", f"{TREE}/skill/a/b", b'{"any": 1}').body)["dependencies"] == types
    assert "no agent 'usess'" in caller.refused(404, "POST", f"{TREE}/Agent/usess")
    assert "Campaign" in caller.refused(404, "POST", f"{TREE}/Campaign/x")
    caller.refused(401, "POST", f"{TREE}/Agent/uses", token="wrong")


OUT_OF_SCOPE = (
    "/fabric/v4/roles",
    "/fabric/v4/usergrants/x",
    "/fabric/v4/accounts/service",
    "/fabric/v4/accounts/pat",
    "/fabric/v4/pipeline-repositories",
    "/fabric/v4/applications",
    "/fabric/v4/impactassessment/assessments",
    f"{PROJECT}/pipelines",
    f"{PROJECT}/pipeline-repositories/x/update",
    f"{PROJECT}/campaigns/x/missions",
    f"{PROJECT}/skillStereotypes",
)


def test_routes_that_fabric_had_beyond_these_are_not_found(live: Live) -> None:
    caller = Caller(live)
    for path in OUT_OF_SCOPE:
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert path in caller.refused(404, method, path)


@pytest.mark.parametrize("path", ["/skills", "/agents", "/activations", "/tasks", "/deadletters", "/events"])
def test_keys_of_a_query_that_nobody_knows_are_ignored(live: Live, path: str) -> None:
    assert Caller(live).get(f"{path}?compat=true&color=on&json=&status=&shared=false&profile=x")["success"] is True
