"""Requests of the owner's user to a real gateway, over its Unix socket and its TCP port."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from fabric_jobs.client.remote import Remote, RemoteConnection
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection
from tests.acceptance.live import PROJECT, Live, names, until
from tests.gateway.routes import routes_of_a_user

ECHO = "print(message()['payload'], end='')"
PENDING = "open(ROOT / 'gate').read()"


class Caller:
    """Calls the gateway of a workspace, by default with the owner's token."""

    def __init__(self, live: Live, *, tcp: bool = False) -> None:
        live.ok("activations", "list")
        self.address = live.published()
        host, _, port = self.address.url.removeprefix("http://").partition(":")
        self.place: Any = (host, int(port)) if tcp else self.address.socket

    def call(self, method: str, path: str, body: bytes = b"", *, token: str | None = None, **headers: str) -> Answer:
        connection = Connection(self.place, self.address.token if token is None else token)
        try:
            return connection.request(method, path, body, headers=headers, timeout=60)
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.call("GET", PROJECT + path)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def post(self, path: str, value: object, **headers: str) -> Any:
        answer = self.call("POST", PROJECT + path, json.dumps(value).encode(), **headers)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def sync(self, path: str, value: object) -> Any:
        """Return the answer to a call, chunked or not."""
        connection = RemoteConnection(Remote(url=self.address.url, token=self.address.token))
        answer = connection.request("POST", PROJECT + path, json.dumps(value).encode())
        connection.close()
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def refused(self, status: int, method: str, path: str, body: bytes = b"", **options: Any) -> str:
        answer = self.call(method, path, body, **options)
        assert answer.status == status, answer
        value = json.loads(answer.body)
        assert answer.headers["content-type"] == "application/json"
        assert value["success"] is False
        message: str = value["message"]
        assert message
        return message


def skill(name: object = "plain", **more: Any) -> dict[str, Any]:
    """Return the document of a skill without files."""
    return {
        "camel": "1.0.0",
        "name": name,
        "inputs": [
            {"name": "request", "routing": {"all": {"action": "act", "runtime": "cortex/jobs", "output": "out"}}}
        ],
        "outputs": [{"name": "out"}],
        "actions": [{"name": "act", "type": "job", "image": "x"}],
        **more,
    }


@pytest.mark.parametrize("tcp", [False, True])
def test_it_answers_on_both_addresses(live: Live, tcp: bool) -> None:
    caller = Caller(live, tcp=tcp)
    info = json.loads(caller.call("GET", "/fabric/v4/info", token="").body)
    assert isinstance(info["serverTs"], int)
    assert json.loads(info["endpoints"])["registry"] == {"url": "localhost"}
    assert json.loads(caller.call("GET", "/px/healthz", token="").body) == {"status": "ok"}
    assert caller.get("/skills") == {"success": True, "skills": []}


def test_every_route_of_a_user_wants_the_owners_token(live: Live) -> None:
    caller = Caller(live)
    routes = routes_of_a_user()
    assert ("GET", f"{PROJECT}/skills/x") in routes
    for method, path in routes:
        for token in ("", "wrong", "é", caller.address.token + "0", caller.address.token[:-1]):
            assert caller.refused(401, method, path, token=token)
        assert "x-auth-error" in caller.call(method, path, token="wrong").headers


ODD = [
    ("GET", "/", 404),
    ("GET", "/nowhere", 404),
    ("GET", "/px", 404),
    ("GET", "/px:port/healthz", 404),
    ("GET", f"{PROJECT}/nothing", 404),
    ("DELETE", f"{PROJECT}/skills", 405),
    ("GET", f"{PROJECT}/skillinvoke/x/inputs/y", 405),
    ("POST", "/healthz", 405),
    ("GET", f"{PROJECT}/skills/none", 404),
    ("GET", f"{PROJECT}/skills/..%2f..%2f..%2fetc%2fpasswd", 404),
    ("GET", f"{PROJECT}/skills/../../etc/passwd", 404),
    ("GET", f"{PROJECT}/tasks/..%2f..%2fowner.json/logs?stream=stdout", 404),
    ("GET", f"{PROJECT}/tasks/%00/logs", 404),
    ("GET", f"{PROJECT}/activations/..%2F..%2Fhealthz", 404),
    ("GET", "/fabric/v4/projects/..%2f..%2f/skills/x", 404),
    ("POST", f"{PROJECT}/skillinvoke/../inputs/x", 400),
    ("POST", f"{PROJECT}/activations/none/cancel", 404),
]


def test_unknown_things_and_tricks_with_paths(live: Live) -> None:
    caller = Caller(live)
    for method, path, status in ODD:
        caller.refused(status, method, path)


NUMBERS = ["limit=x", "limit=0", "limit=-1", "limit=1e99", "limit=nan", "limit=inf", "skip=-1", "skip=x", "limit=10001"]


def test_bad_numbers_are_400(live: Live) -> None:
    caller = Caller(live)
    for query in NUMBERS:
        for path in ("/activations", "/tasks"):
            assert query.split("=")[0] in caller.refused(400, "GET", f"{PROJECT}{path}?{query}")


def test_bad_numbers_of_one_activation(live: Live) -> None:
    live.skill("echo", ECHO)
    activation = live.invoke("echo")["activationId"]
    caller = Caller(live)
    task = caller.get("/tasks")["tasks"][0]["name"]
    for path in (
        f"/activations/{activation}/follow?after=x",
        f"/activations/{activation}/follow?wait=61",
        f"/activations/{activation}/response?skip=-1",
        f"/activations/{activation}/response?limit=0",
        "/events?after=-1",
        f"/tasks/{task}/logs?stream=stdin",
        f"/tasks/{task}/logs?stream=..%2fexit",
        f"/tasks/{task}/logs?stream=stdout&offset=x",
        f"/tasks/{task}/logs?attempt=-1",
    ):
        caller.refused(400, "GET", PROJECT + path)
    caller.refused(404, "GET", f"{PROJECT}/tasks/{task}/logs?attempt=7")


def test_a_skill_that_is_saved_twice_keeps_its_version(live: Live) -> None:
    caller = Caller(live)
    first = caller.post("/skills", skill())
    assert (first["version"], caller.post("/skills", skill())["version"]) == (1, 1)
    assert caller.post("/skills", skill(title="new"))["version"] == 2
    assert caller.get("/skills/plain")["title"] == "new"
    assert caller.get("/skills/plain")["_version"] == 2
    assert caller.post("/skills", skill())["version"] == 3
    assert names(caller.get("/skills")["skills"]) == ["plain"]
    assert caller.post("/skills", skill(), **{"x-fabric-source": "/else"})["version"] == 4


def test_names_with_slashes_are_found_raw_and_escaped(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill("cortex/a b".replace(" ", "-")))
    for path in ("cortex/a-b", "cortex%2Fa-b", "cortex%2fa-b"):
        assert caller.get(f"/skills/{path}")["name"] == "cortex/a-b"
        assert "activationId" in caller.post(f"/skillinvoke/{path}/inputs/request", {"payload": 1})


NO_DOCUMENTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff",
    b"NaN",
    b"[" * 100_000,
    b'{"nam": "x"}',
    b'{"camel": "1.0.0"}',
]


def test_documents_that_are_none_are_400(live: Live) -> None:
    caller = Caller(live)
    for body in NO_DOCUMENTS:
        caller.refused(400, "POST", f"{PROJECT}/skills", body)
        caller.refused(400, "POST", f"{PROJECT}/agents", body)
    assert caller.get("/skills")["skills"] == []


def test_names_that_could_leave_a_directory_are_refused(live: Live) -> None:
    caller = Caller(live)
    for name in ("../../etc", "/abs", "a/../b", "..", "", "a\x00b", "a b", 7):
        caller.refused(400, "POST", f"{PROJECT}/skills", json.dumps(skill(name)).encode())
    document = skill()
    document["actions"][0]["name"] = document["inputs"][0]["routing"]["all"]["action"] = "../../../tmp"
    caller.refused(400, "POST", f"{PROJECT}/skills", json.dumps(document).encode())


def test_all_problems_of_a_document_are_answered(live: Live) -> None:
    caller = Caller(live)
    document = skill(imputs=[], titel="x")
    answer = caller.call("POST", f"{PROJECT}/skills", json.dumps(document).encode())
    details = json.loads(answer.body)["details"]
    assert answer.status == 400
    assert {detail["path"][0] for detail in details} == {"imputs", "titel"}


NO_INVOCATIONS: list[tuple[object, int]] = [
    ({}, 400),
    ({"properties": {}}, 400),
    ({"payload": 1, "properties": 3}, 400),
    ({"payload": 1, "properties": False}, 400),
    ({"payload": 1, "sessionId": 0}, 400),
    ({"payload": 1, "activationId": "x" * 251}, 400),
    ({"payload": 1, "activationId": "line\nbreak"}, 400),
    ({"payload": 1, "activationId": "../../../../etc"}, 400),
    ({"payload": 1, "activationId": ["a"]}, 400),
    ({"payload": "x" * (16 << 20)}, 413),
]


def test_invocations_that_are_none(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    for body, status in NO_INVOCATIONS:
        caller.refused(status, "POST", f"{PROJECT}/skillinvoke/plain/inputs/request", json.dumps(body).encode())
    assert caller.get("/activations")["activations"] == []


def test_a_body_over_the_limit_is_413(live: Live) -> None:
    caller = Caller(live)
    body = b'{"payload": "' + b"x" * (64 << 20) + b'"}'
    assert "limit" in caller.refused(413, "POST", f"{PROJECT}/skillinvoke/plain/inputs/request", body)
    assert caller.get("/skills")["skills"] == []


def test_a_skill_without_its_files_fails_with_a_reason(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    record = caller.sync("/skillinvoke/plain/inputs/request?sync=true", {"payload": 1})
    assert record["status"] == "ERROR"
    assert "saved without its files" in record["cause"]


def test_sync_answers_with_the_record(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live)
    record = caller.sync("/skillinvoke/echo/inputs/request?sync=true", {"payload": 5, "sessionId": "s"})
    assert (record["status"], record["response"], record["sessionId"]) == ("COMPLETE", "5", "s")
    assert caller.get(f"/activations/{record['activationId']}") == record


def test_an_invocation_that_comes_twice_starts_one_activation(live: Live) -> None:
    live.skill("echo", ECHO)
    live.skill("other", ECHO)
    live.invoke("echo")
    live.invoke("other")
    caller = Caller(live)
    body = {"payload": 1, "activationId": "my-own-id"}
    for _ in range(3):
        assert caller.post("/skillinvoke/echo/inputs/request", body)["activationId"] == "my-own-id"
    assert names(caller.get("/activations")["activations"], "activationId").count("my-own-id") == 1
    path = f"{PROJECT}/skillinvoke/other/inputs/request"
    assert "was invoked with another target" in caller.refused(409, "POST", path, json.dumps(body).encode())


def test_projects_are_apart(live: Live) -> None:
    live.skill("echo", ECHO)
    activation = live.invoke("echo")["activationId"]
    caller = Caller(live)
    other = "/fabric/v4/projects/other"
    assert "no project 'other'" in caller.refused(404, "GET", f"{other}/skills")
    project = {"query": 'mutation { createProject(input: {name: "other"}) {name} }'}
    assert caller.call("POST", "/fabric/v4/graphql", json.dumps(project).encode()).status == 200
    assert json.loads(caller.call("GET", f"{other}/skills").body)["skills"] == []
    caller.refused(404, "GET", f"{other}/activations/{activation}")
    caller.refused(404, "POST", f"{other}/activations/{activation}/cancel")
    caller.refused(404, "GET", f"{other}/tasks/{caller.get('/tasks')['tasks'][0]['name']}")


def test_events_after_a_number_grow_and_never_change(live: Live) -> None:
    live.skill("echo", ECHO)
    activation = live.invoke("echo")["activationId"]
    caller = Caller(live)
    events = caller.get("/events")["events"]
    numbers = names(events, "number")
    assert numbers == sorted(set(numbers))
    kinds = names(events, "kind")
    assert kinds[0] == "activation.PENDING"
    assert kinds[-1] == "activation.COMPLETE"
    assert [kind for kind in kinds if kind.startswith("task.")] == [
        "task.QUEUED",
        "task.STARTING",
        "task.ACTIVE",
        "task.COMPLETE",
    ]
    middle = numbers[2]
    assert caller.get(f"/events?after={middle}")["events"] == events[3:]
    assert caller.get(f"/activations/{activation}/follow?after={middle}")["events"] == events[3:]
    assert caller.get(f"/events?after={numbers[-1]}")["events"] == []


def test_a_long_poll_returns_at_the_event_it_waits_for(live: Live) -> None:
    live.skill("held", PENDING)
    gate = live.gate("gate")
    activation = live.detach("held")
    caller = Caller(live)
    until(lambda: caller.get("/tasks?state=active")["tasks"], "the task runs")
    last = caller.get("/events")["events"][-1]["number"]
    waiting = [
        Connection(caller.place, caller.address.token),
        Connection(caller.place, caller.address.token),
    ]
    waiting[0].send("GET", f"{PROJECT}/activations/{activation}/follow?after={last}&wait=60")
    waiting[1].send("GET", f"{PROJECT}/events?after={last}&wait=60")
    live.release(gate)
    for connection in waiting:
        answer = connection.receive(timeout=30)  # half of its limit without an event
        assert json.loads(answer.body)["events"]
        connection.close()


def test_a_long_poll_without_news_ends_in_time(live: Live) -> None:
    caller = Caller(live)
    assert caller.get("/events?after=1000000&wait=0.05")["events"] == []


def test_requests_that_are_not_http_are_400(live: Live) -> None:
    import socket

    caller = Caller(live)
    for raw in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(caller.address.socket)
            client.sendall(raw)
            assert b" 400 " in client.recv(65_536)
    assert caller.get("/skills")["success"] is True


def test_the_address_and_the_socket_are_the_users_own(live: Live) -> None:
    caller = Caller(live)
    assert (live.state / "owner.json").stat().st_mode & 0o777 == 0o600
    socket_path = live.root.__class__(caller.address.socket)
    assert socket_path.stat().st_mode & 0o777 == 0o600
    assert caller.address.url.startswith("http://127.0.0.1:")


def test_a_long_synchronous_call_shows_that_it_is_alive(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("slow", f"open({str(gate)!r}).read(); print(1)", response="json")
    first = live.detach("slow", 0)  # saves the skill, too
    live.release(gate)
    assert live.wait(first)["response"] == 1
    address = live.published()
    connection = http.client.HTTPConnection(address.url.removeprefix("http://"), timeout=60)
    path = PROJECT + "/skillinvoke/slow/inputs/request?sync=true"
    connection.request("POST", path, b'{"payload": 0}', {"Authorization": f"Bearer {address.token}"})
    answer = connection.getresponse()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.read(1) == b" "
    live.release(gate)
    assert json.loads(answer.read())["response"] == 1
    connection.close()
