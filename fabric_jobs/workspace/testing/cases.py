"""The cases of skills and agents: messages, and the expected results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.errors import InvalidDefinition, NotFound, shown
from fabric_jobs.names import nearest
from fabric_jobs.workspace.listing import listing
from fabric_jobs.workspace.payload import read_json
from fabric_jobs.workspace.testing.expectation import Expectation, read_expectation
from fabric_jobs.workspace.tree import AgentFile, SkillFile, Workspace

INVOKE = "invoke"
MESSAGE, EXPECTED = "message.json", "expected.json"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One message to an input of a skill or to a service of an agent."""

    kind: str  # skill | agent
    name: str
    entry: str = ""  # the input or the service
    case: str = ""  # empty for the message in the entry's own directory
    directory: Path  # contains message.json, and perhaps expected.json
    problem: str = ""  # why it cannot be run

    @property
    def label(self) -> str:
        """The name for people: skill, input and case."""
        return "/".join(filter(None, (self.name, self.entry, self.case)))

    @property
    def message(self) -> Path:
        """The file with the message."""
        return self.directory / MESSAGE

    @property
    def expected(self) -> Path:
        """The path of the file with the expectation; it need not exist."""
        return self.directory / EXPECTED

    def expectation(self) -> Expectation | None:
        """Return the expectation; None if there is none. Raise InvalidInput for an invalid file."""
        if not self.expected.exists():
            return None
        return read_expectation(read_json(self.expected), shown(self.expected))


def cases(workspace: Workspace, kind: str, names: Sequence[str]) -> tuple[Case, ...]:
    """Return the cases of these skills or agents, without names those of all. Then a broken one becomes a case with a problem.

    Raise NotFound, with the nearest name, or InvalidDefinition for a named one.
    """
    if names:
        return tuple(case for name in dict.fromkeys(names) for case in _cases_of(workspace, kind, name))
    found: list[Case] = []
    for name in dict.fromkeys(str(row["name"]) for row in listing(workspace.root, kind)):
        try:
            found += _cases_of(workspace, kind, name)
        except (InvalidDefinition, NotFound) as error:
            found.append(Case(kind=kind, name=name, directory=workspace.root, problem=str(error)))
    return tuple(found)


def cases_of_skill(found: SkillFile) -> Iterator[Case]:
    """Yield the cases of a skill, from invoke/<input>/ and invoke/<input>/<case>/ beside its skill.yaml."""
    names = [port.name for port in found.skill.inputs]
    return _below(found.directory / INVOKE, "skill", found.skill.name, names)


def cases_of_agent(found: AgentFile, workspace: Workspace) -> Iterator[Case]:
    """Yield the cases of an agent, from its `agent_cases` directory."""
    names = [port.name for port in found.agent.inputs]
    return _below(agent_cases(found.path, workspace), "agent", found.agent.name, names)


def agent_cases(path: Path, workspace: Workspace) -> Path:
    """Return the directory of an agent's cases: agents/invoke/<file name without suffix>, or invoke/ beside an agent.yaml.

    The second is for an agent that has a directory of its own below agents/.
    """
    agents = workspace.root / "agents"
    return agents / INVOKE / path.stem if path.parent in (agents, workspace.root) else path.parent / INVOKE


def _cases_of(workspace: Workspace, kind: str, name: str) -> Iterator[Case]:
    if kind == "skill":
        return cases_of_skill(workspace.skill(name))
    return cases_of_agent(workspace.agent(name), workspace)


def _below(top: Path, kind: str, name: str, entries: list[str]) -> Iterator[Case]:
    """Yield a case for each directory with a message or an expectation; one without a matching entry has a problem."""
    files = {path.parent for file in (MESSAGE, EXPECTED) for path in top.rglob(file)}
    for directory in sorted(files - {top}):
        entry, case = _split(directory.relative_to(top).as_posix(), entries)
        given: dict[str, Any] = {"kind": kind, "name": name, "entry": entry, "case": case, "directory": directory}
        yield Case(**given, problem=_problem(directory, kind, entry, entries))


def _split(path: str, entries: list[str]) -> tuple[str, str]:
    """Return entry and case of a path below invoke/. A name may have slashes, so the longest match wins."""
    for entry in sorted(entries, key=len, reverse=True):
        if f"{path}/".startswith(f"{entry}/"):
            return entry, path[len(entry) + 1 :]
    entry, _, case = path.partition("/")
    return entry, case


def _problem(directory: Path, kind: str, entry: str, entries: list[str]) -> str:
    if entry not in entries:
        word = "input" if kind == "skill" else "service"
        return (
            f"the {kind} has no {word} '{entry}', which {shown(directory)} is for. {nearest(entry, entries)}".rstrip()
        )
    if not (directory / MESSAGE).exists():
        return f"{shown(directory / EXPECTED)} has no {MESSAGE} next to it."
    return ""
