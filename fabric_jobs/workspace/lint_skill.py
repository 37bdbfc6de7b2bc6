"""What is wrong with a skill beside its skill.yaml: programs, messages, keys without effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.definitions import Resources, Skill, SkillInput
from fabric_jobs.errors import Problem
from fabric_jobs.workspace.checked import Checked
from fabric_jobs.workspace.lint_values import lint_defaults
from fabric_jobs.workspace.tree import shown

KUBERNETES_ONLY = "applied on Kubernetes only"
# Keys that are accepted and change nothing when a skill runs here, by the list whose items have them.
WITHOUT_LOCAL_EFFECT = {
    "actions": {"podSpec": KUBERNETES_ONLY, "k8sResources": KUBERNETES_ONLY, "scaleCount": KUBERNETES_ONLY},
    "properties": {"qualifiedBy": "kept for the forms of Fabric's console, which this tool does not have"},
}
DATASETS = "kept, but no action can read a dataset"


def lint_skill(checked: Checked[Skill], skill: Skill) -> None:
    """Note what is wrong with the directory of a skill whose file is right."""
    _check_programs(checked, skill)
    _check_effects(checked)
    lint_defaults(checked, skill)
    for index, port in enumerate(skill.inputs):
        path = checked.path.parent / "invoke" / port.name / "message.json"
        if path.is_file():
            checked.problems.extend(_message_problems(path, port))
        else:
            checked.warn(f"there is no message to try this input with; write {shown(path)}", "inputs", index, "name")


def _check_programs(checked: Checked[Skill], skill: Skill) -> None:
    used = {target.action for port in skill.inputs for target in port.routing.targets()}
    for index, action in enumerate(skill.actions):
        dockerfile = checked.path.parent / "actions" / action.name / "Dockerfile"
        if not action.command and not dockerfile.is_file():
            message = f"the action has no program: write {shown(dockerfile)}, or give the action a 'command'"
            checked.error(message, "actions", index, "name")
        if action.resources != Resources():
            checked.warn("'resources' is not applied on this machine by this version", "actions", index, "resources")
        if _wants_packages(dockerfile.parent / "requirements.txt"):
            message = (
                f"{shown(dockerfile.parent / 'requirements.txt')} names packages; this version makes no environments"
            )
            checked.warn(message, "actions", index, "name")
        if action.name not in used:
            checked.warn(f"no input leads to the action '{action.name}'", "actions", index, "name")


def _wants_packages(path: Path) -> bool:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


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


def _message_problems(path: Path, port: SkillInput) -> Iterator[Problem]:
    """Yield what is wrong with a message.json: it has to be a JSON object that has a payload, which fits the input."""
    try:
        message = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        yield _problem(path, f"the file is not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except (OSError, UnicodeDecodeError, RecursionError):
        yield _problem(path, "the file cannot be read as JSON")
    else:
        if not isinstance(message, dict) or "payload" not in message:
            yield _problem(path, "the message has no 'payload'; write {\"payload\": …}", line=1, column=1)
            return
        payload = message["payload"]
        for parameter in port.parameters.listed:
            if parameter.required and isinstance(payload, dict) and parameter.name not in payload:
                reason = f"the payload has no '{parameter.name}', which the input '{port.name}' requires"
                yield _problem(path, reason, level="warning")


def _problem(path: Path, message: str, *, line: int = 0, column: int = 0, level: str = "error") -> Problem:
    return Problem(file=shown(path), line=line, column=column, path="", message=message, level=level)
