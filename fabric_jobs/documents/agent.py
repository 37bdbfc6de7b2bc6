"""An agent.yaml → an Agent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fabric_jobs.definitions import Agent, AgentInput, AgentOutput, SkillReference
from fabric_jobs.documents.fields import ANYTHING, TEXT, TITLE, Field, Kind, Shape, choice, listed, name, text_or
from fabric_jobs.documents.mapping import MAPPING, read_mapping
from fabric_jobs.documents.ports import CAMEL, PARAMETERS, TAGS
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.names import nearest

DEFAULT_INPUT = "input"
DEFAULT_OUTPUT = "output"


def _values(reader: Reader, field: Field) -> dict[str, Any]:
    """Return the values of properties; the last of a name wins."""
    items = [item for item in reader.items(field.key) if item.is_mapping(VALUE.keys)]
    values = [VALUE.values(item) or {} for item in items]
    distinct(items, [value["name"] for value in values], "property", last_wins=True)
    return {value["name"]: value["value"] for value in values}


SIGNAL_ID = Field(
    "signalId", text_or("name"), "The id that mappings name the port by. No other port has it.", absent="the name"
)
SIGNAL_TYPE = Field("signalType", choice("Service"), "Always Service.", default=AgentInput.signal_type)
PORT_DESCRIPTION = Field("description", TEXT._replace(read=None), "What the port is for.")
INPUT = Shape(
    "input",
    "A service of the agent; its name is in the URL that invokes it.",
    Field("name", name("input"), "The name of the service. It is in the URL that invokes it.", required=True),
    SIGNAL_ID,
    Field(
        "output",
        TEXT,
        "The name of the output that answers. Required when there are several.",
        absent="the only output",
    ),
    TITLE,
    PORT_DESCRIPTION,
    SIGNAL_TYPE,
    PARAMETERS,
    make=AgentInput,
)
OUTPUT = Shape(
    "output",
    "A named output of the agent.",
    Field("name", name("output"), "The name of the output.", required=True),
    SIGNAL_ID,
    TITLE,
    PORT_DESCRIPTION,
    SIGNAL_TYPE,
    PARAMETERS,
    make=AgentOutput,
)
VALUE = Shape(
    "property",
    "A value of a property.",
    Field("name", TEXT, "The name of the property.", required=True, missing="name the property"),
    Field("value", ANYTHING, "Its value."),
)
VALUES = Kind(listed(VALUE).schema, "list of `{name, value}`", _values)
SKILL = Shape(
    "skill",
    "One use of a skill.",
    Field("skillName", TEXT, "The name of the skill.", required=True, missing="name the skill that is used here"),
    Field(
        "refId",
        text_or("skillName"),
        "The id that mappings name this use by. Needed when a skill is used twice.",
        absent="the skill's name",
    ),
    TITLE,
    Field("description", TEXT, "What the skill does here."),
    Field("properties", VALUES, "Values of properties, for this use of the skill."),
    make=SkillReference,
)
AGENT = Shape(
    "",
    "An agent: skills, wired from its inputs to its outputs by mappings.",
    Field("name", name("agent"), "The name of the agent, unique in the workspace whatever its case.", required=True),
    CAMEL,
    TITLE,
    Field("description", TEXT, "What the agent does."),
    Field("tags", TAGS, "Labels of the agent."),
    Field("inputs", listed(INPUT), "The services of the agent.", absent="one called `input`"),
    Field("outputs", listed(OUTPUT), "The outputs of the agent.", absent="one called `output`"),
    Field("skills", listed(SKILL), "The uses of skills."),
    Field("mappings", listed(MAPPING)._replace(read=None), "The wires."),
    Field("properties", VALUES, "Values of properties, for every skill of the agent."),
    make=Agent,
)


def read_agent(reader: Reader) -> Agent:
    """Return the agent that `reader` is at. If a problem was noted, the agent must not be used."""
    if not reader.is_mapping(AGENT.keys):
        return Agent(name="")
    outputs = _outputs(reader)
    values = AGENT.values(reader, inputs=partial(_inputs, outputs=outputs), outputs=lambda _: outputs)
    agent = Agent(**values or {"name": ""})
    _check_distinct(reader)
    return replace(agent, mappings=read_all(reader.items("mappings"), partial(read_mapping, agent=agent)))


def _outputs(reader: Reader) -> tuple[AgentOutput, ...]:
    if not reader.has("outputs"):
        return (AgentOutput(name=DEFAULT_OUTPUT, signal_id=DEFAULT_OUTPUT),)
    return read_all(reader.items("outputs"), OUTPUT.read)


def _inputs(reader: Reader, outputs: tuple[AgentOutput, ...]) -> tuple[AgentInput, ...]:
    only = outputs[0].name if len(outputs) == 1 else ""
    if reader.has("inputs"):
        return read_all(reader.items("inputs"), partial(_input, outputs=tuple(port.name for port in outputs)))
    if len(outputs) > 1:
        reader.error("the key 'inputs' is missing: with several outputs, each input must name the one that answers it")
    return (AgentInput(name=DEFAULT_INPUT, signal_id=DEFAULT_INPUT, output=only),)


def _input(reader: Reader, outputs: tuple[str, ...]) -> AgentInput | None:
    values = INPUT.values(reader, output=partial(_paired_output, outputs=outputs))
    return AgentInput(**values) if values else None


def _paired_output(reader: Reader, outputs: tuple[str, ...]) -> str:
    output = reader.text("output")
    if reader.has("output"):
        if output not in outputs:
            reader.error(f"'{output}' is not an output of this agent. {nearest(output, outputs)}".rstrip(), "output")
        return output
    if len(outputs) > 1:
        reader.error(f"the key 'output' is missing: name the output that answers this input. {nearest('', outputs)}")
    return outputs[0] if len(outputs) == 1 else ""


def _check_distinct(reader: Reader) -> None:
    ports = (*reader.items("inputs"), *reader.items("outputs"))
    for key, what in (("inputs", "input"), ("outputs", "output")):
        items = reader.items(key)
        distinct(items, [item.text("name") for item in items], what)
    distinct(ports, [port.text("signalId", port.text("name")) for port in ports], "port", key="signalId")
    references = reader.items("skills")
    distinct(
        references, [item.text("refId", item.text("skillName")) for item in references], "use of a skill", key="refId"
    )
