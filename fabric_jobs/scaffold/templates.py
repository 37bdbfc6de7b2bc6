"""Lists skill templates, tells what code each runs, and chooses and renders one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound
from fabric_jobs.names import check_api_name, nearest
from fabric_jobs.scaffold import git
from fabric_jobs.scaffold.files import disk_errors, write_new
from fabric_jobs.scaffold.rendering import HOOKS, NAME, rendered
from fabric_jobs.scaffold.sources import SHIPPED, Source, opened, source_of
from fabric_jobs.user_files import read_text

DESCRIPTION = "cookiecutter.json"
OLD_DESCRIPTIONS = ("metadata.json", "_metadata.json")  # of the discontinued platform
API_FILE = "cortex.yaml"
DEPTH = ("", "*/", "*/*/")  # how deep to search a source for templates


@dataclass(frozen=True, kw_only=True)
class Template:
    """One template, as its cookiecutter.json describes it."""

    name: str  # its directory, below the source
    address: str  # what to type for it
    title: str  # a few words, for lists
    description: str  # one sentence: what the skill does and when to take it
    directory: Path
    code: tuple[str, ...] = ()  # its code that is run: hooks and Jinja extensions


def ignore(line: str) -> None:
    """Report no progress."""


def list_templates(source: Source = SHIPPED, progress: git.Progress = ignore) -> tuple[Template, ...]:
    """Return every template of a source, sorted by name, without running their code.

    Raise what `opened` raises, and InvalidInput if there is no template, or an invalid one.
    """
    with opened(source, progress) as directory:
        return _templates(directory, source)


@contextmanager
def chosen(text: str, *, trust: bool, progress: git.Progress = ignore) -> Iterator[Template]:
    """Give the template for `text`, the name of a shipped one, a path or a URL, during the block.

    Raise NotFound for an unknown one and, before fetching anything, InvalidInput for one from elsewhere without `trust`.
    """
    source = source_of(text) or SHIPPED
    if source.url and not trust:
        raise _untrusted(source, None)
    with opened(source, progress) as directory:
        templates = _templates(directory, source)
        template = _named(text, templates) if source.is_shipped else _only(templates, source)
        if not source.is_shipped and not trust:
            raise _untrusted(source, template)
        yield template


def render(
    text: str, name: str, destination: Path, *, trust: bool = False, progress: git.Progress = ignore
) -> tuple[Path, ...]:
    """Write the files of a new skill `name` below `destination` and return their paths, sorted.

    Raise what `chosen` raises and, before writing anything, AlreadyExists if the skill exists, in whatever case of
    letters. As in `write_new`, nothing is overwritten, outside `destination`, or half-written.
    """
    _check_no_skill(name, destination)
    with chosen(text, trust=trust, progress=progress) as template:
        files = rendered(template.directory, template.name, _fields(template.directory), name)
    if f"skills/{name}/{API_FILE}" in files.contents:
        check_api_name(name)
    elif f"skills/{name}/skill.yaml" not in files.contents:
        raise InvalidInput(
            f"the template '{template.name}' does not contain skills/{name}/skill.yaml or {API_FILE}, so it makes no skill. "
            "Nothing was written.",
            hint="Its directory '{{cookiecutter.name}}' must contain the files for the workspace: skills/ and docs/.",
        )
    return write_new(files.contents, destination, executable=files.executable)


def _named(name: str, templates: tuple[Template, ...]) -> Template:
    found = next((template for template in templates if template.name == name), None)
    if found:
        return found
    hint = nearest(name, [template.name for template in templates])
    if Path(name).is_dir():
        hint = f"If you mean the directory of that name, write ./{name}."
    raise NotFound(f"there is no template '{name}'.", hint=hint)


def _only(templates: tuple[Template, ...], source: Source) -> Template:
    if len(templates) == 1:
        return templates[0]
    names = ", ".join(template.name for template in templates)
    raise InvalidInput(
        f"{source} has several templates: {names}.",
        hint=f"Name one of them, for example: --template {shlex.quote(templates[0].address)}",
    )


def _untrusted(source: Source, template: Template | None) -> InvalidInput:
    if template is None:
        what = "git would fetch it, and its hooks and Jinja extensions would run as your user. Nothing was fetched."
    elif template.code:
        what = f"{', '.join(template.code)} would run as your user. Nothing was run."
    else:
        what = "it has no hooks and no extensions, but its Jinja expressions would be evaluated as your user. Nothing was run."
    return InvalidInput(
        f"the template {source} comes from elsewhere and is code: {what}",
        hint="Look at it first, for example with --list-templates, which runs no code of it. Then add --trust.",
    )


def _templates(directory: Path, source: Source) -> tuple[Template, ...]:
    with disk_errors(directory):
        for below in DEPTH:
            found = sorted(
                path.parent for path in directory.glob(f"{below}{DESCRIPTION}") if _is_shown(path, directory)
            )
            if templates := tuple(_described(path, directory, source) for path in found if _is_template(path)):
                return templates
        raise _no_template(directory, source)


def _is_shown(path: Path, directory: Path) -> bool:
    parts = path.relative_to(directory).parts
    return not any(part.startswith(".") for part in parts) and path.resolve().is_relative_to(directory.resolve())


def _is_template(directory: Path) -> bool:
    return any("{{" in path.name and "cookiecutter" in path.name for path in directory.iterdir())


def _no_template(directory: Path, source: Source) -> InvalidInput:
    if any(True for name in OLD_DESCRIPTIONS for below in DEPTH for _ in directory.glob(f"{below}{name}")):
        return InvalidInput(
            f"{source} has templates with a metadata.json, which fabric-jobs does not support.",
            hint="Write a cookiecutter.json with a 'name' next to it, and move its files below '{{cookiecutter.name}}': "
            "'__skillname__' in paths and '{{skillname}}' in files become '{{cookiecutter.name}}'.",
        )
    return InvalidInput(
        f"{source} is not a template and contains none, up to two levels below.",
        hint="A template is a directory with a cookiecutter.json and a directory '{{cookiecutter.name}}'.",
    )


def _described(directory: Path, root: Path, source: Source) -> Template:
    fields = _fields(directory)
    name = directory.relative_to(root).as_posix() if directory != root else _own_name(directory, source)
    return Template(
        name=name,
        address=source.inner(directory.relative_to(root).as_posix() if directory != root else ""),
        title=str(fields.get("_title", name)),
        description=str(fields.get("_description", "")),
        directory=directory,
        code=(*_hooks(directory), *_extensions(fields)),
    )


def _own_name(directory: Path, source: Source) -> str:
    if source.url:
        return (source.below or source.url).rstrip("/").rpartition("/")[2].removesuffix(".git")
    return directory.resolve().name


def _hooks(directory: Path) -> tuple[str, ...]:
    hooks = sorted((directory / "hooks").glob("*"))
    return tuple(f"hooks/{path.name}" for path in hooks if path.stem in HOOKS and not path.name.endswith("~"))


def _extensions(fields: dict[str, Any]) -> tuple[str, ...]:
    listed = fields.get("_extensions", [])
    return tuple(str(name) for name in listed) if isinstance(listed, list) else ()


def _fields(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION
    try:
        fields = json.loads(read_text(path))
    except OSError as error:
        raise InvalidInput(f"{directory.name}/{DESCRIPTION} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{directory.name}/{DESCRIPTION} is not JSON: {error}.") from error
    if not isinstance(fields, dict) or NAME not in fields:
        raise InvalidInput(
            f"{directory.name}/{DESCRIPTION} has no '{NAME}', which receives the name of the skill.",
            hint=f'Write {{"{NAME}": "my-skill"}}, and use {{{{cookiecutter.{NAME}}}}} in paths and files.',
        )
    return fields


def _check_no_skill(name: str, destination: Path) -> None:
    skills = destination / "skills"
    with disk_errors(skills):
        present = [entry.name for entry in skills.iterdir()] if skills.is_dir() else []
    for other in present:
        if other.casefold() == name.casefold():
            raise AlreadyExists(
                f"the skill '{name}' cannot be made: {skills / other} already exists and is never overwritten.",
                hint="Choose another name.",
            )
