"""Checks a Batch or Task API beyond its cortex.yaml: the files of its project, and endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fabric_jobs.apis import Api, ApiCode
from fabric_jobs.definitions import Skill
from fabric_jobs.errors import shown
from fabric_jobs.workspace.lint.cases import case_problems
from fabric_jobs.workspace.lint.checked import Checked
from fabric_jobs.workspace.testing.cases import cases_of_skill
from fabric_jobs.workspace.tree import SkillFile


def lint_api(checked: Checked[Skill], skill: Skill, api: Api) -> None:
    """Note what is missing of the project of an API whose entry is valid, and the problems of messages to try it with."""
    if api.code is not None:
        _check_code(checked, api.code, "handler" if api.is_batch else "definition")
    cases = cases_of_skill(SkillFile(skill=skill, document=None, path=checked.path))
    checked.problems.extend(case_problems(cases))


def _check_code(checked: Checked[Skill], code: ApiCode, key: str) -> None:
    project = checked.path.parent
    if not (project / code.path).is_file():
        checked.error(f"there is no file {shown(project / code.path)}", "api", key, "path")
    if code.python_path and not (project / code.python_path).is_dir():
        checked.error(f"there is no directory {shown(project / code.python_path)}", "api", key, "python_path")
    if (project / code.conda).is_file():
        message = (
            f"{shown(project / code.conda)} has an effect only in containers whose image has conda; use {code.pip}"
        )
        checked.warn(message, "api", key, "dependencies", "conda")
    given = checked.node.follow("api", key, "dependencies")[0]
    for name in ("pip", "shell"):
        path: Path = project / getattr(code, name)
        if given.child(name) is not None and not path.is_file():
            checked.warn(f"there is no file {shown(path)}; it is skipped", "api", key, "dependencies", name)


def check_endpoints(files: Iterable[Checked[Skill]]) -> None:
    """Note APIs of a workspace that have the endpoint of another one."""
    first: dict[str, tuple[Checked[Skill], str]] = {}
    for checked in files:
        api = api_of(checked.definition) if checked.definition is not None else None
        if api is None:
            continue
        other, name = first.setdefault(api.endpoint, (checked, api.name))
        if name != api.name:  # two of the same name are a problem already
            what = f"the endpoint '{api.endpoint}' is also that of '{name}' in {shown(other.path)}"
            checked.error(f"{what}; give one of them another", "api", "networking", "endpoint")


def api_of(skill: Skill) -> Api | None:
    """Return the API that a skill runs; None for any other skill."""
    return next((action.api for action in skill.actions if action.api is not None), None)
