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


# A single skill


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
    ([("input", "two"), ("two.dne", "output")], "skill 'two' has no output 'dne'", "done"),
])  # fmt: skip
def test_an_unknown_port_is_said_with_the_nearest_name(wires: list[tuple[str, str]], message: str, near: str) -> None:
    found = refusal(wires)
    assert isinstance(found, NotFound)
    assert message in found.message
    assert f"'{near}'" in found.hint


def test_the_only_port_of_a_skill_is_meant_by_any_name() -> None:
    assert paths(compiled([("input", "one.inn"), ("one.oot", "output")])) == [":>one.in", "one.in:out>"]


def test_an_unknown_input_of_several_is_said() -> None:
    ports = (TWO["one"].inputs[0], replace(TWO["one"].inputs[0], name="again"))
    assert (
        "skill 'one' has no input 'inn'"
        in refusal([("input", "one.inn")], {"one": replace(TWO["one"], inputs=ports)}).message
    )


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


def test_a_field_of_the_payload_chooses_the_action() -> None:
    made = compile_skill(routed(field="kind"), "in", {})
    assert {key: found.action.name for key, found in made.nodes.items()} == {"r.in": "r", "r.in#1": "fast"}
    entries = [wire for wire in made.wires if wire.source == SOURCE]
    assert [(wire.target, wire.conditions) for wire in entries] == [
        ("r.in", ({"kind": {"no_text": ["5"]}},)),
        ("r.in#1", ({"kind": {"text": ["5"]}},)),
    ]
    assert made.nodes["r.in#1"].output == "b"


def test_what_a_field_routed_skill_sends_leaves_by_the_same_mappings_whichever_action_sent_it() -> None:
    made = compiled([("input", "r"), ("r", "output")], {"r": routed(field="kind")})
    assert paths(made) == [":>r.in", ":>r.in#1", "r.in:a>", "r.in#1:b>"]


def test_a_value_that_a_property_cannot_have_is_refused() -> None:
    document = skill_document("x")
    document["properties"] = [{"name": "size", "validValues": [1, 2], "defaultValue": 1}]
    made = skill_from_json(document)
    assert compile_skill(made, "in", {"size": "2"}).nodes["x.in"].properties["size"] == "2"
    with pytest.raises(InvalidInput, match="'size' cannot be '3'") as caught:
        compile_skill(made, "in", {"size": 3})
    assert caught.value.hint == "Valid values: 1, 2."


# Conditions, joins, cycles


def mapped(source: str, target: str, **changes: Any) -> Mapping:
    """Return a mapping between the bare names of skills, `input` and `output`."""
    ends = [
        Port(kind=name, ref=name) if name in ("input", "output") else Port(kind="skill", ref=name)
        for name in (source, target)
    ]
    return Mapping(source=ends[0], target=ends[1], **changes)


def test_a_condition_is_on_the_wire() -> None:
    made = compiled([], mappings=(mapped("input", "one", when={"kind": "a"}), mapped("one", "output")))
    assert [wire.conditions for wire in made.wires] == [({"kind": "a"},), ()]


def test_a_join_stands_between_what_leads_to_it_and_what_gets_the_array() -> None:
    skills = {name: skill(name) for name in "abc"}
    joined = [mapped(name, "c", join=True) for name in "ab"]
    made = compiled([], skills, mappings=(mapped("input", "a"), mapped("input", "b"), *joined, mapped("c", "output")))
    assert made.joins == ("c.in!join",)
    assert paths(made) == [
        ":>a.in",
        ":>b.in",
        "c.in!join:>c.in",
        "a.in:out>c.in!join",
        "b.in:out>c.in!join",
        "c.in:out>",
    ]
    assert made.downstream(["a.in"]) == {"a.in", "c.in!join", "c.in"}


def test_the_wires_of_a_cycle_are_marked() -> None:
    skills = {name: skill(name) for name in "ab"}
    wires = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]
    assert [wire.cyclic for wire in compiled(wires, skills).wires] == [False, True, True, False]


@pytest.mark.parametrize("what", ["stream", "join"])
def test_a_cycle_through_what_waits_for_an_end_is_refused(what: str) -> None:
    skills = {"a": skill("a", receives="stream" if what == "stream" else "message"), "b": skill("b")}
    back = mapped("b", "a", join=what == "join")
    mappings = (mapped("input", "a"), mapped("a", "b"), back, mapped("b", "output"))
    found = refusal([], skills, mappings=mappings)
    assert "closes a cycle" in found.message
    assert found.hint


def test_a_retry_begins_at_a_node_with_what_follows_it() -> None:
    skills = {name: skill(name) for name in "abc"}
    made = compiled([("input", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", "output")], skills)
    begun = made.beginning_at("b.in")
    assert paths(begun) == [":>b.in", "b.in:out>c.in", "c.in:out>"]
    assert set(begun.nodes) == {"b.in", "c.in"}


# Daemons and external APIs


@pytest.mark.parametrize("runtime", ["cortex/daemons", "cortex/external-api"])
def test_daemons_and_external_apis_are_called(runtime: str) -> None:
    document = skill_document("x")
    target = {"runtime": runtime, "output": "out", **({"action": "x"} if runtime == "cortex/daemons" else {})}
    document["inputs"][0]["routing"] = {"all": target}
    document["actions"][0] = {"name": "x", "type": "daemon", "port": "8080"}
    found = compile_skill(skill_from_json(document), "in", {}).nodes["x.in"]
    assert found.is_called
    assert not found.is_stream


def test_an_action_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="which is not an action of the skill") as caught:
        compile_skill(replace(TWO["one"], actions=()), "in", {})
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
