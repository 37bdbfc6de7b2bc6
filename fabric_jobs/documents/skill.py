"""A skill.yaml → a Skill."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from fabric_jobs.definitions import Property, Routing, Skill, SkillInput, SkillOutput
from fabric_jobs.documents.action import ACTION, DAEMON, JOB, read_action
from fabric_jobs.documents.fields import (
    ANYTHING,
    FLAG,
    TEXT,
    TITLE,
    VALUES,
    Field,
    Kind,
    Shape,
    either,
    listed,
    name,
    one,
)
from fabric_jobs.documents.ports import CAMEL, PARAMETERS, TAGS
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.documents.routing import DAEMONS, EXTERNAL_API, JOBS, NOWHERE, ROUTING, read_routing, target_readers
from fabric_jobs.names import nearest

PROPERTY_TYPES = ("string", "number", "integer", "boolean", "enum", "object", "array")
TYPE_OF_RUNTIME = {JOBS: JOB, DAEMONS: DAEMON}


def _property_type(reader: Reader, field: Field) -> str:
    kind = reader.text(field.key, field.default).lower()
    if kind not in PROPERTY_TYPES:
        reader.warn(f"'{kind}' is not a known type of property. {nearest(kind, PROPERTY_TYPES)}", field.key)
    return kind


def _properties(reader: Reader, field: Field) -> tuple[Property, ...]:
    """Return the properties; the last of a name wins."""
    return tuple({item.name: item for item in read_all(reader.items(field.key), PROPERTY.read)}.values())


def _datasets(reader: Reader, field: Field) -> tuple[dict[str, Any], ...]:
    return tuple(item.node.plain() for item in reader.items(field.key) if _is_dataset(item))


def _is_dataset(reader: Reader) -> bool:
    return reader.is_mapping({key for key, _ in reader.entries()})


INPUT = Shape(
    "input",
    "A named input.",
    Field("name", name("input"), "What callers and mappings name the input by.", required=True),
    TITLE,
    Field("description", TEXT, "What the input is for."),
    PARAMETERS,
    Field(
        "routing",
        one(ROUTING, Routing(kind="all", default=NOWHERE), read_routing),
        "Which action gets a message.",
        required=True,
        missing="name the action that gets the messages, like {all: {action, runtime, output}}",
    ),
    make=SkillInput,
)
OUTPUT = Shape(
    "output",
    "A named output.",
    Field("name", name("output"), "What mappings and `send_message` name the output by.", required=True),
    TITLE,
    Field("description", TEXT, "What the output is for."),
    PARAMETERS,
    make=SkillOutput,
)
PROPERTY = Shape(
    "property",
    "A setting of the skill, which agents and callers may change.",
    Field("name", TEXT, "The name of the property.", required=True, missing="give the property a name"),
    TITLE,
    Field("description", TEXT, "What the property does."),
    Field("required", FLAG, "Whether a value has to be given.", default=Property.required),
    Field(
        "type",
        TEXT._replace(read=_property_type),
        f"{either(PROPERTY_TYPES)}, in any case.",
        default=Property.type,
    ),
    Field("defaultValue", ANYTHING, "The value when neither the agent nor the caller gives one."),
    Field("validValues", VALUES, "The values that it may have."),
    Field("qualifiedBy", TEXT, "Another property that this one depends on. Only forms of Fabric's console use it."),
    Field("secure", FLAG, "Whether the value is a secret, written `#SECURE.<key>`.", default=Property.secure),
    make=Property,
)
SKILL = Shape(
    "",
    "A skill: named inputs with routing, named outputs, properties and actions.",
    Field("name", name("skill"), "The name of the skill, unique in the workspace whatever its case.", required=True),
    CAMEL,
    TITLE,
    Field("description", TEXT, "What the skill does."),
    Field("tags", TAGS, "Labels of the skill."),
    Field("inputs", listed(INPUT), "What the skill can be sent, and which action gets it."),
    Field("outputs", listed(OUTPUT), "Where the results of the skill go."),
    Field("properties", listed(PROPERTY)._replace(read=_properties), "The settings of the skill."),
    Field("actions", listed(ACTION, read_action), "The programs of the skill."),
    Field(
        "datasets",
        Kind({"type": "array", "items": {"type": "object"}}, "list of mappings", _datasets),
        "Kept without effect: no action can read a dataset.",
    ),
    make=Skill,
)


def read_skill(reader: Reader, elsewhere: Collection[str] | None = ()) -> Skill:
    """Return the skill that `reader` is at. If a problem was noted, the skill must not be used.

    `elsewhere` are the actions that were deployed without a skill; None: any may be.
    """
    values = SKILL.values(reader)
    if values is None:
        return Skill(name="")
    skill = Skill(**values)
    for key, what in (("inputs", "input"), ("outputs", "output"), ("properties", "property"), ("actions", "action")):
        _check_distinct(reader, key, what)
    for port in reader.items("inputs"):
        _check_routing(port, skill, elsewhere if reader.has("actions") else None)
    return skill


def _check_distinct(reader: Reader, key: str, what: str) -> None:
    items = reader.items(key)
    distinct(items, [item.text("name") for item in items], what, last_wins=key == "properties")


def _check_routing(port: Reader, skill: Skill, elsewhere: Collection[str] | None) -> None:
    reader = port.inner("routing")
    if reader is None or not isinstance(reader.node.value, dict):
        return
    if reader.has("property"):
        _check_known(reader, "property", (item.name for item in skill.properties), "is not a property of this skill")
    for target in target_readers(reader):
        _check_known(target, "output", (item.name for item in skill.outputs), "is not an output of this skill")
        _check_action(target, skill, elsewhere)


def _check_known(reader: Reader, key: str, known: Iterable[str], what: str, *, level: str = "error") -> None:
    names = tuple(known)
    name = reader.text(key)
    if reader.has(key) and name not in names:
        reader.error(f"'{name}' {what}. {nearest(name, names)}".rstrip(), key, level=level)


def _check_action(reader: Reader, skill: Skill, elsewhere: Collection[str] | None) -> None:
    runtime = reader.text("runtime")
    name = reader.text("action")
    action = skill.action(name)
    if runtime == EXTERNAL_API or not name:
        return
    if action is None and name not in (elsewhere or ()):
        level = "warning" if elsewhere is None else "error"  # older skills name actions that were deployed separately
        _check_known(
            reader, "action", (item.name for item in skill.actions), "is not an action of this skill", level=level
        )
    elif action is not None and runtime in TYPE_OF_RUNTIME and action.type != TYPE_OF_RUNTIME[runtime]:
        message = f"{runtime} runs a {TYPE_OF_RUNTIME[runtime]}, but the action '{name}' is a {action.type}"
        reader.warn(f"{message}; it runs as a {action.type}", "runtime")
