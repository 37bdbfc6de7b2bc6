"""What is wrong with a skill beside its skill.yaml: programs, messages, keys without effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.definitions import Resources, Skill
from fabric_jobs.workspace.cases import INVOKE, MESSAGE, cases_of_skill
from fabric_jobs.workspace.checked import Checked
from fabric_jobs.workspace.lint_case import case_problems
from fabric_jobs.workspace.tree import SkillFile, shown

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
    _check_cases(checked, skill)


def _check_cases(checked: Checked[Skill], skill: Skill) -> None:
    """Note inputs without a message, and what is wrong with the messages that there are."""
    found = list(cases_of_skill(SkillFile(skill=skill, document=None, path=checked.path)))
    for index, port in enumerate(skill.inputs):
        if not any(case.entry == port.name and not case.problem for case in found):
            path = checked.path.parent / INVOKE / port.name / MESSAGE
            checked.warn(f"there is no message to try this input with; write {shown(path)}", "inputs", index, "name")
    checked.problems.extend(case_problems(found))


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
