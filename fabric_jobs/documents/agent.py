"""An agent.yaml → an Agent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fabric_jobs.definitions import Agent, AgentInput, AgentOutput, SkillReference
from fabric_jobs.documents.mapping import read_mapping
from fabric_jobs.documents.ports import read_camel, read_parameters, read_tags
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.names import nearest

AGENT_KEYS = (
    *("camel", "name", "title", "description", "tags"),
    *("inputs", "outputs", "skills", "mappings", "properties"),
)
INPUT_KEYS = ("name", "title", "description", "signalId", "signalType", "output", "parameters")
OUTPUT_KEYS = ("name", "title", "description", "signalId", "signalType", "parameters")
SKILL_KEYS = ("skillName", "refId", "title", "description", "properties")
PROPERTY_KEYS = ("name", "value")
SIGNAL_TYPES = ("Service",)

DEFAULT_INPUT = "input"
DEFAULT_OUTPUT = "output"


def read_agent(reader: Reader) -> Agent:
    """Return the agent that `reader` is at; where something is wrong it is noted and the agent is not to be used."""
    if not reader.is_mapping(AGENT_KEYS):
        return Agent(name="")
    outputs = _outputs(reader)
    agent = Agent(
        name=reader.name("agent"),
        camel=read_camel(reader),
        title=reader.text("title"),
        description=reader.text("description"),
        tags=read_tags(reader),
        inputs=_inputs(reader, outputs),
        outputs=outputs,
        skills=read_all(reader.items("skills"), _reference),
        properties=_properties(reader),
    )
    _check_distinct(reader)
    return replace(agent, mappings=read_all(reader.items("mappings"), partial(read_mapping, agent=agent)))


def _outputs(reader: Reader) -> tuple[AgentOutput, ...]:
    if not reader.has("outputs"):
        return (AgentOutput(name=DEFAULT_OUTPUT, signal_id=DEFAULT_OUTPUT),)
    return read_all(reader.items("outputs"), _output)


def _output(reader: Reader) -> AgentOutput | None:
    if not reader.is_mapping(OUTPUT_KEYS):
        return None
    name = reader.name("output")
    return AgentOutput(
        name=name,
        signal_id=reader.text("signalId", name),
        title=reader.text("title"),
        signal_type=reader.choice("signalType", SIGNAL_TYPES, "Service"),
        parameters=read_parameters(reader),
    )


def _inputs(reader: Reader, outputs: tuple[AgentOutput, ...]) -> tuple[AgentInput, ...]:
    only = outputs[0].name if len(outputs) == 1 else ""
    if reader.has("inputs"):
        return read_all(reader.items("inputs"), partial(_input, outputs=tuple(port.name for port in outputs)))
    if len(outputs) > 1:
        reader.error("the key 'inputs' is missing: with several outputs each input has to say which one answers it")
    return (AgentInput(name=DEFAULT_INPUT, signal_id=DEFAULT_INPUT, output=only),)


def _input(reader: Reader, outputs: tuple[str, ...]) -> AgentInput | None:
    if not reader.is_mapping(INPUT_KEYS):
        return None
    name = reader.name("input")
    return AgentInput(
        name=name,
        signal_id=reader.text("signalId", name),
        output=_paired_output(reader, outputs),
        title=reader.text("title"),
        signal_type=reader.choice("signalType", SIGNAL_TYPES, "Service"),
        parameters=read_parameters(reader),
    )


def _paired_output(reader: Reader, outputs: tuple[str, ...]) -> str:
    output = reader.text("output")
    if reader.has("output"):
        if output not in outputs:
            reader.error(f"'{output}' is no output of this agent. {nearest(output, outputs)}".rstrip(), "output")
        return output
    if len(outputs) > 1:
        reader.error(f"the key 'output' is missing: name the output that answers this input. {nearest('', outputs)}")
    return outputs[0] if len(outputs) == 1 else ""


def _reference(reader: Reader) -> SkillReference | None:
    if not reader.is_mapping(SKILL_KEYS):
        return None
    reader.require("skillName", "name the skill that is used here")
    return SkillReference(
        skill_name=reader.text("skillName"),
        ref_id=_ref_id(reader),
        title=reader.text("title"),
        description=reader.text("description"),
        properties=_properties(reader),
    )


def _ref_id(reader: Reader) -> str:
    return reader.text("refId", reader.text("skillName"))


def _properties(reader: Reader) -> dict[str, Any]:
    items = [item for item in reader.items("properties") if item.is_mapping(PROPERTY_KEYS)]
    for item in items:
        item.require("name", "name the property")
    distinct(items, [item.text("name") for item in items], "property", last_wins=True)
    values = ((item.text("name"), item.inner("value")) for item in items)
    return {name: value.node.plain() if value else None for name, value in values}


def _check_distinct(reader: Reader) -> None:
    ports = (*reader.items("inputs"), *reader.items("outputs"))
    for key, what in (("inputs", "input"), ("outputs", "output")):
        items = reader.items(key)
        distinct(items, [item.text("name") for item in items], what)
    distinct(ports, [port.text("signalId", port.text("name")) for port in ports], "port", key="signalId")
    references = reader.items("skills")
    distinct(references, [_ref_id(item) for item in references], "use of a skill", key="refId")
