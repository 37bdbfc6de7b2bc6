"""`generate` and `generate-agent`: new files in a workspace."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fabric_jobs import shipped
from fabric_jobs.definitions import Skill
from fabric_jobs.errors import AlreadyExists, InvalidDefinition, InvalidInput, NotFound
from fabric_jobs.names import check_new_name
from fabric_jobs.scaffold.files import disk_errors, write_new
from fabric_jobs.scaffold.git import Progress
from fabric_jobs.scaffold.templates import ignore, render
from fabric_jobs.scaffold.yaml_text import scalar
from fabric_jobs.workspace.root import AGENT_SUFFIXES, API_FILE
from fabric_jobs.workspace.schemas import put_schemas
from fabric_jobs.workspace.tree import SkillFile, Workspace

AGENT_PORTS = ("input", "output")  # the default names of an agent's ports


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What was written, and what to type next."""

    paths: tuple[Path, ...]  # the new files, below root
    root: Path  # the workspace
    next_command: str  # to type in root


def generate_skill(
    name: str, destination: Path, template: str, *, trust: bool = False, progress: Progress = ignore
) -> Generated:
    """Write a new skill from a template into the workspace `destination`, which is made if it does not exist.

    `template` is the name of a built-in template, a path or a git URL; the code of the latter two runs only with `trust`.
    All or nothing. Raise InvalidInput for an invalid name and for an invalid or untrusted template, NotFound for an
    unknown template, AlreadyExists for an existing skill, PlaceUnavailable if the disk refuses or the template cannot be
    fetched.
    """
    check_new_name(name, "skill")
    paths = render(template, name, destination, trust=trust, progress=progress)
    put_schemas(destination)
    command = (
        _submit(name, destination)
        if any(path.name == API_FILE for path in paths)
        else _invoke(name, destination, paths)
    )
    return Generated(paths=paths, root=destination, next_command=command)


def _submit(name: str, root: Path) -> str:
    """Return the command that tries an API with a job; that which says what is wrong, if a template made no such API."""
    try:
        skill = Workspace(root=root).skill(name).skill
    except (InvalidDefinition, NotFound):
        return shlex.join(["fabric-jobs", "workspaces", "lint"])
    is_batch = any(action.api is not None and action.api.is_batch for action in skill.actions)
    items = ["--items", "[1, 2, 3, 4, 5]", "--batch-size", "2"] if is_batch else []
    return shlex.join(["fabric-jobs", "jobs", "submit", name, *items, "--watch"])


def _invoke(name: str, destination: Path, paths: Sequence[Path]) -> str:
    """Return the command that tries a skill, with its message, if it has one."""
    messages = (path.relative_to(destination) for path in paths if path.name == "message.json")
    message = next((path.as_posix() for path in messages if path.parts[:3] == ("skills", name, "invoke")), None)
    payload = ["--params-file", message] if message else ["--payload", "{}"]
    return shlex.join(["fabric-jobs", "skills", "invoke", name, *payload])


def generate_agent(name: str, skills: tuple[str, ...], root: Path) -> Generated:
    """Write agents/NAME.yaml, an agent in which each of `skills` feeds the next, into the workspace `root`.

    Raise InvalidInput for an invalid name and for a skill without an input that leads to an action; NotFound, with the
    nearest name, for an unknown skill; AlreadyExists for an existing agent.
    """
    check_new_name(name, "agent")
    if not skills:
        raise InvalidInput(
            "an agent needs at least one skill.", hint="Name the skills in the order in which records flow."
        )
    workspace = Workspace(root=root)
    chain = tuple(workspace.skill(skill) for skill in skills)
    text = agent_text(name, tuple(link.skill for link in chain))
    _check_no_agent(name, root)
    paths = write_new({f"agents/{name}.yaml": text.encode()}, root)
    put_schemas(root)
    return Generated(paths=paths, root=root, next_command=_invoke_agent(name, chain[0], root))


def agent_text(name: str, chain: tuple[Skill, ...]) -> str:
    """Return the YAML of an agent that chains the skills of `chain` from its input to its output."""
    references = reference_ids(tuple(skill.name for skill in chain))
    lines = [
        f"# yaml-language-server: $schema={shipped.schema_address('agent')}",
        "camel: 1.0.0",
        f"name: {scalar(name)}",
        "skills:",
    ]
    for skill, reference in zip(chain, references, strict=True):
        lines.append(f"  - skillName: {scalar(skill.name)}")
        if reference != skill.name:
            lines.append(f"    refId: {reference}")
    lines.append("mappings:")
    source, end = AGENT_PORTS
    for skill, reference in zip(chain, references, strict=True):
        port, output = _ends(skill)
        lines.append(f"  - {{from: {source}, to: {reference}.{port}}}")
        source = f"{reference}.{output}"
    lines.append(f"  - {{from: {source}, to: {end}}}")
    return "\n".join(lines) + "\n"


def reference_ids(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one refId per name, all different: the name itself, then name-2, name-3, … for repetitions.

    No refId has a dot or is `input` or `output`, so that `refId.output` and `input` are unambiguous.
    """
    plain = [name.replace(".", "-") for name in names]
    references: list[str] = []
    for name in plain:
        if name not in (*references, *AGENT_PORTS):
            references.append(name)
            continue
        taken = {*references, *plain}
        references.append(next(f"{name}-{number}" for number in count(2) if f"{name}-{number}" not in taken))
    return tuple(references)


def _ends(skill: Skill) -> tuple[str, str]:
    """Return the input and the output by which a chain enters and leaves a skill."""
    if not skill.inputs:
        raise InvalidInput(f"the skill '{skill.name}' has no input.", hint="Add one to its skill.yaml.")
    entry = skill.inputs[0]
    return entry.name, entry.routing.default.output


def _check_no_agent(name: str, root: Path) -> None:
    directory = root / "agents"
    with disk_errors(directory):
        present = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in present:
        defines = path.is_dir() or path.suffix in AGENT_SUFFIXES
        if defines and path.stem.casefold() == name.casefold():
            raise AlreadyExists(
                f"the agent '{name}' cannot be made: {path} already exists and is never overwritten.",
                hint="Choose another name.",
            )


def _invoke_agent(name: str, first: SkillFile, root: Path) -> str:
    """Return the command that tries the agent, with the message of its first skill, if there is one."""
    message = first.directory / "invoke" / first.skill.inputs[0].name / "message.json"
    payload = ["--payload", "{}"]
    if message.is_file():
        payload = ["--params-file", message.relative_to(root).as_posix()]
    return shlex.join(["fabric-jobs", "agents", "invoke", name, *payload])
