"""What the documents that a project keeps by name must have; their other keys are kept as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fabric_jobs.definitions import Action
from fabric_jobs.documents.action import JOB, read_action
from fabric_jobs.documents.nodes import Document, from_json
from fabric_jobs.documents.reader import Reader

# What Fabric's command adds to an action for itself.
OF_ITS_COMMAND = ("docker", "dockerImage", "pushDocker", "actionType", "ttl")
# Segments of names that the paths of the API need for themselves.
TAKEN = ("versions", "runs", "experiments", "publish", "unpublish", "logs")


def check_saved(kind: str, value: Any) -> str:
    """Return the name in a document of a kind; raise InvalidDefinition with all that is wrong."""
    reader = Reader.of(from_json(value))
    name = _check(reader, kind)
    reader.finish()
    return name


def check_file(kind: str, document: Document) -> list[dict[str, Any]]:
    """Return the documents of a kind in a parsed file: one, or several types below `types`; raise InvalidDefinition."""
    reader = Reader.of(document)
    several = kind == "type" and reader.has("types")
    for inner in reader.items("types") if several else (reader,):
        _check(inner, kind)
    reader.finish()
    found = document.plain()
    return list(found["types"]) if several else [found]


def _check(reader: Reader, kind: str) -> str:
    """Return the name in the document that `reader` is at, and note what is wrong with it."""
    if not reader.is_mapping({key for key, _ in reader.entries()}):
        return ""
    name = reader.name(kind)
    taken = next((word for word in name.split("/") if word in TAKEN), "")
    if taken:
        reader.error(f"'{taken}' cannot be a part of the name of {an(kind)}: paths of the API have this word", "name")
    for key in ("title", "description"):
        reader.text(key)
    CHECKS[kind](reader)
    return name


def action_from_json(value: Any) -> Action:
    """Return the action of a JSON value, as it is stored."""
    reader = Reader.of(from_json(value))
    action = read_action(reader)
    reader.finish()
    assert action is not None, "a value that is not an action was reported"
    return action


def as_action(given: dict[str, Any]) -> dict[str, Any]:
    """Return an action in the form of skill.yaml, from one in the deprecated form, in which it is deployed without a skill."""
    kept = {key: value for key, value in given.items() if key not in OF_ITS_COMMAND}
    image, type_ = _first(given, "image", "docker", "dockerImage"), _first(given, "actionType", "type")
    type_ = JOB if type_ is None else type_
    command, resources = given.get("command"), given.get("k8sResources")
    if isinstance(command, str):
        command = _listed(command)
    if isinstance(resources, list):
        resources = [json.dumps(item) if isinstance(item, dict) else item for item in resources]
    changed = {**kept, "image": image, "type": type_, "command": command, "k8sResources": resources}
    if type_ == JOB:
        changed |= {"port": None, "scaleCount": None}
    return {key: value for key, value in changed.items() if value not in (None, "")}


def _first(given: dict[str, Any], *keys: str) -> Any:
    """Return the value of the first of these keys that has one; None if none has."""
    return next((given[key] for key in keys if given.get(key) not in (None, "")), None)


def an(kind: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _listed(command: str) -> Any:
    """Return the list that a text spells as JSON, as Fabric's command sends it; another text as it is."""
    try:
        found = json.loads(command)
    except (ValueError, RecursionError):
        return command
    return found if isinstance(found, list) else command


def _connection(reader: Reader) -> None:
    reader.require("connectionType", "name what it connects to, such as mongo")
    reader.text("connectionType")
    for key in ("allowRead", "allowWrite"):
        reader.flag(key)
    for param in reader.items("params"):
        if not isinstance(param.node.value, dict):
            param.error("each parameter is a mapping like {name, value}")
        elif param.require("name", "name the parameter"):
            param.text("name")


def _type(reader: Reader) -> None:
    for parameter in reader.items("parameters"):
        if not isinstance(parameter.node.value, dict):
            parameter.error("each parameter is a mapping like {name, type}")
        elif parameter.require("name", "name the field of the payload"):
            parameter.text("name")


def _model(reader: Reader) -> None:
    reader.text("status")
    reader.items("tags")


def _experiment(reader: Reader) -> None:
    reader.text("modelId")
    reader.items("tags")
    meta = reader.inner("meta")
    if meta is not None and not isinstance(meta.node.value, dict):
        meta.error("must be a mapping")


def _action(reader: Reader) -> None:
    read_action(reader)


CHECKS: dict[str, Callable[[Reader], None]] = {
    "connection": _connection,
    "type": _type,
    "model": _model,
    "experiment": _experiment,
    "action": _action,
}
