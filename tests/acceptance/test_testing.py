"""`skills test` and `agents test` run every message, and compare its response with the expected one."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.acceptance.live import Live, until

ECHO = "print(json.dumps(message()['payload']), end='')"
SKILL = "skills/echo/invoke/request"
# Fails for the payload 0, with a character in its log that XML does not allow.
DIVIDE = "print('\\x1b[1mdividing\\x1b[0m', file=sys.stderr)\nprint(json.dumps(100 / message()['payload']))"


def case(live: Live, place: str, payload: object, *expected: object) -> Path:
    """Write a message, perhaps with an expected response; return the directory."""
    directory = live.root / place
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "message.json").write_text(json.dumps({"payload": payload, "activationId": "always-the-same"}))
    for document in expected:
        (directory / "expected.json").write_text(json.dumps(document))
    return directory


def statuses(live: Live, code: int, *words: object) -> dict[str, Any]:
    ran = live.run(*words, "--output", "json")
    assert ran.code == code, ran
    return {row["case"]: row for row in ran.value}


def test_every_case_is_run_and_compared(live: Live) -> None:
    live.skill("echo", ECHO, response="json")
    case(live, SKILL, [1, {"a": 2}], [1, {"a": 2}])
    case(live, f"{SKILL}/free", {"any": "thing"})
    case(live, f"{SKILL}/part", {"a": 1, "at": 12}, {"$subset": {"a": 1}})
    case(live, f"{SKILL}/wrong", {"a": 1, "b c": "x\ny\n"}, {"a": 2})
    case(live, f"{SKILL}/odd", 1, {"$subst": 1})
    case(live, "skills/echo/invoke/requst", 1)

    found = statuses(live, 1, "skills", "test", "echo")

    assert {name: row["status"] for name, row in found.items()} == {
        "echo/request": "passed",
        "echo/request/free": "unchecked",
        "echo/request/part": "passed",
        "echo/request/wrong": "failed",
        "echo/request/odd": "error",
        "echo/requst": "error",
    }
    assert found["echo/request/wrong"]["differences"] == [
        {"path": "response.a", "expected": 2, "actual": 1},
        {"path": 'response["b c"]', "actual": "x\ny\n"},
    ]
    assert "Did you mean '$subset'?" in found["echo/request/odd"]["message"]
    assert "Did you mean 'request'?" in found["echo/requst"]["message"]
    linted = live.run("workspaces", "lint")
    assert linted.code == 4
    assert "Did you mean '$subset'?" in linted.out
    assert "Did you mean 'request'?" in linted.out


def test_people_read_what_differs(live: Live) -> None:
    live.skill("echo", ECHO, response="json")
    case(live, SKILL, {"a": 1, "text": "one\ntwo\n"}, {"a": 2, "text": "one\nthree\n", "gone": None})
    case(live, f"{SKILL}/good", 1, 1)
    ran = live.run("skills", "test")
    assert ran.code == 1
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[0].split()[:2] == ["FAIL", "echo/request"]
    assert lines[1:] == [
        "response.a",
        "expected: 2",
        "actual:   1",
        "response.text",
        "@@ -1,2 +1,2 @@",
        "one",
        "-three",
        "+two",
        "response.gone",
        "expected: null",
        "actual:   nothing",
        lines[-1],
    ]
    assert lines[-1].split()[:2] == ["pass", "echo/request/good"]
    assert "\x1b" not in ran.out
    assert ran.err.startswith("1 passed, 1 failed in")
    assert "fabric-jobs skills test --update" in ran.err


def test_update_writes_what_came_and_keeps_to_a_subset(live: Live) -> None:
    live.skill("echo", ECHO, response="json")
    new = case(live, SKILL, {"$error": "é"})
    part = case(live, f"{SKILL}/part", {"a": 1, "b": 2}, {"$subset": {"a": 0}})
    good = case(live, f"{SKILL}/good", 1, 1)
    (good / "expected.json").write_text("1.0")

    found = statuses(live, 0, "skills", "test", "--update")

    assert [row["status"] for row in found.values()] == ["written", "passed", "written"]
    assert json.loads((new / "expected.json").read_text()) == {"$exact": {"$error": "é"}}
    assert json.loads((part / "expected.json").read_text()) == {"$subset": {"a": 1}}
    assert (good / "expected.json").read_text() == "1.0"
    assert {row["status"] for row in statuses(live, 0, "skills", "test").values()} == {"passed"}


def test_a_failure_can_be_expected_but_is_never_written(live: Live) -> None:
    live.skill("divide", DIVIDE, response="json")
    place = "skills/divide/invoke/request"
    case(live, f"{place}/by-zero", 0, {"$error": {"exitCode": 1, "lastLines": "ZeroDivisionError"}})
    case(live, f"{place}/by-one", 1, {"$error": {}})
    unexpected = case(live, f"{place}/surprise", 0)
    report = live.root / "reports/junit.xml"

    found = statuses(live, 1, "skills", "test", "--update", "--junit", report)

    assert [row["status"] for row in found.values()] == ["failed", "passed", "failed"]
    assert "COMPLETE" in found["divide/request/by-one"]["message"]
    assert not (unexpected / "expected.json").exists()
    root = ElementTree.parse(report).getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    tests = {element.get("name"): element for element in root.iter("testcase")}
    assert tests["request/by-zero"].find("failure") is None
    text = tests["request/surprise"].findtext("failure")
    assert text is not None
    assert "ZeroDivisionError" in text
    assert "\x1b" not in text


def test_a_dead_letter_is_a_failure_unless_it_is_expected(live: Live) -> None:
    live.skill("divide", DIVIDE, response="json", onError="complete")
    place = "skills/divide/invoke/request"
    unexpected = case(live, f"{place}/surprise", 0)
    case(live, f"{place}/null", 0, None)
    case(live, f"{place}/counted", 0, {"$deadLetters": 1})
    case(
        live, f"{place}/named", 0, {"$deadLetters": [{"skill": "divide", "reason": "ZeroDivisionError", "payload": 0}]}
    )
    case(live, f"{place}/another", 0, {"$deadLetters": [{"payload": 5}]})
    case(live, f"{place}/none", 1, {"$deadLetters": 1, "$exact": 100})

    found = statuses(live, 1, "skills", "test", "--update")

    assert {name.rpartition("/")[2]: row["status"] for name, row in found.items()} == {
        "surprise": "failed",
        "null": "failed",
        "counted": "passed",
        "named": "passed",
        "another": "failed",
        "none": "failed",
    }
    assert "divide: ZeroDivisionError: " in found["divide/request/surprise"]["message"]
    assert not (unexpected / "expected.json").exists()
    assert found["divide/request/none"]["differences"] == [{"path": "deadLetters", "expected": 1, "actual": 0}]


def test_the_runs_of_tests_are_in_no_list_of_the_users(live: Live) -> None:
    live.skill("divide", DIVIDE, response="json", onError="complete")
    case(live, "skills/divide/invoke/request", 0)
    said = live.fails(1, "skills", "test")
    assert live.ok("deadletters", "list", "-o", "json").value == []
    assert live.ok("activations", "list", "-o", "json").value == []
    (words,) = [line.partition("fabric-jobs ")[2] for line in said.splitlines() if "kept apart" in line]
    assert len(live.ok(*words.split(), "-o", "json").value) == 1
    assert len(live.ok("deadletters", "list", "-o", "json", "--state-dir", live.tests_state).value) == 1


def test_a_long_response_is_compared_whole(live: Live) -> None:
    live.skill("many", "for n in range(message()['payload']): send_message(n)")
    directory = case(live, "skills/many/invoke/request", 2500)
    live.ok("skills", "test", "--update")
    assert json.loads((directory / "expected.json").read_text()) == list(range(2500))
    (directory / "expected.json").write_text(json.dumps([*range(2499), "last"]))
    (row,) = statuses(live, 1, "skills", "test").values()
    assert row["differences"] == [{"path": "response[2499]", "expected": "last", "actual": 2499}]


def test_cases_of_agents_lie_beside_their_files(live: Live) -> None:
    live.skill("echo", ECHO, response="json")
    live.agent("plain", ("input", "echo"), ("echo", "output"))
    live.agent("own", ("input", "echo"), ("echo", "output"))
    (live.root / "agents/own").mkdir()
    (live.root / "agents/own.yaml").rename(live.root / "agents/own/agent.yaml")
    case(live, "agents/invoke/plain/input", 1, 1)
    case(live, "agents/invoke/plain/input/second", 2, 3)
    case(live, "agents/own/invoke/input", 3, 3)

    assert list(statuses(live, 0, "agents", "test", "own")) == ["own/input"]
    found = statuses(live, 1, "agents", "test")
    assert {name: row["status"] for name, row in found.items()} == {
        "own/input": "passed",
        "plain/input": "passed",
        "plain/input/second": "failed",
    }


def test_what_cannot_be_tested_is_told(live: Live) -> None:
    assert "invoke/<input>/message.json" in live.fails(3, "skills", "test")
    live.skill("echo", ECHO)
    assert "Did you mean 'echo'?" in live.fails(3, "skills", "test", "ecko")
    case(live, SKILL, 1)
    (live.root / "skills/broken").mkdir()
    (live.root / "skills/broken/skill.yaml").write_text("name: broken\nfoo: 1\n")
    assert statuses(live, 1, "skills", "test")["broken"]["status"] == "error"


def test_ctrl_c_cancels_what_is_running(live: Live) -> None:
    live.gate("gate")
    live.skill("long", "(ROOT / 'began').touch()\nopen(ROOT / 'gate').read()")
    case(live, "skills/long/invoke/request", 1)
    process = live.start("skills", "test")
    until((live.root / "began").exists, "the job runs")
    process.signal(signal.SIGINT)
    assert process.finish().code == 130
    assert (
        live.ok("activations", "list", "-o", "json", "--state-dir", live.tests_state).value[0]["status"] == "CANCELLED"
    )
