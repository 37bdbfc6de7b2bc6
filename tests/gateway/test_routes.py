"""Versions, deletion, reports, events, health and metrics: the other routes of Fabric's clients and of operators."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.openapi import document
from tests.acceptance.live import PROJECT, Live, names, until
from tests.gateway.test_users import Caller, skill

ECHO = "print(message()['payload'], end='')"
HELD = "open(ROOT / 'gate').read()"


def test_a_deleted_skill_is_gone_and_can_come_back_with_a_higher_version(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    assert json.loads(caller.call("DELETE", f"{PROJECT}/skills/plain").body)["success"] is True
    assert caller.get("/skills")["skills"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/versions"), ("GET", "/deploy")):
        caller.refused(404, method, f"{PROJECT}/skills/plain{path}")
    caller.refused(404, "POST", f"{PROJECT}/skillinvoke/plain/inputs/request", b'{"payload": 1}')
    assert caller.post("/skills", skill())["version"] == 3
    assert [saved["_version"] for saved in caller.get("/skills/plain/versions")["skill"]] == [3, 1]
    assert caller.get("/skills/plain/deploy")["success"] is True
    assert caller.get("/skills/plain/undeploy")["success"] is True


def test_a_skill_that_an_agent_names_is_not_deleted(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    mappings = [{"from": "input", "to": "plain.request"}, {"from": "plain.out", "to": "output"}]
    caller.post("/agents", {"name": "user", "skills": [{"skillName": "plain"}], "mappings": mappings})
    answer = caller.call("DELETE", f"{PROJECT}/skills/plain")
    assert (answer.status, json.loads(answer.body)["details"]) == (403, [{"name": "user", "type": "agent"}])
    assert caller.call("DELETE", f"{PROJECT}/agents/user").status == 200
    assert caller.call("DELETE", f"{PROJECT}/skills/plain").status == 200


def test_an_activation_ends_well_though_its_skill_is_deleted_meanwhile(live: Live) -> None:
    live.skill("held", HELD)
    gate = live.gate("gate")
    activation = live.detach("held")
    caller = Caller(live)
    until(lambda: caller.get("/tasks?state=active")["tasks"], "the task runs")
    assert caller.call("DELETE", f"{PROJECT}/skills/held").status == 200
    live.release(gate)
    assert live.wait(activation)["status"] == "COMPLETE"
    assert caller.get(f"/activations/{activation}")["response"] == ""


def test_a_skill_saved_from_elsewhere_keeps_its_files(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live, tcp=True)
    saved = {key: value for key, value in caller.get("/skills/echo").items() if key not in ("_version", "updatedAt")}
    assert caller.post("/skills", saved)["version"] == 1
    assert caller.sync("/skillinvoke/echo/inputs/request?sync=true", {"payload": 5})["response"] == "5"


def test_long_numbers_are_kept_and_half_characters_refused(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live)
    long = 10**40
    caller.post("/skills", skill(properties=[{"name": "size", "type": "Number", "defaultValue": long}]))
    assert caller.get("/skills/plain")["properties"][0]["defaultValue"] == long
    record = caller.sync("/skillinvoke/echo/inputs/request?sync=true", {"payload": long, "properties": {"size": long}})
    assert (record["payload"], record["properties"]) == (long, {"size": long})
    for path, body in (
        ("/skills", json.dumps(skill(title="\ud800"))),
        ("/skillinvoke/echo/inputs/request", '{"payload": 1, "sessionId": "\\udfff"}'),
        ("/skillinvoke/echo/inputs/request", '{"payload": 1, "properties": {"\\ud800": 1}}'),
    ):
        assert "surrogate" in caller.refused(400, "POST", PROJECT + path, body.encode())


def test_directories_are_taken_over_the_owners_socket_only(live: Live) -> None:
    caller = Caller(live, tcp=True)
    body = json.dumps(skill()).encode()
    assert "socket" in caller.refused(400, "POST", f"{PROJECT}/skills", body, **{"x-fabric-source": "/etc"})
    assert caller.get("/skills")["skills"] == []


def test_activations_are_filtered_by_time_and_sorted(live: Live) -> None:
    live.skill("echo", ECHO)
    ids: list[Any] = [live.invoke("echo")["activationId"] for _ in range(3)]
    caller = Caller(live)

    def found(query: str) -> list[Any]:
        return [activation["activationId"] for activation in caller.get(f"/activations?{query}")["activations"]]

    middle = caller.get(f"/activations/{ids[1]}")
    assert found("sort=asc") == ids
    assert found('sort={"start":1}'.replace('"', "%22")) == ids
    assert found("sort=desc") == found("") == ids[::-1]
    assert set(found(f"startAfter={middle['start']}")) >= {ids[2]}
    assert ids[2] not in found(f"startBefore={middle['end']}")
    assert ids[0] not in found(f"endAfter={middle['start']}")
    assert found("endBefore=2020-01-31T12:00:00Z") == []
    assert len(found("startAfter=2020-01-31T12:00:00%2B01:00")) == 3
    for query in ("sort=name", "sort={}", "startAfter=yesterday", "endBefore=-1", "startBefore=0.5"):
        caller.refused(400, "GET", f"{PROJECT}/activations?{query}")


def test_a_report_tells_when_each_skill_ran_and_verbose_adds_the_tasks(live: Live) -> None:
    live.skill("one", ECHO)
    live.skill("two", ECHO)
    live.agent("both", ("input", "one"), ("one", "two"), ("two", "output"))
    activation = live.invoke("both", 7, kind="agents")["activationId"]
    caller = Caller(live)
    report = caller.get(f"/activations/{activation}?report")
    assert (names(report["transits"]), report["status"]) == (["one", "two", "output"], "COMPLETE")
    assert [transit["status"] for transit in report["transits"]] == ["COMPLETE"] * 3
    assert report["elapsed"] == report["end"] - report["start"] or report["elapsed"] > 0
    verbose = caller.get(f"/activations/{activation}?verbose=true")
    assert names(verbose["tasks"], "skillName") == ["two", "one"]
    assert [node["out"] for node in verbose["progress"]] == [1, 1]
    assert "tasks" not in caller.get(f"/activations/{activation}?verbose=false&report=false")
    for query in ("report=perhaps", "report&verbose=perhaps"):
        caller.refused(400, "GET", f"{PROJECT}/activations/{activation}?{query}")


def test_one_task_is_cancelled_alone(live: Live) -> None:
    live.skill("held", HELD)
    live.gate("gate")
    activation = live.detach("held")
    caller = Caller(live)
    (task,) = until(lambda: caller.get("/tasks?state=active")["tasks"], "the task runs")
    said = live.ok("tasks", "cancel", task["name"])
    assert said.out == f"task {task['name']} is being cancelled.\n"
    until(lambda: caller.get(f"/tasks/{task['name']}")["task"]["state"] == "CANCELLED", "the task ends")
    assert live.wait(activation)["status"] != "PENDING"
    again = json.loads(caller.call("DELETE", f"{PROJECT}/tasks/{task['name']}").body)
    assert (again["success"], again["cancelled"]) == (True, False)
    assert "CANCELLED" in again["message"]
    live.fails(3, "tasks", "cancel", "none")


class Stream:
    """A stream of events, read as it arrives."""

    def __init__(self, caller: Caller, query: str, **headers: str) -> None:
        host, port = caller.place
        self._socket = socket.create_connection((host, port), timeout=60)
        lines = [f"GET {PROJECT}/events?{query} HTTP/1.1", f"Host: {host}", "Accept: text/event-stream"]
        lines += [
            f"Authorization: Bearer {caller.address.token}",
            *(f"{key}: {value}" for key, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events until the end, and check the shape of each."""
        frame: dict[str, str] = {}
        for raw in self._file:
            line = raw.decode().rstrip("\r\n")
            key, _, value = line.partition(": ")
            if key in ("id", "event", "data"):
                frame[key] = value
            elif not line and len(frame) == 3:
                event = json.loads(frame["data"])
                assert (int(frame["id"]), frame["event"]) == (event["number"], event["kind"])
                frame = {}
                yield event

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


def test_events_are_streamed_while_they_happen_and_resumed(live: Live) -> None:
    live.skill("echo", ECHO)
    live.skill("held", HELD)
    gate = live.gate("gate")
    first = live.invoke("echo")["activationId"]
    caller = Caller(live, tcp=True)
    known = caller.get("/events")["events"]
    stream = Stream(caller, "after=2")
    coming = stream.events()
    assert [next(coming) for _ in known[2:]] == known[2:]
    second = live.detach("held")
    assert next(coming)["activationId"] == second
    live.release(gate)
    kinds: list[str] = []
    while not kinds or not kinds[-1].startswith("activation."):
        kinds.append(next(coming)["kind"])
    assert kinds[-2:] == ["task.COMPLETE", "activation.COMPLETE"]
    stream.close()
    resumed = Stream(caller, f"after=0&activationId={first}", **{"Last-Event-ID": str(known[-2]["number"])})
    assert next(resumed.events()) == known[-1]
    resumed.close()
    caller.refused(404, "GET", f"{PROJECT}/events?activationId=none")


def test_it_is_ready_and_says_so(live: Live) -> None:
    caller = Caller(live)
    answer = caller.call("GET", "/readyz", token="")
    assert (answer.status, json.loads(answer.body)["checks"]) == (200, {"store": "ok", "engine": "ok"})
    path = "/fabric/v4/compatibility/applications/cortex-cli"
    assert json.loads(caller.call("GET", path).body) == {"semver": ">=2.0.0"}
    caller.refused(401, "GET", path, token="wrong")
    caller.refused(404, "GET", "/fabric/v4/nothing")


SAMPLE = re.compile(r'(fabric_jobs_[a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (-?[0-9.e+-]+)')


def test_the_numbers_are_in_the_format_of_prometheus_and_true(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo")
    caller = Caller(live)
    caller.refused(401, "GET", "/metrics", token="wrong")
    answer = caller.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    samples = {}
    for line in lines:
        if not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            assert found, line
            samples[found[1] + (found[2] or "")] = float(found[4])
            assert f"# TYPE {found[1]} {'counter' if found[1].endswith('_total') else 'gauge'}" in lines
    assert samples['fabric_jobs_activations{state="COMPLETE"}'] == 1
    assert samples['fabric_jobs_tasks{state="COMPLETE"}'] == 1
    assert samples["fabric_jobs_records_appended_total"] == 2
    assert samples["fabric_jobs_http_requests_in_flight"] == 1
    assert samples["fabric_jobs_engine_alive"] == 1
    assert samples["fabric_jobs_process_resident_memory_bytes"] > 1 << 20


def test_the_document_names_each_operation_once_and_no_schema_that_it_has_not() -> None:
    whole = document(OPERATIONS)
    ids = [operation["operationId"] for methods in whole["paths"].values() for operation in methods.values()]
    assert (len(ids), len(set(ids))) == (len(OPERATIONS), len(OPERATIONS))
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(whole)))
    assert named == whole["components"]["schemas"].keys()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/skills", "GET, HEAD, POST"),
        ("/skills/x", "DELETE, GET, HEAD"),
        ("/tasks/x/logs", "GET, HEAD"),
        ("/deadletters/retry", "POST"),
    ],
)
def test_a_wrong_method_names_the_right_ones(live: Live, path: str, methods: str) -> None:
    answer = Caller(live).call("PATCH", PROJECT + path)
    assert (answer.status, answer.headers["allow"]) == (405, methods)
    assert Caller(live).call("PUT", PROJECT + path).status == 405
