"""`generate` and `generate-agent`: new files in a workspace."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fabric_jobs import shipped
from fabric_jobs.definitions import Skill
from fabric_jobs.errors import AlreadyExists, InvalidInput
from fabric_jobs.names import check_new_name
from fabric_jobs.scaffold.files import disk_errors, write_new
from fabric_jobs.scaffold.git import Progress
from fabric_jobs.scaffold.templates import ignore, render
from fabric_jobs.scaffold.yaml_text import scalar
from fabric_jobs.workspace.root import AGENT_SUFFIXES
from fabric_jobs.workspace.schemas import put_schemas
from fabric_jobs.workspace.tree import SkillFile, Workspace

AGENT_PORTS = ("input", "output")  # what an agent's ports are called where it names none


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What was written, and what to type now."""

    paths: tuple[Path, ...]  # the new files, below root
    root: Path  # the workspace
    next_command: str  # to be typed in root


def generate_skill(
    name: str, destination: Path, template: str, *, trust: bool = False, progress: Progress = ignore
) -> Generated:
    """Write a new skill from a template into the workspace `destination`, which is made when it is not there.

    `template` is the name of one that ships, a path or a URL of git; the code of the latter two is run with `trust` only.
    All or nothing. Raise InvalidInput for what cannot be a name and for a template that is not right or not trusted,
    NotFound for an unknown template, AlreadyExists for a skill that is there, PlaceUnavailable when the disk refuses or
    the template cannot be fetched.
    """
    check_new_name(name, "skill")
    paths = render(template, name, destination, trust=trust, progress=progress)
    put_schemas(destination)
    messages = (path.relative_to(destination) for path in paths if path.name == "message.json")
    message = next((path.as_posix() for path in messages if path.parts[:3] == ("skills", name, "invoke")), None)
    payload = ["--params-file", message] if message else ["--payload", "{}"]
    command = shlex.join(["fabric-jobs", "skills", "invoke", name, *payload])
    return Generated(paths=paths, root=destination, next_command=command)


def generate_agent(name: str, skills: tuple[str, ...], root: Path) -> Generated:
    """Write agents/NAME.yaml, an agent in which each of `skills` feeds the one after it, into the workspace `root`.

    Raise InvalidInput for what cannot be a name and for a skill without an input that leads to an action, NotFound,
    with the nearest name, for a skill that the workspace does not have, AlreadyExists for an agent that is there.
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
    """Return the YAML of an agent that leads its input through the skills of `chain`, in order, to its output."""
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
    """Return one refId per name, all different: the name itself, then name-2, name-3, … for one that comes again.

    No refId has a dot or is `input` or `output`, so that `refId.output` and `input` can be read in one way only.
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
    """Return the input that a chain enters a skill by and the output that it leaves by."""
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
    """Return the command that tries the agent, with the message that lies beside its first skill, if one does."""
    message = first.directory / "invoke" / first.skill.inputs[0].name / "message.json"
    payload = ["--payload", "{}"]
    if message.is_file():
        payload = ["--params-file", message.relative_to(root).as_posix()]
    return shlex.join(["fabric-jobs", "agents", "invoke", name, *payload])
