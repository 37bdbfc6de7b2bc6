"""Ids and names by their beginning: in every route and every command that takes one."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import click
import pytest

from fabric_jobs.cli import cli
from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.parameters import ACTIVATION_ID, P
from tests.acceptance.live import PROJECT, Live
from tests.gateway.test_users import Caller

SCHEDULES = ("/pause", "/resume")  # of Fabric's clients: what they call a task is a schedule
EXACT = {("PUT", "letter"), ("DELETE", "letter")}  # a number that is gone may be the beginning of another one
ROUTES = [
    (operation.method, operation.path.replace(P, PROJECT), found[1])
    for operation in OPERATIONS
    if operation.caller == "user"
    and not operation.path.endswith(SCHEDULES)
    and (found := re.search(r"\{(activation|task|letter)(:\w+)?\}", operation.path))
]
FILTERS = [operation.path.replace(P, PROJECT) for operation in OPERATIONS if ACTIVATION_ID in operation.parameters]


@pytest.fixture
def three(live: Live) -> Live:
    """A workspace with activations, two of which begin alike, each with a task and a dead letter."""
    live.skill("fails", "sys.exit(3)", onError="complete")
    for name in ("alike-1", "alike-2", "other-1", "fourth-1"):
        live.ok("skills", "invoke", "fails", "--params", json.dumps({"payload": 1, "activationId": name}))
    return live


NUMBERS = (12_345, 12_346, 55_555, 77_777)  # of the dead letters, as if there had been many


def numbered(live: Live) -> None:
    live.stop_owner()
    store = sqlite3.connect(live.state / "state.db")
    for number, other in enumerate(NUMBERS, start=1):
        store.execute("update dead_letters set dead_letter_id = ? where dead_letter_id = ?", (other, number))
    store.commit()
    store.close()


def test_there_are_routes_and_filters_to_try() -> None:
    assert {kind for _, _, kind in ROUTES} == {"activation", "task", "letter"}
    assert len(ROUTES) > 10
    assert len(FILTERS) >= 3


def test_every_route_takes_a_beginning_and_lists_several(three: Live) -> None:
    numbered(three)
    caller = Caller(three)
    tasks = {task["activationId"]: task["name"] for task in caller.get("/tasks")["tasks"]}
    names = {
        "activation": ("alik", "othe"),
        "task": ("local-fails-fails-", tasks["other-1"][:-1]),
        "letter": ("1234", "5555"),
    }

    def ask(method: str, path: str, kind: str, name: str) -> tuple[int, dict[str, Any]]:
        target = re.sub(r"\{" + kind + r"(:\w+)?\}", name, path)
        answer = caller.call(method, f"{target}?direction=forward", b'{"payload": 2}')
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(answer.body) if is_json else {}

    for method, path, kind in ROUTES:
        alike, alone = names[kind]
        status, answer = ask(method, path, kind, alike)
        if (method, kind) in EXACT:
            assert status == 404 or answer["dropped"] is False
            continue
        assert status == 400, (path, answer)
        assert len(re.findall(r"\n  \S", answer["message"])) == (4 if kind == "task" else 2)
        status, answer = ask(method, path, kind, alone)
        assert status == 200 or "has no callback" in answer["message"], (path, answer)
        for other in (alone[:3], alone + "~"):
            assert ask(method, path, kind, other)[0] == 404, path
        assert ask(method, path.replace("/local/", "/foreign/"), kind, alone)[0] == 404, path


def test_every_filter_takes_a_beginning(three: Live) -> None:
    caller = Caller(three)
    for path in FILTERS:
        answer = caller.call("GET", f"{path}?activationId=othe")
        assert answer.status == 200
        assert b"other-1" in answer.body
        assert b"alike" not in answer.body
        assert "alike-2" in caller.refused(400, "GET", f"{path}?activationId=alik")


def test_an_exact_name_wins(three: Live) -> None:
    caller = Caller(three)
    three.ok("skills", "invoke", "fails", "--params", json.dumps({"payload": 1, "activationId": "alike"}))
    assert caller.get("/activations/alike")["activationId"] == "alike"
    assert len(caller.get("/tasks?activationId=alike")["tasks"]) == 1
    assert "alike-1" in caller.refused(400, "GET", f"{PROJECT}/activations/alik")


def test_a_wildcard_is_a_letter(three: Live) -> None:
    caller = Caller(three)
    for name in ("%25%25%25%25", "____", "****", "????", "a%25ke", "alik_", "alik*", "[a]lik"):
        caller.refused(404, "GET", f"{PROJECT}/activations/{name}")


def commands(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        nested = isinstance(command, click.Group)
        found += commands(command, (*words, name)) if nested else [((*words, name), command)]  # type: ignore[arg-type]
    return found


TAKING = ("activation", "task", "letter", "letters")


def test_every_command_takes_a_beginning(three: Live) -> None:
    numbered(three)
    tried = []
    for words, command in sorted(commands(cli), key=lambda found: "drop" in found[0]):  # the last one
        for parameter in command.params:
            if parameter.name not in TAKING:
                continue
            tried.append((*words, parameter.name))
            activation = "four" if words[0] == "deadletters" else "othe"  # a letter is retried once
            names = {"activation": activation, "task": _task(three), "letter": "5555", "letters": "5555"}
            name = names[str(parameter.name)]
            given = [name] if isinstance(parameter, click.Argument) else [*_other(command), parameter.opts[0], name]
            more = {"edit": ["--payload", "2"], "drop": ["--yes"] if "--activation" in given else []}.get(words[-1], [])
            ran = three.run(*words, *given, *more)
            said = ran.out + ran.err
            missing = r"(?i)there (is|are) no (activation|task|dead|such)|do not exist|no skill"
            assert not re.search(missing, said), (words, said)
            assert "several" not in said, (words, said)
            assert ran.code in (0, 1) or "has no callback" in said, (words, ran)
    assert {name for *_, name in tried} == {"activation", "task", "letter", "letters"}
    assert len(tried) >= 14
    assert "alike-1" in three.fails(2, "activations", "show", "alik")
    assert "several tasks begin" in three.fails(2, "tasks", "show", "local-fails-fails-")


def _task(live: Live) -> str:
    name: str = live.ok("tasks", "list", "--activation", "other-1", "-o", "json").value[0]["name"]
    return name[:-1]


def _other(command: click.Command) -> list[str]:
    """Return an argument for a command with an option --activation, where it wants one."""
    wanted = [
        parameter.name for parameter in command.params if isinstance(parameter, click.Argument) and parameter.required
    ]
    return ["fails"] * len(wanted)
