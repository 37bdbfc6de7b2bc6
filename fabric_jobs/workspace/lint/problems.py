"""Collects all problems of a workspace without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fabric_jobs.documents import agent_of, skill_of
from fabric_jobs.errors import Problem, shown
from fabric_jobs.workspace.lint.agent import lint_agent
from fabric_jobs.workspace.lint.api import api_of, check_endpoints, lint_api
from fabric_jobs.workspace.lint.cases import case_problems
from fabric_jobs.workspace.lint.checked import Checked, check_documents, check_file
from fabric_jobs.workspace.lint.skill import lint_skill
from fabric_jobs.workspace.testing.cases import cases_of_agent
from fabric_jobs.workspace.tree import AgentFile, Workspace, skill_documents

T = TypeVar("T")


def lint(workspace: Workspace) -> tuple[Problem, ...]:
    """Return all problems of all definitions, skills before agents, each file's in order; never raise.

    An error would make an invocation fail or never end; a warning is about something that has no effect or will surprise.
    """
    paths = workspace.skill_paths()
    skills = [checked for path in paths for checked in check_documents(path, skill_of, skill_documents)]
    agents = [check_file(path, agent_of) for path in workspace.agent_paths()]
    known = {_name(checked): checked.definition for checked in reversed(skills)}
    for skill in skills:
        if skill.definition is None:
            continue
        if (api := api_of(skill.definition)) is not None:
            lint_api(skill, skill.definition, api)
        else:
            lint_skill(skill, skill.definition, workspace.root)
    for agent in agents:
        if agent.definition is not None:
            lint_agent(agent, agent.definition, known)
            file = AgentFile(agent=agent.definition, document=None, path=agent.path, skills=())
            agent.problems.extend(case_problems(cases_of_agent(file, workspace)))
    _check_distinct(skills, "skill")
    check_endpoints(skills)
    _check_distinct(agents, "agent")
    found = [checked.problems for checked in skills] + [checked.problems for checked in agents]
    ordered = [problem for problems in found for problem in _in_order(problems)]
    return tuple(dict.fromkeys(ordered))  # what is wrong with a whole file is wrong with each of its APIs


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))


def _name(checked: Checked[T]) -> str:
    node = checked.node.child("name")
    return node.value if node and isinstance(node.value, str) else ""


def _check_distinct(files: Sequence[Checked[T]], what: str) -> None:
    first: dict[str, Checked[T]] = {}
    for checked in files:
        name = _name(checked)
        other = first.setdefault(name.lower(), checked)
        if name and other is not checked:
            place = f"{shown(other.path)}:{other.node.locate('name').line}"
            checked.error(f"a second {what} is called '{name}'; the first is at {place}. Rename one of them", "name")
