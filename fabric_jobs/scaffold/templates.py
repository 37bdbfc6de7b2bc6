"""Skill templates: which there are, and what one makes of a name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fabric_jobs import shipped
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound
from fabric_jobs.names import nearest
from fabric_jobs.scaffold.files import disk_errors, read_tree, write_new
from fabric_jobs.scaffold.yaml_text import scalar


@dataclass(frozen=True, kw_only=True)
class Template:
    """One template, as its cookiecutter.json describes it."""

    name: str  # the directory below skill_templates
    title: str  # a few words for a list
    description: str  # one sentence: what the skill does and when to take it
    directory: Path


def list_templates() -> tuple[Template, ...]:
    """Return every template that ships with this installation, sorted by name."""
    found = sorted(shipped.templates_dir().glob("*/cookiecutter.json"))
    return tuple(_described(path) for path in found)


def find_template(name: str) -> Template:
    """Return the template of that name; raise NotFound, with the nearest name, when there is none."""
    templates = {template.name: template for template in list_templates()}
    if name not in templates:
        raise NotFound(f"there is no template '{name}'.", hint=nearest(name, templates))
    return templates[name]


def render(template: str, name: str, destination: Path) -> tuple[Path, ...]:
    """Write the files of a new skill `name` below `destination` and return their paths, sorted.

    Raise NotFound for an unknown template and AlreadyExists for a skill that is there, in any case of letters, before
    anything is written. What `write_new` promises holds: nothing overwritten, nothing outside, nothing half-written.
    """
    chosen = find_template(template)
    _check_no_skill(name, destination)
    return write_new(rendered_files(chosen, name), destination)


def rendered_files(template: Template, name: str) -> dict[str, bytes]:
    """Return what the template makes of a skill name: {path: content}. Offline; reads no user's configuration."""
    # These two functions of cookiecutter, unlike its `cookiecutter()`, know no user's configuration, no replay
    # directory and no network; and they run no hooks when told so.
    from cookiecutter import exceptions, generate, prompt  # type: ignore[import-untyped]

    given = {
        "name": name,
        "__yaml": scalar(name),
        "__image": scalar(name.lower()),
        "_schema": shipped.schema_address("skill"),  # one '_': a path is taken as it is, not rendered
    }
    with disk_errors(template.directory), TemporaryDirectory(prefix="fabric-jobs-") as directory:
        try:
            values = prompt.prompt_for_config({"cookiecutter": {**_fields(template.directory), **given}}, no_input=True)
            made = generate.generate_files(template.directory, {"cookiecutter": values}, directory, accept_hooks=False)
        except exceptions.CookiecutterException as error:
            raise InvalidInput(f"the template '{template.name}' cannot be rendered: {error}") from error
        return read_tree(Path(made))


def _described(path: Path) -> Template:
    fields = _fields(path.parent)
    return Template(
        name=path.parent.name, title=fields["_title"], description=fields["_description"], directory=path.parent
    )


def _fields(directory: Path) -> dict[str, str]:
    fields: dict[str, str] = json.loads((directory / "cookiecutter.json").read_text(encoding="utf-8"))
    return fields


def _check_no_skill(name: str, destination: Path) -> None:
    skills = destination / "skills"
    with disk_errors(skills):
        present = [entry.name for entry in skills.iterdir()] if skills.is_dir() else []
    for other in present:
        if other.casefold() == name.casefold():
            raise AlreadyExists(
                f"the skill '{name}' cannot be made: {skills / other} is there already, and is never overwritten.",
                hint="Choose another name.",
            )
