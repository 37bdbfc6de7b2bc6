"""A workspace on disk, with its definitions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.definitions import Agent, Skill
from fabric_jobs.documents import Document, agent_of, api_documents, is_name, read, skill_of
from fabric_jobs.errors import InvalidDefinition, NotFound, Problem, shown
from fabric_jobs.names import nearest
from fabric_jobs.settings import definition_bytes
from fabric_jobs.user_files import read_text
from fabric_jobs.workspace.older import completed
from fabric_jobs.workspace.root import AGENT_SUFFIXES, API_FILE, ROOT_AGENTS, SKILL_FILE

AGENT_FILE = "agent.yaml"
SKILL_FILES = (SKILL_FILE, API_FILE)
# Below a skill's own directory these contain programs and messages, never skills; a virtual environment there is large.
NOT_SEARCHED_IN_SKILL = frozenset({"actions", "invoke"})


@dataclass(frozen=True, kw_only=True)
class SkillFile:
    """A skill and the file that defines it; an API is a skill, too."""

    skill: Skill
    document: Any  # its JSON value, as it is posted
    path: Path  # the skill.yaml, or the cortex.yaml, which may define several

    @property
    def directory(self) -> Path:
        """The directory of the skill's source: skill.yaml, actions/ and invoke/; or the project of an API."""
        return self.path.parent

    @property
    def is_api(self) -> bool:
        """Whether this is a Batch or Task API: it has no images that are built here."""
        return any(action.api is not None for action in self.skill.actions)


@dataclass(frozen=True, kw_only=True)
class AgentFile:
    """An agent, the file that defines it, and the skills that it uses."""

    agent: Agent
    document: Any  # the JSON value of the file, as it is posted
    path: Path
    skills: tuple[SkillFile, ...]  # each once, in the agent's order


@dataclass(frozen=True)
class Workspace:
    """The directory that contains skills/ and agents/. Nothing is cached: each call reads the current files."""

    root: Path

    def skill_paths(self) -> tuple[Path, ...]:
        """Return every skills/**/skill.yaml and cortex.yaml, sorted; a directory that links reach twice counts once.

        The root may be a skill itself. Below the directory of an API there are no skills.
        """
        walked = _walk(self.root / "skills")
        found = [path / name for path, files in walked for name in SKILL_FILES if name in files]
        own = self.root / SKILL_FILE
        return tuple(sorted([*found, own] if own.is_file() else found))

    def agent_paths(self) -> tuple[Path, ...]:
        """Return every agents/*.yaml, *.yml and *.json, every agents/**/agent.yaml, and the agent.yaml of the root, sorted."""
        agents = self.root / "agents"
        found = {path / AGENT_FILE for path, files in _walk(agents) if AGENT_FILE in files}
        found |= {path for path in _children(agents) if path.suffix in AGENT_SUFFIXES and not path.is_dir()}
        found |= {self.root / name for name in ROOT_AGENTS if (self.root / name).is_file()}
        return tuple(sorted(found))

    def skill(self, name: str) -> SkillFile:
        """Return the skill of that name; if it is in skills/<name>/skill.yaml or cortex.yaml, read no other file.

        Raise NotFound, with the nearest name, or InvalidDefinition if its file is invalid.
        """
        for likely in [self.root / "skills" / name / file for file in SKILL_FILES] if is_name(name) else ():
            documents = skill_documents(likely) if os.path.lexists(likely) else ()
            for document in documents:
                if name_of(document) == name or (len(documents) == 1 and not name_of(document)):
                    return load_skill(likely, document)
        found = _find(self.skill_paths(), name)
        if found is None:
            raise self._no_such("skill", name, self.skill_paths())
        path, document = found
        return load_skill(path, completed(document, path.parent))

    def skills(self, name: str | None = None) -> tuple[SkillFile, ...]:
        """Return the skill of a name as `skill` does, or all skills, sorted by path.

        Raise InvalidDefinition with the problems of every invalid file, NotFound if there are no skills.
        """
        if name is not None:
            return (self.skill(name),)
        found: list[SkillFile] = []
        problems: list[Problem] = []
        for path in self.skill_paths():
            try:
                documents = skill_documents(path)
            except InvalidDefinition as error:
                problems += error.problems
                continue
            for document in documents:
                try:
                    found.append(load_skill(path, document))
                except InvalidDefinition as error:
                    problems += error.problems
        if problems:
            raise InvalidDefinition(tuple(problems))
        if not found:
            hint = "Create one with 'fabric-jobs workspaces generate NAME'."
            raise NotFound(f"No skills found in {self.root}.", hint=hint)
        return tuple(found)

    def agent(self, name: str) -> AgentFile:
        """Return the agent of that name with the skills that it uses.

        Raise NotFound, with the nearest name, if it or one of its skills does not exist; InvalidDefinition if one of the
        files is invalid.
        """
        found = _find(self._likely_first(name), name)
        if found is None:
            raise self._no_such("agent", name, self.agent_paths())
        path, document = found
        agent, _ = agent_of(document)
        used = dict.fromkeys(reference.skill_name for reference in agent.skills)
        return AgentFile(
            agent=agent,
            document=document.plain(),
            path=path,
            skills=tuple(self._used_skill(skill, path) for skill in used),
        )

    def _likely_first(self, name: str) -> list[Path]:
        return sorted(self.agent_paths(), key=lambda path: name not in (path.stem, path.parent.name))

    def _used_skill(self, name: str, agent: Path) -> SkillFile:
        try:
            return self.skill(name)
        except NotFound as error:
            raise NotFound(f"{shown(agent)}: {error.message}", hint=error.hint) from None

    def has(self, kind: str, name: str) -> bool:
        """Tell whether there is a skill or an agent of that name, even an invalid one."""
        paths = self.skill_paths() if kind == "skill" else self._likely_first(name)
        return _find(paths, name) is not None

    def _no_such(self, what: str, name: str, paths: tuple[Path, ...]) -> NotFound:
        """Return an error with the nearest name, and with the files that could not be read, which may define it."""
        names: list[str] = []
        broken: list[str] = []
        for path in paths:
            try:
                names += [name_of(document) for document in documents_in(path)]
            except InvalidDefinition:
                broken.append(shown(path))
        hints = [nearest(name, filter(None, names))]
        hints += [f"These files cannot be read: {', '.join(broken)}."] if broken else []
        command = "generate" if what == "skill" else "generate-agent"
        hints += [] if paths else [f"The workspace has no {what}s; create one with 'fabric-jobs workspaces {command}'."]
        message = f"there is no {what} '{name}' in the workspace {self.root}."
        return NotFound(message, hint=" ".join(filter(None, hints)))


def read_file(path: Path) -> Document:
    """Return the document in a file; raise InvalidDefinition if it cannot be read or is not YAML."""
    return read(_text_of(path), shown(path))


def skill_documents(path: Path) -> tuple[Document, ...]:
    """Return the documents of the skills in a file as `documents_in` does, adding actions that the older layout leaves out."""
    return tuple(completed(document, path.parent) for document in documents_in(path))


def documents_in(path: Path) -> tuple[Document, ...]:
    """Return the documents in a file as `read_file` does: that of a skill or an agent, or one for each API."""
    return _split(path, read_file(path))


def _split(path: Path, document: Document) -> tuple[Document, ...]:
    return api_documents(document) if path.name == API_FILE else (document,)


def _text_of(path: Path) -> str:
    try:
        return read_text(path, limit=definition_bytes())
    except OSError as error:
        more = "; change the limit with FABRIC_JOBS_DEFINITION_BYTES" if error.errno == errno.EFBIG else ""
        message = f"the file cannot be read: {error.strerror}{more}"
        raise InvalidDefinition((Problem.of_file(path, message),)) from None


def name_of(document: Document) -> str:
    """Return the name in a document; empty if it has none."""
    value = document.node.value
    name = value["name"].value if isinstance(value, dict) and "name" in value else ""
    return name if isinstance(name, str) else ""


def load_skill(path: Path, document: Document) -> SkillFile:
    """Return the skill of a document in a file; raise InvalidDefinition if it is invalid."""
    skill, _ = skill_of(document)
    return SkillFile(skill=skill, document=document.plain(), path=path)


def _find(paths: Iterable[Path], name: str) -> tuple[Path, Document] | None:
    """Return the first file that defines `name`.

    A file that cannot be read is skipped, unless its own name or its directory's name shows that it is the one.
    """
    for path in paths:
        try:
            text = _text_of(path)
            if name not in text:
                continue  # much faster than parsing every definition of a large workspace
            documents = _split(path, read(text, shown(path)))
        except InvalidDefinition:
            if name in (path.stem, path.parent.name):
                raise
            continue
        for document in documents:
            if name_of(document) == name:
                return path, document
    return None


def _children(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _walk(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the directories below `top` with the names of their files; follow links, but enter no directory twice."""
    seen: set[tuple[int, int]] = set()
    for directory, inner, files in os.walk(top, followlinks=True):
        status = os.stat(directory)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # A virtual environment, beside the program of an older skill; or the project of an API, which may hold much data.
        if "pyvenv.cfg" in files or (API_FILE in files and Path(directory) != top):
            inner.clear()
        skipped = NOT_SEARCHED_IN_SKILL if SKILL_FILE in files else frozenset()
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in skipped)
        yield Path(directory), files
