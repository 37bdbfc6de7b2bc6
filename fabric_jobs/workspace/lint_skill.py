"""What is wrong with a skill beside its skill.yaml: programs, messages, keys without effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fabric_jobs.definitions import Action, Resources, Skill
from fabric_jobs.errors import InvalidInput, Problem
from fabric_jobs.executors.dockerfile import read as read_dockerfile
from fabric_jobs.executors.program import interpreter
from fabric_jobs.executors.requirements import read as read_requirements
from fabric_jobs.workspace.checked import Checked
from fabric_jobs.workspace.tree import shown

KUBERNETES_ONLY = "applied on Kubernetes only"
# Keys that are accepted and change nothing when a skill runs here, by the list whose items have them.
WITHOUT_LOCAL_EFFECT = {
    "actions": {"podSpec": KUBERNETES_ONLY, "k8sResources": KUBERNETES_ONLY, "scaleCount": KUBERNETES_ONLY},
    "properties": {"qualifiedBy": "kept for the forms of Fabric's console, which this tool does not have"},
}
DATASETS = "kept, but no action can read a dataset"
NOT_YET = "is not carried out by this version, which refuses to run the skill"


def lint_skill(checked: Checked[Skill], skill: Skill) -> None:
    """Note what is wrong with the directory of a skill whose file is right."""
    _check_programs(checked, skill)
    _check_effects(checked)
    for index, port in enumerate(skill.inputs):
        if port.routing.kind == "field" and len({target.action for target in port.routing.targets()}) > 1:
            checked.warn(f"routing by 'field' {NOT_YET}", "inputs", index, "routing", "field")
        path = checked.path.parent / "invoke" / port.name / "message.json"
        if path.is_file():
            checked.problems.extend(_message_problems(path))
        else:
            checked.warn(f"there is no message to try this input with; write {shown(path)}", "inputs", index, "name")


def _check_programs(checked: Checked[Skill], skill: Skill) -> None:
    used = {target.action for port in skill.inputs for target in port.routing.targets()}
    for index, action in enumerate(skill.actions):
        dockerfile = checked.path.parent / "actions" / action.name / "Dockerfile"
        if action.type == "job" and not action.command and not dockerfile.is_file():
            message = f"the action has no program: write {shown(dockerfile)}, or give the action a 'command'"
            checked.error(message, "actions", index, "name")
        if action.on_error != "fail":
            checked.warn(f"'onError: {action.on_error}' {NOT_YET}", "actions", index, "onError")
        if action.type != "job":
            checked.warn(f"'type: {action.type}' {NOT_YET}", "actions", index, "type")
        if action.resources != Resources():
            checked.warn("'resources' is not applied on this machine by this version", "actions", index, "resources")
        if action.name not in used:
            checked.warn(f"no input leads to the action '{action.name}'", "actions", index, "name")
        _check_places(checked, index, action, dockerfile)


def _check_places(checked: Checked[Skill], index: int, action: Action, dockerfile: Path) -> None:
    """Note what of an action's Dockerfile, Python and requirements a run on this machine will not find."""
    if dockerfile.is_file():
        for note in read_dockerfile(dockerfile.read_text(errors="replace")).notes:
            problem = _problem(dockerfile, note.text, line=note.line, column=1)
            checked.problems.append(replace(problem, level="warning"))
    try:
        interpreter(action.python, dockerfile.parent)
    except InvalidInput as error:
        checked.warn(error.message, "actions", index, "python")
    path = dockerfile.parent / "requirements.txt"
    if path.is_file():
        try:
            read_requirements(path, os.environ)
        except InvalidInput as error:
            checked.problems.append(_problem(path, error.message))


def _check_effects(checked: Checked[Skill]) -> None:
    for section, reasons in WITHOUT_LOCAL_EFFECT.items():
        for index, key in _keys_of_items(checked, section):
            if key in reasons:
                checked.warn(f"'{key}' is {reasons[key]}", section, index, key)
    if checked.definition and checked.definition.datasets:
        checked.warn(f"'datasets' is {DATASETS}", "datasets")


def _keys_of_items(checked: Checked[Skill], section: str) -> Iterator[tuple[int, str]]:
    node = checked.node.child(section)
    items = node.value if node and isinstance(node.value, list) else []
    for index, item in enumerate(items):
        if isinstance(item.value, dict):
            yield from ((index, key) for key, value in item.value.items() if value.value is not None)


def _message_problems(path: Path) -> Iterator[Problem]:
    """Yield what is wrong with a message.json: it has to be a JSON object that has a payload."""
    try:
        message = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        yield _problem(path, f"the file is not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except (OSError, UnicodeDecodeError, RecursionError):
        yield _problem(path, "the file cannot be read as JSON")
    else:
        if not isinstance(message, dict) or "payload" not in message:
            yield _problem(path, "the message has no 'payload'; write {\"payload\": …}", line=1, column=1)


def _problem(path: Path, message: str, *, line: int = 0, column: int = 0) -> Problem:
    return Problem(file=shown(path), line=line, column=column, path="", message=message)
