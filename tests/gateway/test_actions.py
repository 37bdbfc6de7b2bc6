"""Actions that were deployed without a skill: which skills may lead to them, and what Fabric's command asks about them."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.live import PROJECT, Live
from tests.docker_place import BASE_IMAGE
from tests.gateway.test_users import Caller, skill

DOUBLE = "import json, sys; print(json.loads(sys.argv[-1])['payload'] * 2, end='')"


def action(program: str = DOUBLE, **more: Any) -> dict[str, Any]:
    return {"name": "apart", "image": BASE_IMAGE, "command": json.dumps(["python", "-c", program]), **more}


def routed(runtime: str = "cortex/jobs", **more: Any) -> dict[str, Any]:
    found = skill(**more)
    found["inputs"][0]["routing"]["all"] = {"action": "apart", "runtime": runtime, "output": "out"}
    return found


def test_a_skill_may_lead_to_an_action_that_is_there_and_then_needs_it(live: Live) -> None:
    caller = Caller(live)
    answer = caller.call("POST", f"{PROJECT}/skills", json.dumps(routed()).encode())
    assert answer.status == 400
    assert "is not an action of this skill" in json.loads(answer.body)["message"]
    caller.post("/actions", action())
    assert caller.post("/skills", routed())["version"] == 1
    answer = caller.call("DELETE", f"{PROJECT}/actions/apart")
    assert (answer.status, json.loads(answer.body)["details"]) == (403, [{"name": "plain", "type": "skill"}])
    own = routed(actions=[{"name": "apart", "type": "job", "image": "x"}])
    caller.post("/skills", own)
    assert caller.call("DELETE", f"{PROJECT}/actions/apart").status == 200


def test_a_skill_without_actions_is_saved_before_its_action_and_refused_until_then(live: Live) -> None:
    caller = Caller(live)
    without = routed()
    del without["actions"]
    caller.post("/skills", without)
    message = caller.refused(400, "POST", f"{PROJECT}/skillinvoke/plain/inputs/request", b'{"payload": 1}')
    assert "'apart', which is not an action of the skill" in message


def test_logs_and_configuration_have_the_old_form(live: Live) -> None:
    caller = Caller(live)
    assert caller.get("/actions/_config")["dockerPrivateRegistryUrl"] is not None
    caller.refused(404, "GET", f"{PROJECT}/actions/apart/logs")
    caller.post("/actions", action())
    assert caller.get("/actions/apart/logs") == {"success": True, "logs": "", "truncated": False}
    caller.refused(400, "POST", f"{PROJECT}/actions", b'{"name": "_config", "image": "x"}')
