"""The plan of a publish, as a value: which images to push, and which definitions to save."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.documents import agent_of
from fabric_jobs.errors import InvalidDefinition, NotFound, Problem, shown
from fabric_jobs.images.registries import Registry
from fabric_jobs.workspace.lint.agent import lint_agent
from fabric_jobs.workspace.lint.checked import check_file
from fabric_jobs.workspace.publishing.images import AskDigests, PlannedImage, decide, planned_images
from fabric_jobs.workspace.publishing.lock_file import Lock, LockedImage
from fabric_jobs.workspace.tree import AgentFile, SkillFile, Workspace, name_of, read_file

# Directories whose files the gateway cannot keep yet (docs/reference/compatibility.md#other-kinds-of-files).
OTHER_KINDS = ("types", "models", "experiments", "content")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A skill or an agent to publish."""

    kind: str  # skill | agent
    name: str
    path: Path
    document: Any  # as in the file
    images: tuple[PlannedImage, ...] = ()

    def pinned_document(self) -> Any:
        """Return the document with the images of this plan, and their programs."""
        if not self.images:
            return self.document
        pins = {image.action: {"image": image.pinned, **image.command} for image in self.images}
        actions = [{**action, **pins.get(action["name"], {})} for action in self.document["actions"]]
        return {**self.document, "actions": actions}


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A publish: skills, then the agents that use them."""

    root: Path
    registry: str  # the name of the active one; empty if none is
    planned: tuple[Planned, ...]
    lock: Lock  # as it is now
    is_whole: bool  # the whole workspace rather than one skill
    skips_push: bool = False
    projects: tuple[tuple[str, Path], ...] = ()  # names and files of APIs with a class, which are deployed otherwise
    left_out: tuple[tuple[str, int], ...] = ()  # kinds that the gateway does not support, with the number of files

    @property
    def images(self) -> tuple[PlannedImage, ...]:
        """Return all images."""
        return tuple(image for planned in self.planned for image in planned.images)

    def new_lock(self) -> Lock:
        """Return the lock file after a complete push. Other skills stay in it, unless the workspace no longer has them."""
        if self.skips_push:
            return self.lock
        skills = {} if self.is_whole else dict(self.lock.skills)
        for planned in self.planned:
            images = {
                image.action: LockedImage(image=image.repository, tag=image.tag, digest=image.digest)
                for image in planned.images
            }
            skills.pop(planned.name, None)
            if images:
                skills[planned.name] = images
        return Lock(skills=skills)


def make_plan(
    workspace: Workspace,
    skill: str | None,
    registry: Registry | None,
    lock: Lock,
    engine: AskDigests,
    *,
    skip_push: bool,
) -> Publication:
    """Return the plan for publishing the workspace, or one skill of it; nothing is done yet.

    Raise InvalidDefinition if a file is invalid, NotFound if there is no such skill, an image was not built, or there is
    no registry to push it to.
    """
    there = workspace.skills(skill)
    _check_distinct("skill", [(found.skill.name, found.path) for found in there])
    agents = _agents_of(workspace, skill) if skill is not None else _all_agents(workspace, there)
    skills = [found for found in there if not _needs_project(found)]
    wanted = [image for found in skills for image in planned_images(found, registry)]
    images = decide(wanted, lock, engine, workspace.root, skip_push=skip_push)
    planned = [_planned_skill(found, images) for found in skills] + [_planned_agent(found) for found in agents]
    return Publication(
        root=workspace.root,
        registry=registry.name if registry is not None else "",
        planned=tuple(planned),
        lock=lock,
        is_whole=skill is None,
        skips_push=skip_push,
        projects=tuple((found.skill.name, found.path) for found in there if _needs_project(found)),
        left_out=_left_out(workspace.root, skill),
    )


def _needs_project(found: SkillFile) -> bool:
    """Tell whether this is an API with a class, which a gateway elsewhere cannot run without the files beside it."""
    return any(action.api is not None and action.api.code is not None for action in found.skill.actions)


def _all_agents(workspace: Workspace, skills: Iterable[SkillFile]) -> list[AgentFile]:
    """Return all agents; raise InvalidDefinition with all their problems, including those of mappings."""
    known = {found.skill.name: found.skill for found in skills}
    checked = [check_file(path, agent_of) for path in workspace.agent_paths()]
    for file in checked:
        if file.definition is not None:
            lint_agent(file, file.definition, known)
    wrong = [problem for file in checked for problem in file.problems if problem.level == "error"]
    if wrong:
        raise InvalidDefinition(tuple(wrong))
    named = [(file.definition.name, file.path) for file in checked if file.definition is not None]
    _check_distinct("agent", named)
    return [workspace.agent(name) for name, _ in named]


def _agents_of(workspace: Workspace, skill: str) -> list[AgentFile]:
    """Return the agents that use this skill and no other; skip invalid ones, which fail when they are published."""
    agents = []
    for path in workspace.agent_paths():
        with suppress(InvalidDefinition, NotFound):
            agent = workspace.agent(name_of(read_file(path)))
            if [used.skill.name for used in agent.skills] == [skill]:
                agents.append(agent)
    return agents


def _check_distinct(kind: str, named: Iterable[tuple[str, Path]]) -> None:
    first: dict[str, Path] = {}
    for name, path in named:
        other = first.setdefault(name.lower(), path)
        if other != path:
            message = f"a second {kind} is called '{name}'; the first is in {shown(other)}. Rename one of them"
            raise InvalidDefinition((Problem.of_file(path, message, path="name"),))


def _planned_skill(found: SkillFile, images: Iterable[PlannedImage]) -> Planned:
    name = found.skill.name
    own = tuple(image for image in images if image.skill == name)
    return Planned(kind="skill", name=name, path=found.path, document=found.document, images=own)


def _planned_agent(found: AgentFile) -> Planned:
    return Planned(kind="agent", name=found.agent.name, path=found.path, document=found.document)


def _left_out(root: Path, skill: str | None) -> tuple[tuple[str, int], ...]:
    """Return the number of files of each kind that the gateway does not support."""
    places = {kind: root / kind / skill if skill is not None else root / kind for kind in OTHER_KINDS}
    counts = {kind: _count(place) for kind, place in places.items()}
    return tuple((kind, count) for kind, count in counts.items() if count)


def _count(directory: Path) -> int:
    return sum(path.is_file() for path in directory.rglob("*") if not path.name.startswith("."))
