"""Connections with their secrets, as programs and Fabric's clients ask for them."""

from __future__ import annotations

import json

from tests.acceptance.live import Live
from tests.gateway.test_users import Caller

ASK = """
import urllib.request
m = message()
url = f"{m['apiEndpoint']}:4450/internal/projects/{m['payload']}/connections/cortex%2Fdb"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {m['token']}"})
try:
    print(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
INSIDE = "/px:4450/internal/projects/local/connections"
DOCUMENT = {
    "name": "cortex/db",
    "connectionType": "mongo",
    "params": [{"name": "uri", "value": "#SECURE.mongo/uri"}, {"name": "db", "value": "orders"}],
}


def saved(live: Live) -> Caller:
    caller = Caller(live)
    caller.post("/connections", DOCUMENT)
    return caller


def test_only_the_inside_route_opens_secrets(live: Live) -> None:
    caller = saved(live)
    assert "there is no secret 'mongo/uri'" in caller.refused(400, "GET", f"{INSIDE}/cortex%2Fdb")
    caller.post("/secrets/mongo%2Furi", {"value": "mongodb://a:b@c"})
    for name in ("cortex%2Fdb", "cortex/db"):
        answer = caller.call("GET", f"{INSIDE}/{name}")
        found = json.loads(answer.body)
        assert [param["value"] for param in found["params"]] == ["mongodb://a:b@c", "orders"]
        assert answer.headers["cache-control"] == "no-store"
    assert caller.get("/connections/cortex/db")["params"] == DOCUMENT["params"]
    assert "mongodb" not in json.dumps(caller.get("/connections"))
    caller.refused(404, "GET", f"{INSIDE}/other")
    caller.refused(401, "GET", f"{INSIDE}/cortex%2Fdb", token="wrong")


def test_a_program_gets_a_connection_of_its_own_project_only(live: Live) -> None:
    caller = saved(live)
    caller.post("/secrets/mongo%2Furi", "s3cret-uri")
    live.skill("ask", ASK)
    found = json.loads(live.invoke("ask", "local")["response"])
    assert found["params"][0] == {"name": "uri", "value": "s3cret-uri"}
    assert json.loads(live.invoke("ask", "other")["response"])["success"] is False


def test_types_of_connections_are_listed(live: Live) -> None:
    found = json.loads(Caller(live).call("GET", "/fabric/v4/connectiontypes").body)
    assert found["success"] is True
    assert {"name", "title"} <= found["connectionTypes"][0].keys()
    assert "mongo" in [kind["name"] for kind in found["connectionTypes"]]
