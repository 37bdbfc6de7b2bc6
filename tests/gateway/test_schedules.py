"""Schedules over HTTP: ours and Fabric's routes on the same rows."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

import pytest

from tests.acceptance.live import PROJECT, Live, names, until
from tests.gateway.test_users import Caller

ECHO = "print(message()['payload'], end='')"
AGENT = "/agentinvoke/both/services/input"


@pytest.fixture
def caller(live: Live) -> Caller:
    live.skill("echo", ECHO)
    live.agent("both", ("input", "echo"), ("echo", "output"))
    live.invoke("both", 1, kind="agents")  # saves both
    return Caller(live)


def delete(caller: Caller, path: str) -> Any:
    answer = caller.call("DELETE", PROJECT + path)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def schedule(name: str = "nightly", **keys: Any) -> dict[str, Any]:
    return {"name": name, "cron": "30 2 * * *", "agent": "both", "payload": {"n": 1}, **keys}


def test_fabrics_face_and_ours_show_the_same_schedules(caller: Caller) -> None:
    said = caller.post(
        f"{AGENT}?scheduleCron=0+0+*+*+*&scheduleName=nightly", {"payload": {"n": 1}, "properties": {"p": 2}}
    )
    assert (said["success"], said["scheduleName"], said["fires"]) == (True, "nightly", False)
    assert "serve" in said["message"]
    assert "activationId" not in said
    assert names(caller.get("/activations")["activations"], "activationId") != []
    before = len(caller.get("/activations")["activations"])
    assert before == 1  # the one that the fixture invoked

    (row,) = caller.get("/tasks?scheduled=true")["tasks"]
    assert (row["name"], row["agentName"], row["schedule"], row["state"]) == (
        "nightly",
        "both",
        "0 0 * * *",
        "SCHEDULED",
    )
    shown = caller.get("/schedules/nightly")["schedule"]
    assert (shown["agent"], shown["service"], shown["payload"], shown["properties"]) == (
        "both",
        "input",
        {"n": 1},
        {"p": 2},
    )
    assert (shown["timezone"], shown["overlap"], shown["catchup"]) == ("UTC", "skip", "latest")
    assert caller.get("/tasks/nightly")["task"] == row
    assert caller.get("/tasks?scheduled=true&agentName=both&skip=1")["tasks"] == []
    assert caller.get("/tasks?scheduled=true&agentName=other")["tasks"] == []
    assert all("schedule" not in task for task in caller.get("/tasks")["tasks"])

    assert caller.post("/tasks/nightly/pause", {})["success"] is True
    assert caller.get("/schedules/nightly")["schedule"]["paused"] is True
    assert caller.get("/tasks/nightly")["task"]["state"] == "PAUSED"
    assert caller.post("/schedules/nightly/resume", {})["success"] is True
    assert caller.get("/tasks/nightly")["task"]["state"] == "SCHEDULED"

    caller.post("/schedules", schedule("ours", skill="echo", agent=None))
    assert names(caller.get("/tasks?scheduled=true")["tasks"]) == ["nightly", "ours"]
    assert caller.get("/tasks/ours")["task"]["skillName"] == "echo"
    assert delete(caller, "/tasks/ours")["success"] is True
    assert delete(caller, "/schedules/nightly")["success"] is True
    assert caller.get("/schedules")["schedules"] == []
    assert caller.get("/tasks?scheduled=true")["tasks"] == []


def test_the_name_of_a_fabric_schedule_is_that_of_the_agent_by_default_and_again_changes_nothing(
    caller: Caller,
) -> None:
    first = caller.post(f"{AGENT}?scheduleCron=@daily", {"payload": 1})
    assert first["scheduleName"] == "both"
    shown = caller.get("/schedules/both")["schedule"]
    assert caller.post(f"{AGENT}?scheduleCron=@daily", {"payload": 1}) == first
    assert caller.get("/schedules/both")["schedule"] == shown
    assert caller.post(f"{AGENT}?scheduleCron=@hourly", {"payload": 1})["nextAt"] <= first["nextAt"]
    assert caller.get("/schedules/both")["schedule"]["cron"] == "@hourly"
    assert caller.post("/skillinvoke/echo/inputs/request?scheduleCron=@daily", {"payload": 1})["scheduleName"] == "echo"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("scheduleCron=61+*+*+*+*", {"payload": 1}),
        ("scheduleCron=@every+5m", {"payload": 1}),
        ("scheduleName=nightly", {"payload": 1}),
        ("scheduleCron=@daily&scheduleName=../x", {"payload": 1}),
        ("scheduleCron=@daily&scheduleName=a/pause", {"payload": 1}),
        ("scheduleCron=@daily&sync=true", {"payload": 1}),
        ("scheduleCron=@daily&cold=true", {"payload": 1}),
        ("scheduleCron=@daily", {"payload": 1, "activationId": "a" * 10}),
        ("scheduleCron=@daily", {"payload": 1, "key": "a"}),
        ("scheduleCron=@daily", {"payload": 1, "ifExists": "fail"}),
        ("scheduleCron=@daily", {}),
        ("", {"payload": 1, "scheduleCron": "@daily"}),
        ("", {"payload": 1, "scheduleName": "x"}),
    ],
)
def test_what_is_wrong_in_an_invocation_saves_and_starts_nothing(caller: Caller, query: str, body: Any) -> None:
    caller.refused(400, "POST", f"{PROJECT}{AGENT}?{query}", json.dumps(body).encode())
    assert caller.get("/schedules")["schedules"] == []
    assert len(caller.get("/activations")["activations"]) == 1


@pytest.mark.parametrize(
    ("status", "keys"),
    [
        (400, {"cron": "* * *"}),
        (400, {"cron": 5}),
        (400, {"timezone": "Mars/Olympus"}),
        (400, {"overlap": "wait"}),
        (400, {"catchup": "some"}),
        (400, {"catchup_seconds": -1}),
        (400, {"catchup_seconds": 1e9}),
        (400, {"jitter_seconds": "long"}),
        (400, {"agent": None}),
        (400, {"skill": "echo"}),
        (400, {"input": "request"}),
        (400, {"properties": [1]}),
        (400, {"properties": {"callbackUrl": "http://127.0.0.1:9/"}}),
        (400, {"name": "a b"}),
        (400, {"name": "\0"}),
        (400, {"name": "next"}),
        (400, {"surprise": 1}),
        (400, {"executor": "mars"}),
        (404, {"agent": "gone"}),
        (404, {"service": "gone"}),
    ],
)
def test_what_is_wrong_in_a_schedule_is_refused(caller: Caller, status: int, keys: dict[str, Any]) -> None:
    document = {key: value for key, value in schedule(**keys).items() if value is not None or key != "agent"}
    assert caller.refused(status, "POST", PROJECT + "/schedules", json.dumps(document).encode())
    assert caller.get("/schedules")["schedules"] == []


def test_apply_saves_all_or_nothing_and_prunes_what_it_is_told_to(caller: Caller) -> None:
    done = caller.post("/schedules/apply", {"schedules": [schedule("a"), schedule("b")]})
    assert (done["created"], done["changed"], done["unchanged"], done["others"]) == (["a", "b"], [], [], [])
    bad = {"schedules": [schedule("c"), schedule("d", agent="gone")]}
    caller.refused(404, "POST", PROJECT + "/schedules/apply", json.dumps(bad).encode())
    caller.refused(
        400, "POST", PROJECT + "/schedules/apply", json.dumps({"schedules": [schedule("c"), schedule("C")]}).encode()
    )
    clash = {"schedules": [schedule("c"), schedule("A")]}
    caller.refused(409, "POST", PROJECT + "/schedules/apply", json.dumps(clash).encode())
    assert names(caller.get("/schedules")["schedules"]) == ["a", "b"]
    done = caller.post("/schedules/apply", {"schedules": [schedule("a"), schedule("b", cron="@daily"), schedule("c")]})
    assert (done["created"], done["changed"], done["unchanged"]) == (["c"], ["b"], ["a"])
    done = caller.post("/schedules/apply", {"schedules": [schedule("a")]})
    assert done["others"] == ["b", "c"]
    done = caller.post("/schedules/apply", {"schedules": [schedule("a")], "prune": True})
    assert done["deleted"] == ["b", "c"]
    assert names(caller.get("/schedules")["schedules"]) == ["a"]


def test_a_trigger_and_a_backfill_start_runs_that_know_their_times(caller: Caller, live: Live) -> None:
    live.skill("when", "print(message()['scheduledAt'], os.environ['FABRIC_JOBS_SCHEDULED_AT'], end='')")
    live.ok("schedules", "create", "when", "--cron", "0 3 * * *", "--skill", "when", "--timezone", "Europe/Berlin")
    at = 1_769_824_800_000
    first = caller.post("/schedules/when/trigger", {"at": at})["occurrence"]
    again = caller.post("/schedules/when/trigger", {"at": "2026-01-31T02:00:00Z"})["occurrence"]
    assert first == again
    assert first["activationId"].startswith("when-20260131T020000Z-")
    record = live.wait(first["activationId"])
    assert record["response"] == "2026-01-31T02:00:00Z 2026-01-31T02:00:00Z"
    assert record["scheduledAt"] == "2026-01-31T02:00:00Z"
    body = {"from": "2026-01-29T00:00:00Z", "to": "2026-02-02T00:00:00Z"}
    dry = caller.post("/schedules/when/backfill", {**body, "dryRun": True})
    assert (len(dry["times"]), dry["occurrences"], dry["nextFrom"]) == (4, [], None)
    made = caller.post("/schedules/when/backfill", body)["occurrences"]
    assert [item["origin"] for item in made] == ["backfill", "backfill", "trigger", "backfill"]
    assert caller.post("/schedules/when/backfill", body)["occurrences"] == made
    assert live.wait(made[0]["activationId"])["response"].startswith("2026-01-29T02:00:00Z")
    many = {"from": "2025-01-01T00:00:00Z", "to": "2025-12-31T00:00:00Z", "dryRun": True}
    page = caller.post("/schedules/when/backfill", many)
    assert len(page["times"]) == 100
    rest = caller.post("/schedules/when/backfill", {**many, "from": page["nextFrom"]})
    assert rest["times"][0] == page["nextFrom"]
    listed = caller.get("/schedules/when/occurrences?limit=2")["occurrences"]
    assert [item["at"] for item in listed] == [made[3]["at"], made[2]["at"]]


@pytest.mark.parametrize("at", [-86_400_000, 10**30, "yesterday", True, [], 253_402_300_800_000])
def test_a_time_that_is_none_is_refused(caller: Caller, at: Any) -> None:
    caller.post("/schedules", schedule())
    caller.refused(400, "POST", PROJECT + "/schedules/nightly/trigger", json.dumps({"at": at}).encode())
    caller.refused(400, "POST", PROJECT + "/schedules/nightly/backfill", json.dumps({"from": at}).encode())
    assert caller.get("/schedules/nightly/occurrences")["occurrences"] == []


def test_next_times_are_shown_as_the_clocks_of_the_zone_show_them(caller: Caller) -> None:
    caller.post("/schedules", schedule(timezone="Asia/Kathmandu"))
    times = caller.get("/schedules/nightly/next?count=3")["times"]
    assert [item["text"][10:] for item in times] == ["T02:30:00+05:45"] * 3


def test_unknown_schedules_and_tasks_that_are_none(caller: Caller) -> None:
    caller.post("/schedules", schedule())
    for method, path in (
        ("GET", "/schedules/nightl"),
        ("DELETE", "/schedules/nightl"),
        ("POST", "/schedules/nightl/pause"),
        ("POST", "/schedules/nightl/resume"),
        ("POST", "/schedules/nightl/trigger"),
        ("GET", "/schedules/nightl/next"),
        ("POST", "/tasks/nightl/pause"),
        ("DELETE", "/tasks/nightl"),
    ):
        caller.refused(404, method, PROJECT + path, b"{}" if method == "POST" else b"")
    task = caller.get("/tasks")["tasks"][0]["name"]
    assert "only schedules" in caller.refused(400, "POST", f"{PROJECT}/tasks/{task}/pause", b"{}")
    caller.refused(400, "POST", PROJECT + "/schedules/nightly/pause", json.dumps({"note": "x" * 1001}).encode())


def test_only_serve_fires_and_a_schedule_does_not_keep_an_idle_owner(live: Live) -> None:
    live.skill("echo", ECHO)
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "0.1"
    said = live.ok("schedules", "create", "busy", "--cron", "* * * * *", "--skill", "echo").err
    assert "Nothing fires schedules now" in said
    assert "fabric-jobs serve" in said
    until(lambda: live.address() is None, "the owner ends although a schedule is due soon")
    serving = live.start("serve")
    serving.wait_for("Serving")
    ran = live.ok("schedules", "list", "-o", "json")
    assert "Nothing fires" not in ran.err
    assert ran.value[0]["nextAt"] is not None


def test_the_next_time_is_never_a_past_one(live: Live) -> None:
    """Where nothing fires, the stored next time passes."""
    live.skill("echo", ECHO)
    live.ok("schedules", "create", "one", "--cron", "0 0 1 1 *", "--skill", "echo")
    live.stop_owner()
    with sqlite3.connect(live.state / "state.db") as database:
        database.execute("update schedules set last_at = 0, next_at = 31536000")
    database.close()
    (one,) = live.ok("schedules", "list", "-o", "json").value
    assert one["nextAt"] > time.time() * 1000
