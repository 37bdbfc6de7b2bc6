"""agent.yaml → Agent: shorthands, and every kind of error."""

from __future__ import annotations

import pytest

from fabric_jobs.definitions import Agent, AgentInput, AgentOutput, Mapping, Port, SkillReference
from fabric_jobs.documents import agent_from_json, parse_agent, to_json
from fabric_jobs.errors import InvalidDefinition

CASE = "Names must differ in more than case"
MISSING = "the key 'output' is missing: name the output that answers this input"
LONG = """\
camel: 1.0.0
name: chain
inputs:
  - {name: start, signalId: 11-aa, signalType: Service, output: end, parameters: {$ref: t}}
outputs:
  - {name: end, signalId: 22-bb, signalType: Service}
skills:
  - {skillName: cortex/first, refId: one, title: First, properties: [{name: n, value: 5}], _layout: {x: 1}}
  - {skillName: second, refId: two}
mappings:
  - {from: {input: {signalId: 11-aa}}, to: {skill: {refId: one, input: request}}, rules: []}
  - {from: {skill: {refId: one, output: response}}, to: {skill: {refId: two, input: request}}, when: {kind: a}}
  - {from: {skill: {refId: two, output: response}}, to: {output: {signalId: 22-bb}}, join: all}
properties: [{name: allowedHeaders, value: "x-id"}]
publish: true
snapshotId: tip-snapshot
"""


def agent(text: str) -> Agent:
    return parse_agent(text, "agent.yaml")[0]


def problems_of(text: str) -> list[str]:
    try:
        return [str(problem).removeprefix("agent.yaml:") for problem in parse_agent(text, "agent.yaml")[1]]
    except InvalidDefinition as error:
        return [str(problem).removeprefix("agent.yaml:") for problem in error.problems]


def mapped(mapping: str) -> str:
    return f"name: a\nskills: [{{skillName: one}}, {{skillName: b.c}}]\nmappings:\n  - {mapping}\n"


def test_the_long_form() -> None:
    chain, warnings = parse_agent(LONG, "agent.yaml")
    assert warnings == ()
    (start,) = chain.inputs
    assert (start.name, start.signal_id, start.output, start.parameters.ref) == ("start", "11-aa", "end", "t")
    assert chain.outputs == (AgentOutput(name="end", signal_id="22-bb"),)
    assert chain.skills[0] == SkillReference(
        skill_name="cortex/first", ref_id="one", title="First", properties={"n": 5}
    )
    assert chain.mappings == (
        Mapping(source=Port(kind="input", ref="11-aa"), target=Port(kind="skill", ref="one", port="request")),
        Mapping(
            source=Port(kind="skill", ref="one", port="response"),
            target=Port(kind="skill", ref="two", port="request"),
            when={"kind": "a"},
        ),
        Mapping(
            source=Port(kind="skill", ref="two", port="response"), target=Port(kind="output", ref="22-bb"), join=True
        ),
    )
    assert chain.properties == {"allowedHeaders": "x-id"}
    assert agent_from_json(to_json(LONG, "agent.yaml")) == chain


def test_the_short_form() -> None:
    text = "name: a\nskills: [{skillName: cortex/x.y}, {skillName: b, refId: two}]\nmappings:\n"
    text += (
        "  - {from: input, to: cortex/x.y}\n  - {from: cortex/x.y.done, to: two.request}\n  - {from: two, to: output}\n"
    )
    short = agent(text)
    assert short.inputs == (AgentInput(name="input", signal_id="input", output="output"),)
    assert short.outputs == (AgentOutput(name="output", signal_id="output"),)
    assert [reference.ref_id for reference in short.skills] == ["cortex/x.y", "two"]
    assert [(mapping.source, mapping.target) for mapping in short.mappings] == [
        (Port(kind="input", ref="input"), Port(kind="skill", ref="cortex/x.y")),
        (Port(kind="skill", ref="cortex/x.y", port="done"), Port(kind="skill", ref="two", port="request")),
        (Port(kind="skill", ref="two"), Port(kind="output", ref="output")),
    ]


def test_a_port_is_named_by_its_signal_id_or_its_name() -> None:
    text = "name: a\ninputs: [{name: i, signalId: x}]\nskills: [{skillName: s}]\n"
    text += "mappings: [{from: i, to: s}, {from: x, to: s}]"
    assert {mapping.source for mapping in agent(text).mappings} == {Port(kind="input", ref="x")}


@pytest.mark.parametrize(
    ("mapping", "place", "message"),
    [
        (
            "{from: inptu, to: one}",
            "4:12: error: mappings[0].from",
            "'inptu' is neither an input nor a refId of this agent. Did you mean 'input'?",
        ),
        (
            "{from: input, to: on}",
            "4:23: error: mappings[0].to",
            "'on' is neither an output nor a refId of this agent. Did you mean 'one'?",
        ),
        (
            "{from: output, to: one}",
            "4:12: error: mappings[0].from",
            "'from' cannot be an output of the agent; it is an input of the agent or a skill",
        ),
        (
            "{from: one, to: input}",
            "4:21: error: mappings[0].to",
            "'to' cannot be an input of the agent; it is an output of the agent or a skill",
        ),
        (
            "{from: {output: {signalId: output}}, to: one}",
            "4:13: error: mappings[0].from.output",
            "'from' cannot be an output of the agent; it is an input of the agent or a skill",
        ),
        (
            "{from: {skill: {refId: won}}, to: output}",
            "4:28: error: mappings[0].from.skill.refId",
            "'won' is not a refId of this agent. Did you mean 'one'?",
        ),
        (
            "{from: {input: {signalId: in}}, to: one}",
            "4:31: error: mappings[0].from.input.signalId",
            "'in' is not a signalId of an input. Known: input.",
        ),
        (
            "{from: {skill: {refId: one, input: x}}, to: output}",
            "4:33: error: mappings[0].from.skill.input",
            "unknown key 'input'. Known: output, refId.",
        ),
        (
            "{from: {}, to: one}",
            "4:12: error: mappings[0].from",
            "this needs exactly one of the keys 'input' and 'skill'",
        ),
        ("{to: one}", "4:5: error: mappings[0]", "the key 'from' is missing: name an input of the agent or a skill"),
        (
            "{from: input, to: one, join: any}",
            "4:34: error: mappings[0].join",
            "'any' is not a known value. Known: all.",
        ),
        (
            "{from: input, to: one, when: []}",
            "4:34: error: mappings[0].when",
            "a condition must be a mapping from fields of the payload to values",
        ),
        (
            "{from: input, to: one, rules: [1]}",
            "4:28: warning: mappings[0].rules",
            "the rules of a mapping have no effect, because their meaning was never published; write 'when' instead",
        ),
        (
            "{from: input, to: output}",
            "4:5: warning: mappings[0]",
            "this leads from an input of the agent straight to an output; no skill runs",
        ),
    ],
)
def test_what_is_wrong_with_a_mapping(mapping: str, place: str, message: str) -> None:
    assert problems_of(mapped(mapping)) == [f"{place}: {message}"]


def test_a_string_that_means_two_things_is_refused() -> None:
    text = "name: a\nskills: [{skillName: a}, {skillName: a.b}, {skillName: input}]\nmappings:\n"
    first, second = problems_of(text + "  - {from: a.b, to: output}\n  - {from: input, to: a}")
    assert first.startswith(
        "4:12: error: mappings[0].from: 'a.b' can be 'b' of the skill 'a' or the skill 'a.b'; write"
    )
    assert "'input' can be the input 'input' of the agent or the skill 'input'; write the long form" in second


def test_duplicates() -> None:
    text = "name: a\ninputs: [{name: i}, {name: I, signalId: x}]\noutputs: [{name: o, signalId: X}]\n"
    text += "skills: [{skillName: s}, {skillName: t, refId: S}, {skillName: s}]\n"
    assert problems_of(text) == [
        f"2:28: error: inputs[1].name: a second input is called 'I'; the first is at 2:17. {CASE}",
        f"3:31: error: outputs[0].signalId: a second port is called 'X'; the first is at 2:41. {CASE}",
        f"4:48: error: skills[1].refId: a second use of a skill is called 'S'; the first is at 4:10. {CASE}",
        f"4:52: error: skills[2]: a second use of a skill is called 's'; the first is at 4:10. {CASE}",
    ]


def test_an_input_names_the_output_that_answers_it() -> None:
    two = "outputs: [{name: good}, {name: bad}]"
    assert problems_of(f"name: a\n{two}\ninputs: [{{name: i}}, {{name: j, output: god}}]") == [
        f"3:10: error: inputs[0]: {MISSING}. Known: bad, good.",
        "3:39: error: inputs[1].output: 'god' is not an output of this agent. Did you mean 'good'?",
    ]
    (problem,) = problems_of(f"name: a\n{two}")
    assert problem.startswith("1:1: error: the key 'inputs' is missing: with several outputs")
