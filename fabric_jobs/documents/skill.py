"""A skill.yaml → a Skill."""

from __future__ import annotations

from collections.abc import Iterable

from fabric_jobs.definitions import Property, Routing, Skill, SkillInput, SkillOutput
from fabric_jobs.documents.action import DAEMON, JOB, read_action
from fabric_jobs.documents.ports import read_camel, read_parameters, read_tags
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.documents.routing import DAEMONS, EXTERNAL_API, JOBS, NOWHERE, read_routing, target_readers
from fabric_jobs.names import nearest

SKILL_KEYS = (
    *("camel", "name", "title", "description", "tags"),
    *("inputs", "outputs", "properties", "actions", "datasets"),
)
INPUT_KEYS = ("name", "title", "description", "parameters", "routing")
OUTPUT_KEYS = ("name", "title", "description", "parameters")
PROPERTY_KEYS = (
    *("name", "title", "description", "required", "type"),
    *("defaultValue", "validValues", "qualifiedBy", "secure"),
)
PROPERTY_TYPES = ("string", "number", "integer", "boolean", "enum", "object", "array")
TYPE_OF_RUNTIME = {JOBS: JOB, DAEMONS: DAEMON}


def read_skill(reader: Reader) -> Skill:
    """Return the skill that `reader` is at; where something is wrong it is noted and the skill is not to be used."""
    if not reader.is_mapping(SKILL_KEYS):
        return Skill(name="")
    skill = Skill(
        name=reader.name("skill"),
        camel=read_camel(reader),
        title=reader.text("title"),
        description=reader.text("description"),
        tags=read_tags(reader),
        inputs=read_all(reader.items("inputs"), _input),
        outputs=read_all(reader.items("outputs"), _output),
        properties=_properties(reader),
        actions=read_all(reader.items("actions"), read_action),
        datasets=tuple(item.node.plain() for item in reader.items("datasets") if _is_dataset(item)),
    )
    for key, what in (("inputs", "input"), ("outputs", "output"), ("properties", "property"), ("actions", "action")):
        _check_distinct(reader, key, what)
    for port in reader.items("inputs"):
        _check_routing(port, skill, has_actions=reader.has("actions"))
    return skill


def _input(reader: Reader) -> SkillInput | None:
    if not reader.is_mapping(INPUT_KEYS):
        return None
    routing = reader.require("routing", "say which action gets the messages, like {all: {action, runtime, output}}")
    return SkillInput(
        name=reader.name("input"),
        title=reader.text("title"),
        description=reader.text("description"),
        parameters=read_parameters(reader),
        routing=read_routing(routing) if routing else Routing(kind="all", default=NOWHERE),
    )


def _output(reader: Reader) -> SkillOutput | None:
    if not reader.is_mapping(OUTPUT_KEYS):
        return None
    return SkillOutput(
        name=reader.name("output"),
        title=reader.text("title"),
        description=reader.text("description"),
        parameters=read_parameters(reader),
    )


def _properties(reader: Reader) -> tuple[Property, ...]:
    """Return the properties; of those of one name the last counts."""
    return tuple({item.name: item for item in read_all(reader.items("properties"), _property)}.values())


def _property(reader: Reader) -> Property | None:
    if not reader.is_mapping(PROPERTY_KEYS):
        return None
    reader.require("name", "give the property a name")
    kind = reader.text("type", "string").lower()
    if kind not in PROPERTY_TYPES:
        reader.warn(f"'{kind}' is not a known type of property. {nearest(kind, PROPERTY_TYPES)}", "type")
    default = reader.inner("defaultValue")
    return Property(
        name=reader.text("name"),
        title=reader.text("title"),
        description=reader.text("description"),
        required=reader.flag("required"),
        type=kind,
        default_value=default.node.plain() if default else None,
        valid_values=tuple(item.node.plain() for item in reader.items("validValues")),
        qualified_by=reader.text("qualifiedBy"),
        secure=reader.flag("secure"),
    )


def _is_dataset(reader: Reader) -> bool:
    return reader.is_mapping(key for key, _ in reader.entries())


def _check_distinct(reader: Reader, key: str, what: str) -> None:
    items = reader.items(key)
    distinct(items, [item.text("name") for item in items], what, last_wins=key == "properties")


def _check_routing(port: Reader, skill: Skill, *, has_actions: bool) -> None:
    reader = port.inner("routing")
    if reader is None or not isinstance(reader.node.value, dict):
        return
    if reader.has("property"):
        _check_known(reader, "property", (item.name for item in skill.properties), "is no property of this skill")
    for target in target_readers(reader):
        _check_known(target, "output", (item.name for item in skill.outputs), "is no output of this skill")
        _check_action(target, skill, has_actions=has_actions)


def _check_known(reader: Reader, key: str, known: Iterable[str], what: str, *, level: str = "error") -> None:
    names = tuple(known)
    name = reader.text(key)
    if reader.has(key) and name not in names:
        reader.error(f"'{name}' {what}. {nearest(name, names)}".rstrip(), key, level=level)


def _check_action(reader: Reader, skill: Skill, *, has_actions: bool) -> None:
    runtime = reader.text("runtime")
    name = reader.text("action")
    action = skill.action(name)
    if runtime == EXTERNAL_API or not name:
        return
    if action is None:
        level = "error" if has_actions else "warning"  # older skills name actions that were deployed on their own
        _check_known(reader, "action", (item.name for item in skill.actions), "is no action of this skill", level=level)
    elif runtime in TYPE_OF_RUNTIME and action.type != TYPE_OF_RUNTIME[runtime]:
        message = f"{runtime} runs a {TYPE_OF_RUNTIME[runtime]}, and the action '{name}' is a {action.type}"
        reader.warn(f"{message}; it runs as a {action.type}", "runtime")
