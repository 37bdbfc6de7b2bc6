"""Skills of the older layout: no `actions:`, the program beside skill.yaml, and perhaps an action.json.

See docs/reference/compatibility.md#the-older-layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fabric_jobs.documents import Document, is_name, read
from fabric_jobs.documents.nodes import Node
from fabric_jobs.documents.skill import TYPE_OF_RUNTIME as TYPES
from fabric_jobs.errors import InvalidDefinition, Problem, shown
from fabric_jobs.user_files import built_from, read_text

ACTION_FILE = "action.json"
RENAMED = {"actionType": "type", "docker": "image"}
NOT_OF_AN_ACTION = ("name", "ttl")  # the routing has the name, and nothing here is deleted by age


def completed(document: Document, directory: Path) -> Document:
    """Return a skill with the actions that its routings name, if it lists none and `directory` has their programs.

    The content of action.json is added. An action without a program here was deployed separately, and is left out.
    """
    top = document.node
    listed = top.child("actions")
    named = {name.value: (name, TYPES[runtime]) for name, runtime in _targets(top)}
    if not isinstance(top.value, dict) or not named or (listed is not None and listed.value not in (None, [])):
        return document
    said, problems = _said(directory / ACTION_FILE)
    actions = []
    for name, (node, kind) in named.items():
        own = said if len(named) == 1 or said.get("name") == name else {}
        if own or built_from(directory, str(name)).is_dir():
            actions.append(_action(node, kind, own))
    if not actions and not problems:
        return document
    node = replace(top, value={**top.value, "actions": Node(value=actions, place=top.place)})
    return document._replace(node=node, problems=(*document.problems, *problems))


def _targets(top: Node) -> Iterator[tuple[Node, str]]:
    """Yield the action's name, as a node, and its runtime for each target of each routing."""
    for port in _items(top.child("inputs")):
        routing = port.child("routing") or Node(value=None)
        for target in (routing.child("all"), routing.child("default"), *_items(routing.child("rules"))):
            name = target.child("action") if target else None
            runtime = target.child("runtime") if target else None
            if name and runtime and isinstance(name.value, str) and is_name(name.value) and runtime.value in TYPES:
                yield name, str(runtime.value)


def _items(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def _action(name: Node, kind: str, said: dict[str, object]) -> Node:
    """Return the action of a routing; its problems get the position where the routing names it."""
    own = {RENAMED.get(key, key): value for key, value in said.items() if key not in NOT_OF_AN_ACTION}
    given = {key: value for key, value in own.items() if value not in (None, "", [], {})}
    given["type"] = TYPES.get(str(given.get("type")), given.get("type", kind))
    if isinstance(given.get("command"), str):
        given["command"] = _list_in(str(given["command"]))
    return _placed({"name": name.value, **given}, name)


def _list_in(text: str) -> object:
    """Return the list that Fabric's command wrote as JSON text. Any other text stays, and is refused later."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) else text


def _placed(value: object, at: Node) -> Node:
    if isinstance(value, dict):
        return Node(
            value={key: _placed(item, at) for key, item in value.items()},
            place=at.place,
            keys=dict.fromkeys(value, at.place),
        )
    if isinstance(value, list):
        return Node(value=[_placed(item, at) for item in value], place=at.place)
    assert value is None or isinstance(value, (str, int, float))
    return Node(value=value, place=at.place)


def _said(path: Path) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """Return the content of an action.json, and its problems; both empty if there is no file."""
    try:
        found = read(read_text(path), shown(path)).plain()
    except FileNotFoundError:
        return {}, ()
    except OSError as error:
        found = f"the file cannot be read: {error.strerror}"
    except InvalidDefinition as error:
        return {}, error.problems
    if isinstance(found, dict):
        return found, ()
    message = found if isinstance(found, str) else "this must be a mapping with the keys of an action in skill.yaml"
    return {}, (Problem.of_file(path, message),)
