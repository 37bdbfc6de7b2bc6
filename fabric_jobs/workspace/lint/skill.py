"""Checks a skill beyond its skill.yaml: programs, messages, keys without effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.definitions import Action, Resources, Skill
from fabric_jobs.errors import InvalidInput, Problem, shown
from fabric_jobs.executors.dockerfile import read_file
from fabric_jobs.executors.program import interpreter
from fabric_jobs.executors.requirements import read as read_requirements
from fabric_jobs.user_files import built_from, read_text
from fabric_jobs.workspace.lint.cases import case_problems
from fabric_jobs.workspace.lint.checked import Checked
from fabric_jobs.workspace.lint.program import reads_stream, why_cold
from fabric_jobs.workspace.lint.values import lint_defaults
from fabric_jobs.workspace.testing.cases import INVOKE, MESSAGE, Case, cases_of_skill
from fabric_jobs.workspace.tree import SkillFile

KUBERNETES_ONLY = "only applied on Kubernetes"
# Keys without effect here, by the list whose items have them (docs/reference/compatibility.md#keys-for-the-console).
WITHOUT_LOCAL_EFFECT = {
    "actions": {"podSpec": KUBERNETES_ONLY, "k8sResources": KUBERNETES_ONLY, "scaleCount": KUBERNETES_ONLY},
    "properties": {"qualifiedBy": "kept for the forms of Fabric's console, which fabric-jobs does not have"},
}
DATASETS = "kept, but no action can read a dataset"


def lint_skill(checked: Checked[Skill], skill: Skill, root: Path) -> None:
    """Note the problems of the directory of a skill whose file is valid; `root` is its workspace's."""
    _check_programs(checked, skill)
    _check_mounts(checked, skill, root)
    _check_effects(checked)
    lint_defaults(checked, skill)
    _check_cases(checked, skill)


def _check_cases(checked: Checked[Skill], skill: Skill) -> None:
    """Note inputs without a message, and the problems of existing messages."""
    found = list(cases_of_skill(SkillFile(skill=skill, document=None, path=checked.path)))
    for index, port in enumerate(skill.inputs):
        if not any(case.entry == port.name and not case.problem for case in found):
            path = checked.path.parent / INVOKE / port.name / MESSAGE
            checked.warn(f"there is no message to try this input with; write {shown(path)}", "inputs", index, "name")
    checked.problems.extend(case_problems(found))
    for case in found:
        checked.problems.extend(_missing_parameters(case, skill))


def _check_programs(checked: Checked[Skill], skill: Skill) -> None:
    used = {target.action for port in skill.inputs for target in port.routing.targets()}
    for index, action in enumerate(skill.actions):
        dockerfile = built_from(checked.path.parent, action.name) / "Dockerfile"
        if not action.command and not dockerfile.exists():
            message = f"the action has no program: write {shown(dockerfile)}, or give the action a 'command'"
            checked.error(message, "actions", index, "name")
        if action.resources != Resources():
            checked.warn("'resources' limits containers, not local processes", "actions", index, "resources")
        if action.warm is not None and (reason := why_cold(action, dockerfile)):
            checked.warn(f"'warm' has no effect: {reason}", "actions", index, "warm")
        if action.name not in used:
            checked.warn(f"no input leads to the action '{action.name}'", "actions", index, "name")
        _check_places(checked, index, action, dockerfile)
        found = reads_stream(dockerfile.parent) if action.type == "job" and action.receives != "stream" else None
        if found is not None:
            message = f"{shown(found[0])}:{found[1]} calls messages(), but the action is not a stream; write 'receives: stream'"
            checked.warn(message, "actions", index, "name")


def _check_places(checked: Checked[Skill], index: int, action: Action, dockerfile: Path) -> None:
    """Note what a run on this machine will miss of an action's Dockerfile, Python and requirements."""
    try:
        found = read_file(dockerfile)
    except InvalidInput as error:
        checked.problems.append(Problem.of_file(dockerfile, error.message))
    else:
        for note in found.notes if found else ():
            checked.problems.append(Problem.of_file(dockerfile, note.text, line=note.line, level="warning"))
    try:
        interpreter(action.python, dockerfile.parent)
    except InvalidInput as error:
        checked.warn(error.message, "actions", index, "python")
    path = dockerfile.parent / "requirements.txt"
    if path.exists():
        try:
            read_requirements(path, os.environ)
        except InvalidInput as error:
            checked.problems.append(Problem.of_file(path, error.message))


def _check_mounts(checked: Checked[Skill], skill: Skill, root: Path) -> None:
    """Note images whose program is hidden by the mounted workspace."""
    for action in skill.actions:
        dockerfile = built_from(checked.path.parent, action.name) / "Dockerfile"
        try:
            found = read_file(dockerfile)
        except InvalidInput:
            continue  # reported elsewhere
        places = (found.working_directory, *(copied.target for copied in found.copied)) if found else ()
        for path in [place for place in places if place and Path(place).is_relative_to(os.path.abspath(root))][:1]:
            message = f"the image has its program at {path}, the path of this workspace; containers get the workspace elsewhere"
            checked.problems.append(Problem.of_file(dockerfile, message, level="warning"))


def _check_effects(checked: Checked[Skill]) -> None:
    for section, reasons in WITHOUT_LOCAL_EFFECT.items():
        for index, key in _keys_of_items(checked, section):
            is_said = key == "scaleCount" and checked.definition and checked.definition.actions[index].type == "job"
            if key in reasons and not is_said:
                checked.warn(f"'{key}' is {reasons[key]}", section, index, key)
    if checked.definition and checked.definition.datasets:
        checked.warn(f"'datasets' is {DATASETS}", "datasets")


def _keys_of_items(checked: Checked[Skill], section: str) -> Iterator[tuple[int, str]]:
    node = checked.node.child(section)
    items = node.value if node and isinstance(node.value, list) else []
    for index, item in enumerate(items):
        if isinstance(item.value, dict):
            yield from ((index, key) for key, value in item.value.items() if value.value is not None)


def _missing_parameters(case: Case, skill: Skill) -> Iterator[Problem]:
    """Yield the required parameters of an input that a message leaves out."""
    port = skill.input(case.entry)
    if case.problem or port is None:
        return
    try:
        payload = json.loads(read_text(case.message))["payload"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # reported elsewhere
    for parameter in port.parameters.listed:
        if parameter.required and isinstance(payload, dict) and parameter.name not in payload:
            reason = f"the payload has no '{parameter.name}', which the input '{port.name}' requires"
            yield Problem.of_file(case.message, reason, level="warning")
