"""Bad calls about dead letters, lineage, logs or the state: never a 5xx, always an explanation, and nothing changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.acceptance.live import PROJECT, Live
from tests.gateway.access import make_project
from tests.gateway.test_users import Caller

FOREIGN = "/fabric/v4/projects/foreign"
ECHO = "print(message()['payload'], end='')"
FAR = 2**53
HUGE = 2**63 + 1


def bytes_of(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def letter(live: Live) -> int:
    """Make a dead letter, and return its number."""
    live.skill("refuses", "sys.exit(3)", onError="continue")
    live.fail("refuses", {"n": 1})
    found: list[Any] = live.ok("deadletters", "list", "-o", "json").value
    number: int = found[0]["id"]
    return number


def test_what_names_no_dead_letter_is_said_to_name_none(live: Live) -> None:
    number = letter(live)
    caller = Caller(live)
    make_project(caller, "foreign")
    for name in ("0", "1000", str(HUGE), "9" * 400, "-1", "1.0", "%D9%A1", "%ED%A0%80", "x", "true"):
        path = f"{PROJECT}/deadletters/{name}"
        assert "no dead letter" in caller.refused(404, "GET", path)
        assert "no dead letter" in caller.refused(404, "PUT", path, b'{"payload": 1}')
    caller.refused(404, "GET", f"{FOREIGN}/deadletters/{number}")
    caller.refused(404, "PUT", f"{FOREIGN}/deadletters/{number}", b'{"payload": 1}')
    dropped = caller.call("DELETE", f"{FOREIGN}/deadletters/{number}")
    assert json.loads(dropped.body)["dropped"] is False
    assert caller.get(f"/deadletters/{number}")["deadLetter"]["payload"] == {"n": 1}


def test_a_wrong_payload_is_refused_and_the_old_one_stays(live: Live) -> None:
    number = letter(live)
    caller = Caller(live)
    path = f"{PROJECT}/deadletters/{number}"
    for body in (
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"payload": NaN}',
        b"\xff",
        b'{"payload": ' + b"[" * 100_000,
    ):
        assert caller.refused(400, "PUT", path, body)
    large = b'{"payload": "' + b"x" * (16 << 20) + b'"}'
    assert "over the limit" in caller.refused(413, "PUT", path, large)
    assert caller.get(f"/deadletters/{number}")["deadLetter"]["payload"] == {"n": 1}
    half = caller.call("PUT", path, b'{"payload": "\\ud800"}')
    assert half.status == 200  # as in an invocation, a payload is passed on unchanged
    assert b'"\\ud800"' in caller.call("GET", path).body


def test_ids_that_are_no_list_of_whole_numbers_are_refused(live: Live) -> None:
    caller = Caller(live)
    many: list[object] = list(range(1, 10_002))
    wrong: tuple[object, ...] = (None, [], "1", {"1": 1}, [True], [1.5], [1.0], ["1"], [None], [[1]], [{}], many)
    for ids in wrong:
        body = bytes_of({"ids": ids, "requestId": "12345678"})
        assert "'ids'" in caller.refused(400, "POST", f"{PROJECT}/deadletters/retry", body)


def test_a_retry_that_is_wrong_in_part_starts_nothing(live: Live) -> None:
    number = letter(live)
    caller = Caller(live)
    make_project(caller, "foreign")
    before = len(caller.get("/activations")["activations"])

    def refused(status: int, body: object, prefix: str = PROJECT) -> str:
        return caller.refused(status, "POST", f"{prefix}/deadletters/retry", bytes_of(body))

    for other in (-1, 0, 1000, HUGE, 10**300):
        assert "no dead letter" in refused(404, {"ids": [number, other], "requestId": "12345678"})
    assert "no dead letter" in refused(404, {"ids": [number], "requestId": "12345678"}, FOREIGN)
    for request_id in (None, "", "short", 12345678, ["12345678"], "1234567\ud800"):
        assert refused(400, {"ids": [number], "requestId": request_id})
    for body in (b"", b"[1]", b'"x"', b"null", b"{"):
        assert refused(400, body)
    assert len(caller.get("/activations")["activations"]) == before
    assert caller.get(f"/deadletters/{number}")["deadLetter"]["retriedAs"] is None


def test_a_trace_begins_at_a_record_of_its_activation_or_nowhere(live: Live) -> None:
    live.skill("echo", ECHO)
    first, second = (live.invoke("echo", n)["activationId"] for n in (1, 2))
    caller = Caller(live)
    own = caller.get(f"/activations/{first}/trace")["records"][0]["channel"]
    other = caller.get(f"/activations/{second}/trace")["records"][0]["channel"]
    assert own != other
    path = f"{PROJECT}/activations/{first}/trace"
    for query in (f"channel={other}", f"channel={FAR}", f"channel={own}&offset=1", f"offset={FAR}", "offset=1"):
        assert "no record" in caller.refused(404, "GET", f"{path}?{query}")
        assert "no record" in caller.refused(404, "GET", f"{path}?direction=forward&channel={FAR}&{query}")
    for query in (
        f"offset={HUGE}",
        "offset=-1",
        "offset=1.5",
        "channel=x",
        "channel=-1",
        f"channel={10**40}",
        "direction=up",
    ):
        assert caller.refused(400, "GET", f"{path}?{query}")
    assert "no record" in caller.refused(404, "GET", f"{path}?direction=forward&offset=1")
    for name in (f"{FOREIGN}/activations/{first}", f"{PROJECT}/activations/none", f"{PROJECT}/activations/%ED%A0%80"):
        caller.refused(404, "GET", f"{name}/trace")
    assert caller.get(f"/activations/{first}/trace?direction=&channel=&offset=")["direction"] == "back"


def test_what_is_asked_of_a_log_beyond_its_end_is_empty_and_what_cannot_be_is_refused(live: Live) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo", 1)
    caller = Caller(live)
    (task,) = [task["name"] for task in caller.get("/tasks")["tasks"]]
    path = f"{PROJECT}/tasks/{task}/logs"
    for query in (f"?stream=stdout&offset={FAR}", f"?stream=stderr&offset={2**45}"):
        assert caller.call("GET", path + query).body == b""
    far = "9" * 18
    for cursor in (f"0-{far}-{far}", f"{far}-{far}-{far}", f"{far}-0-0"):
        assert caller.call("GET", f"{path}/page?cursor={cursor}").status == 200
    for query in (
        *(
            "?attempt=-1",
            f"?attempt={HUGE}",
            "?attempt=x",
            "?stream=both",
            "?stream=stdout&offset=-1",
            "?follow=perhaps",
            "?offset=-1",
        ),
        *(
            f"?stream=stdout&offset={HUGE}",
            "/page?cursor=1",
            f"/page?cursor={far}9-0-0",
            "/page?since=x",
            "/page?since=-1",
        ),
        *("/page?wait=61", "/page?wait=inf", "/page?whole=2", "/page?stream=x", "/page?attempt=1e3"),
    ):
        assert caller.refused(400, "GET", path + query)
    for wrong in (
        f"{path}?attempt=2",
        f"{path}?attempt={FAR}",
        f"{FOREIGN}/tasks/{task}/logs",
        f"{PROJECT}/tasks/x/logs/page",
    ):
        assert caller.refused(404, "GET", wrong)
    caller.refused(400, "GET", f"{PROJECT}/skills/echo/action/echo/logs?raw=perhaps")
    caller.refused(404, "GET", f"{FOREIGN}/skills/echo/action/echo/logs")


def test_nothing_is_pruned_or_written_for_a_call_that_is_wrong(live: Live, tmp_path: Path) -> None:
    live.skill("echo", ECHO)
    activation = live.invoke("echo", 1)["activationId"]
    live.invoke("echo", 2)
    caller, far = Caller(live), Caller(live, tcp=True)
    make_project(caller, "foreign")
    for body in (
        *(
            {"activations": activation},
            {"activations": [1]},
            {"activations": [[activation]]},
            {"activations": ["\ud800"]},
        ),
        *({"activations": [activation], "deadLetters": value} for value in (1, "false", None)),
        *([activation], b"", b"{", "x"),
    ):
        assert caller.refused(400, "POST", f"{PROJECT}/state/prune", bytes_of(body))
    for query in (
        *("keepLast=1.5", f"keepLast={HUGE}", "maxBytes=-1", "olderThanSeconds=x", "olderThanSeconds=1e999"),
        "deadLetters=perhaps",
    ):
        assert caller.refused(400, "GET", f"{PROJECT}/state/prune?{query}")
    gone = caller.call("POST", f"{FOREIGN}/state/prune", bytes_of({"activations": [activation]}))
    assert json.loads(gone.body)["count"] == 0
    assert json.loads(caller.call("GET", f"{FOREIGN}/state/prune").body)["activations"] == []
    caller.get(f"/activations/{activation}")
    for query in ("top=-1", "top=x", f"top={HUGE}"):
        assert caller.refused(400, "GET", f"{PROJECT}/state/size?{query}")

    place = tmp_path / "place"
    backup = f"{PROJECT}/state/backup"
    assert "Unix socket" in far.refused(400, "POST", backup, bytes_of({"destination": str(place)}))
    for destination in (
        1,
        ["x"],
        "x" * 70_000,
        "/" + "x" * 5_000,
        f"{place}/{'y' * 300}",
        "\ud800",
        f"{place}/none/x",
        "/dev/null/x",
    ):
        assert caller.refused(400, "POST", backup, bytes_of({"destination": destination}))
    assert caller.refused(400, "POST", backup, bytes_of({"destination": str(place), "logs": "no"}))
    for destination in ("/", "/..", str(tmp_path), str(live.root / "skills")):
        assert caller.refused(409, "POST", backup, bytes_of({"destination": destination}))
    assert not place.exists()
    caller.refused(404, "GET", backup)


def test_a_backup_deletes_nothing_that_has_a_name_like_its_own(live: Live, tmp_path: Path) -> None:
    live.skill("echo", ECHO)
    live.invoke("echo", 1)
    kept = tmp_path / "copy.partial"
    kept.mkdir()
    (kept / "mine").touch()
    live.ok("state", "backup", tmp_path / "copy")
    assert (kept / "mine").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("copy")) == ["copy", "copy.partial"]
