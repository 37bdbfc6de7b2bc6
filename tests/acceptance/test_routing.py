"""Routing: by fields, by conditions, joins, several inputs, cycles, properties and headers."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.live import Live

COUNT = "for n in range(message()['payload']): send_message({'n': n})"
ECHO = "print(json.dumps(message()['payload']))"


def edit_skill(live: Live, name: str, **changes: Any) -> None:
    path = live.root / "skills" / name / "skill.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_field_of_the_payload_chooses_the_action_and_conditions_choose_the_wire(live: Live) -> None:
    live.skill("source", "for n in range(6): send_message({'n': n, 'kind': 'even' if n % 2 == 0 else 'odd'})")
    live.skill("half", "print(json.dumps([message()['payload']['n'], 'even']))", response="json")
    document = json.loads((live.root / "skills/half/skill.yaml").read_text())
    target = {"action": "half", "runtime": "cortex/jobs", "output": "response"}
    other = {"match": "odd", "action": "odd", "runtime": "cortex/jobs", "output": "rest"}
    odd = {"name": "odd", "type": "job", "response": "json", "command": ["python", "main.py"]}
    (live.root / "skills/half/actions/odd").mkdir()
    (live.root / "skills/half/actions/odd/main.py").write_text("print('\"odd\"')")
    edit_skill(
        live,
        "half",
        inputs=[{"name": "request", "routing": {"field": "kind", "default": target, "rules": [other]}}],
        outputs=[{"name": "response"}, {"name": "rest"}],
        actions=[*document["actions"], odd],
    )
    live.agent(
        "fork",
        ("input", "source"),
        ("source", "half", {"when": {"n": {"lt": 5}}}),
        ("source", "output", {"when": {"n": 5}}),
        ("half.response", "output"),
        ("half.rest", "output"),
    )
    found = live.invoke("fork", 0 + 6, kind="agents")["response"]
    assert sorted(map(json.dumps, found)) == sorted(
        map(json.dumps, [[0, "even"], [2, "even"], [4, "even"], "odd", "odd", {"n": 5, "kind": "odd"}])
    )


def test_a_join_delivers_one_array_in_the_order_of_the_mappings(live: Live) -> None:
    live.skill("source", COUNT)
    live.skill("double", "print(message()['payload']['n'] * 2)", response="json", workers=1)
    live.skill("square", "print(message()['payload']['n'] ** 2)", response="json", workers=1)
    live.skill("gather", ECHO, response="json")
    joined = {"join": "all"}
    live.agent(
        "diamond",
        ("input", "source"),
        ("source", "double"),
        ("source", "square"),
        ("square", "gather", joined),
        ("double", "gather", joined),
        ("gather", "output"),
    )
    assert live.invoke("diamond", 4, kind="agents")["response"] == [0, 1, 4, 9, 0, 2, 4, 6]
    never = {"join": "all", "when": {"n": {"lt": 0}}}
    live.agent("none", ("input", "source"), ("source", "gather", never), ("gather", "output"))
    assert live.invoke("none", 4, kind="agents")["response"] is None  # nothing arrived, so there is nothing to join
    tasks = live.ok("tasks", "list", "--skill", "gather", "-o", "json").value
    assert len(tasks) == 1


def test_a_join_can_be_the_response(live: Live) -> None:
    live.skill("source", COUNT)
    live.agent("all", ("input", "source"), ("source", "output", {"join": "all"}))
    assert live.invoke("all", 1, kind="agents")["response"] == [{"n": 0}]


def test_a_loop_goes_round_until_its_condition_ends_it(live: Live) -> None:
    live.skill("halve", "print(json.dumps({'n': message()['payload']['n'] // 2}))", response="json")
    live.agent(
        "loop",
        ("input", "halve"),
        ("halve", "halve", {"when": {"n": {"gt": 1}}}),
        ("halve", "output", {"when": {"n": {"lte": 1}}}),
    )
    assert live.invoke("loop", {"n": 40}, kind="agents")["response"] == {"n": 1}


def test_a_skill_with_two_inputs_runs_what_each_of_them_names(live: Live) -> None:
    live.skill("first", "print('1')", response="json")
    live.skill("both", ECHO, response="json")
    document = json.loads((live.root / "skills/both/skill.yaml").read_text())
    second = {"name": "second", "routing": {"all": {"action": "other", "runtime": "cortex/jobs", "output": "response"}}}
    other = {"name": "other", "type": "job", "response": "json", "command": ["python", "-c", "print('\"other\"')"]}
    edit_skill(live, "both", inputs=[*document["inputs"], second], actions=[*document["actions"], other])
    live.agent(
        "two", ("input", "first"), ("first", "both.request"), ("first", "both.second"), ("both.response", "output")
    )
    assert sorted(map(str, live.invoke("two", None, kind="agents")["response"])) == ["1", "other"]


def test_properties_headers_and_session_come_with_the_invocation(live: Live) -> None:
    live.skill(
        "show",
        "m = message(); print(json.dumps([m['properties'], m['headers'], m['sessionId']]))",
        response="json",
    )
    edit_skill(live, "show", properties=[{"name": "a", "defaultValue": 1}, {"name": "b", "defaultValue": 1}])
    live.agent("shown", ("input", "show"), ("show", "output"), properties={"b": 2, "allowedHeaders": "X-One, x-two"})
    params = json.dumps({"payload": None, "properties": {"c": 3}})
    words = ("--params", params, "--session", "s1", "--header", "X-ONE: 1", "--header", "x-three: 3", "-o", "json")
    record = live.ok("agents", "invoke", "shown", *words).value
    properties, headers, session = record["response"]
    assert (properties["a"], properties["b"], properties["c"], session) == (1, 2, 3, "s1")
    assert headers == record["headers"] == {"X-One": "1"}
