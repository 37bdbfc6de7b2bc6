"""Plans: which node consumes what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fabric_jobs.definitions import AgentInput, AgentOutput, Mapping, Port, Skill, SkillReference
from fabric_jobs.documents import skill_from_json
from fabric_jobs.errors import FabricJobsError, InvalidInput, NotFound
from fabric_jobs.routing import SOURCE, Plan, Wire, compile_agent, compile_skill, sending_id
from tests.factories import agent, node, plan, skill, skill_document

TWO = {"one": skill("one"), "two": skill("two", outputs=("done", "failed"))}


def compiled(wires: list[tuple[str, str]], skills: dict[str, Skill] | None = None, **changes: Any) -> Plan:
    known = TWO if skills is None else skills
    return compile_agent(replace(agent(known, wires), **changes), known, "start", {})


def paths(made: Plan) -> list[str]:
    """Return the wires as `source.output>target`."""
    return [f"{wire.source}:{wire.output}>{wire.target}" for wire in made.wires]


def refusal(wires: list[tuple[str, str]], skills: dict[str, Skill] | None = None, **changes: Any) -> FabricJobsError:
    with pytest.raises((NotFound, InvalidInput)) as caught:
        compiled(wires, skills, **changes)
    return caught.value


# A skill by itself


def test_all_outputs_of_a_skill_by_itself_are_the_response() -> None:
    made = compile_skill(TWO["two"], "in", {})
    assert paths(made) == [":>two.in", "two.in:done>", "two.in:failed>"]
    assert {wire.response for wire in made.wires if wire.target == SOURCE} == {"output"}
    assert made.nodes["two.in"].output == "done"


def test_an_unknown_input_is_said_with_the_nearest_name() -> None:
    with pytest.raises(NotFound, match="skill 'one' has no input 'inn'") as caught:
        compile_skill(TWO["one"], "inn", {})
    assert "'in'" in caught.value.hint


# Agents


def test_a_chain() -> None:
    made = compiled([("input", "one.in"), ("one.out", "two.in"), ("two.done", "output")])
    assert paths(made) == [":>one.in", "one.in:out>two.in", "two.in:done>"]
    assert made.response == "output"
    assert made.wires[-1].response == "output"


def test_bare_references_mean_the_first_input_and_the_routed_output() -> None:
    bare = compiled([("input", "one"), ("one", "two"), ("two", "output")])
    assert paths(bare) == [":>one.in", "one.in:out>two.in", "two.in:done>"]


def test_fan_out_and_fan_in_keep_the_order_of_the_mappings() -> None:
    skills = {name: skill(name) for name in "abcd"}
    wires = [("d", "output"), ("b", "d"), ("a", "c"), ("a", "b"), ("c", "d"), ("input", "a")]
    made = compiled(wires, skills)
    assert paths(made) == ["d.in:out>", "b.in:out>d.in", "a.in:out>c.in", "a.in:out>b.in", "c.in:out>d.in", ":>a.in"]


def test_only_what_can_be_reached_is_in_the_plan() -> None:
    skills = {name: skill(name) for name in "abc"}
    made = compiled([("input", "a"), ("a", "output"), ("b", "c"), ("c", "output")], skills)
    assert set(made.nodes) == {"a.in"}
    assert len(made.wires) == 2


def test_each_service_has_its_own_wires() -> None:
    skills = {name: skill(name) for name in "ab"}
    made_agent = agent(
        skills,
        [],
        inputs=(
            AgentInput(name="start", signal_id="1", output="x"),
            AgentInput(name="other", signal_id="2", output="y"),
        ),
        outputs=(AgentOutput(name="x", signal_id="3"), AgentOutput(name="y", signal_id="4")),
        mappings=(
            Mapping(source=Port(kind="input", ref="1"), target=Port(kind="skill", ref="a")),
            Mapping(source=Port(kind="input", ref="2"), target=Port(kind="skill", ref="b")),
            Mapping(source=Port(kind="skill", ref="a"), target=Port(kind="output", ref="3")),
            Mapping(source=Port(kind="skill", ref="b"), target=Port(kind="output", ref="4")),
        ),
    )
    first = compile_agent(made_agent, skills, "start", {})
    second = compile_agent(made_agent, skills, "other", {})
    assert (paths(first), first.response) == ([":>a.in", "a.in:out>"], "x")
    assert (paths(second), second.response) == ([":>b.in", "b.in:out>"], "y")
    assert [wire.response for wire in second.wires] == ["", "y"]


def test_a_cycle_of_message_skills_is_a_plan() -> None:
    made = compiled([("input", "one"), ("one", "two"), ("two.failed", "one"), ("two.done", "output")])
    assert made.downstream(["one.in"]) == made.downstream(["two.in"]) == {"one.in", "two.in"}


def test_one_skill_used_twice_is_two_nodes() -> None:
    skills = {"one": TWO["one"]}
    uses = tuple(SkillReference(skill_name="one", ref_id=ref_id) for ref_id in "xy")
    twice = replace(agent(skills, [("input", "x"), ("x", "y"), ("y", "output")]), skills=uses)
    made = compile_agent(twice, skills, "start", {})
    assert [(key, item.skill_name) for key, item in made.nodes.items()] == [("x.in", "one"), ("y.in", "one")]


@pytest.mark.parametrize(("wires", "message", "near"), [
    ([("input", "oen")], "no skill reference 'oen'", "one"),
    ([("input", "one.inn")], "skill 'one' has no input 'inn'", "in"),
    ([("input", "two"), ("two.dne", "output")], "skill 'two' has no output 'dne'", "done"),
])  # fmt: skip
def test_an_unknown_port_is_said_with_the_nearest_name(wires: list[tuple[str, str]], message: str, near: str) -> None:
    found = refusal(wires)
    assert isinstance(found, NotFound)
    assert message in found.message
    assert f"'{near}'" in found.hint


def test_an_unknown_service_is_said_with_the_nearest_name() -> None:
    with pytest.raises(NotFound, match="no service 'strat'") as caught:
        compile_agent(agent(TWO, []), TWO, "strat", {})
    assert "'start'" in caught.value.hint


def test_a_skill_that_is_missing_is_said() -> None:
    with pytest.raises(NotFound, match="uses skill 'two', which does not exist"):
        compile_agent(agent(TWO, [("input", "two")]), {"one": TWO["one"]}, "start", {})


# Properties


def routed(**routing: Any) -> Skill:
    document = skill_document("r", outputs=("a", "b"))
    jobs = {"runtime": "cortex/jobs"}
    document["inputs"][0]["routing"] = {
        **routing,
        "default": {"action": "r", "output": "a", **jobs},
        "rules": [{"match": "5", "action": "fast", "output": "b", **jobs}],
    }
    document["properties"] = [{"name": "mode", "defaultValue": "slow"}, {"name": "kept", "defaultValue": 1}]
    document["actions"].append({"name": "fast", "type": "job", "command": ["true"]})
    return skill_from_json(document)


@pytest.mark.parametrize(
    ("properties", "action", "output"),
    [({}, "r", "a"), ({"mode": "5"}, "fast", "b"), ({"mode": 5}, "fast", "b"), ({"mode": "six"}, "r", "a")],
)
def test_a_property_chooses_the_action(properties: dict[str, Any], action: str, output: str) -> None:
    found = compile_skill(routed(property="mode"), "in", properties).nodes["r.in"]
    assert (found.action.name, found.output) == (action, output)


def test_properties_of_the_call_come_before_those_of_the_agent_the_reference_and_the_skill() -> None:
    skills = {"r": routed(property="mode")}
    made = replace(
        agent(skills, [("input", "r"), ("r", "output")]),
        skills=(SkillReference(skill_name="r", ref_id="r", properties={"kept": 2, "mine": 2}),),
        properties={"mine": 3, "ours": 3},
    )
    found = compile_agent(made, skills, "start", {"ours": 4, "mode": "5"}).nodes["r.in"]
    assert dict(found.properties) == {"mode": "5", "kept": 2, "mine": 3, "ours": 4}
    assert found.action.name == "fast"


# What this version does not carry out


def test_routing_by_a_field_is_refused_with_a_hint_unless_it_makes_no_difference() -> None:
    with pytest.raises(InvalidInput, match="routes by the field 'kind'") as caught:
        compile_skill(routed(field="kind"), "in", {})
    assert "'all'" in caught.value.hint


@pytest.mark.parametrize("what", ["when", "join"])
def test_conditions_and_joins_are_refused_with_a_hint(what: str) -> None:
    changes: dict[str, Any] = {"when": {"kind": "a"}} if what == "when" else {"join": True}
    wire = Mapping(source=Port(kind="input", ref="input"), target=Port(kind="skill", ref="one"), **changes)
    found = refusal([], mappings=(wire,))
    assert isinstance(found, InvalidInput)
    assert f"has '{what}'" in found.message
    assert found.hint == f"Remove '{what}' from the mapping."


def test_a_condition_on_a_wire_that_is_not_reached_does_not_matter() -> None:
    far = Mapping(source=Port(kind="skill", ref="two"), target=Port(kind="output", ref="output"), join=True)
    made = agent(TWO, [("input", "one"), ("one", "output")])
    assert len(compile_agent(replace(made, mappings=(*made.mappings, far)), TWO, "start", {}).wires) == 2


@pytest.mark.parametrize("on_error", ["continue", "complete"])
def test_other_ways_to_treat_errors_are_refused_with_a_hint(on_error: str) -> None:
    with pytest.raises(InvalidInput, match=f"'onError: {on_error}'") as caught:
        compile_skill(skill("x", onError=on_error), "in", {})
    assert "'fail'" in caught.value.hint


@pytest.mark.parametrize("runtime", ["cortex/daemons", "cortex/external-api"])
def test_daemons_and_external_calls_are_refused_with_a_hint(runtime: str) -> None:
    document = skill_document("x")
    target = {"runtime": runtime, "output": "out", **({"action": "x"} if runtime == "cortex/daemons" else {})}
    document["inputs"][0]["routing"] = {"all": target}
    if runtime == "cortex/daemons":
        document["actions"][0] = {"name": "x", "type": "daemon", "port": "8080"}
    with pytest.raises(InvalidInput, match=f"in {runtime}") as caught:
        compile_skill(skill_from_json(document), "in", {})
    assert caught.value.hint


# Plans


def test_downstream_holds_the_nodes_themselves_and_all_that_follows() -> None:
    made = plan(
        *(node(f"{name}.in") for name in "abcd"),
        wires=[(SOURCE, "a.in"), ("a.in", "b.in"), ("b.in", "c.in"), ("c.in", "b.in"), ("d.in", SOURCE)],
    )
    assert made.downstream(["a.in"]) == {"a.in", "b.in", "c.in"}
    assert made.downstream(["c.in"]) == {"b.in", "c.in"}
    assert made.downstream(["d.in"]) == {"d.in"}
    assert made.downstream([]) == set()


def test_sending_ids_differ_by_activation_and_node_and_stay_the_same() -> None:
    ids = {sending_id(activation, key) for activation in ("a1", "a2") for key in ("x.in", "y.in", SOURCE)}
    assert len(ids) == 6
    assert sending_id("a1", "x.in") == sending_id("a1", "x.in")


def test_a_wire_without_an_agents_output_answers_nothing() -> None:
    assert Wire(source="a", output="b", target="c").response == ""
