"""Renders a template for a name. The only file that knows cookiecutter."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fabric_jobs import shipped
from fabric_jobs.errors import FabricJobsError, InvalidInput
from fabric_jobs.scaffold.files import disk_errors, read_tree
from fabric_jobs.scaffold.yaml_text import scalar

NAME = "name"  # the variable for the skill's name
HOOKS = ("pre_gen_project", "post_gen_project")  # `pre_prompt` is not run, since there are no prompts


@dataclass(frozen=True, kw_only=True)
class Files:
    """The result of rendering a template."""

    contents: dict[str, bytes]  # path below the workspace: content
    executable: frozenset[str]  # paths of programs


def rendered(directory: Path, title: str, fields: dict[str, Any], name: str) -> Files:
    """Render the template in `directory` for a skill name, ignoring the user's cookiecutter configuration.

    This runs the template's hooks and Jinja extensions, so it must be trusted, or have none. Raise InvalidInput, naming the
    template by `title`, if it cannot be rendered, or makes a path that leads elsewhere.
    """
    given = {
        NAME: name,
        "__yaml": scalar(name),
        "__image": scalar(name.lower()),
        "_schema": shipped.schema_address("skill"),  # one '_': the value is used as it is, not rendered
        "_api_schema": shipped.schema_address("api"),
    }
    with disk_errors(directory), tempfile.TemporaryDirectory(prefix="fabric-jobs-") as temporary:
        try:
            with _foreign_code(directory, temporary):
                made = _generate(directory.resolve(), {**fields, **given}, Path(temporary, "made").resolve())
        except FabricJobsError as error:
            raise InvalidInput(f"the template '{title}' cannot be used: {error.message}", hint=error.hint) from error
        except Exception as error:  # a template's extension can raise anything
            if isinstance(error, OSError) and error.errno:  # the disk, not the template
                raise
            reason = _undecoded(error, directory) or " ".join(str(error).split()) or type(error).__name__
            raise InvalidInput(f"the template '{title}' cannot be rendered: {reason}") from error
        return _read(made, title)


def _undecoded(error: Exception, directory: Path) -> str:
    """Return which file of a template is not UTF-8, and what to do; empty if that is not the error."""
    if not isinstance(error, UnicodeDecodeError):
        return ""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.read_bytes() == error.object:
            line = error.object.count(b"\n", 0, error.start) + 1
            name = path.relative_to(directory)
            return f"{name}, line {line}, is not UTF-8. Save it as UTF-8, or list it in '_copy_without_render'."
    return ""


def _generate(directory: Path, fields: dict[str, Any], output: Path) -> Path:
    # Unlike `cookiecutter()`, these functions use no user configuration, no replay directory
    # and no network.
    from cookiecutter import generate, prompt, utils  # type: ignore[import-untyped]

    values = prompt.prompt_for_config({"cookiecutter": fields}, no_input=True)
    values["_template"] = values["_repo_dir"] = str(directory)
    values["_output_dir"] = str(output)
    context = {"cookiecutter": values}
    environment = utils.create_env_with_context(context)
    for path in _tree_of(directory, environment):
        _check_inside(environment.from_string(path).render(**context), path)
    return Path(generate.generate_files(directory, context, output, accept_hooks=True))


def _tree_of(directory: Path, environment: Any) -> Iterator[str]:
    """Yield the template's directory and every path below it: each becomes a file or a directory."""
    from cookiecutter import find

    top = Path(find.find_template(directory, environment))
    yield top.name
    for path in sorted(top.rglob("*")):
        relative = path.relative_to(top).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(directory):
            raise InvalidInput(f"the link {relative} leads out of the template.")
        yield relative


def _check_inside(rendered_path: str, path: str) -> None:
    # Check before anything is written: cookiecutter itself writes wherever a name leads.
    parts = PurePosixPath(rendered_path).parts
    if rendered_path.startswith("/") or ".." in parts or "\0" in rendered_path:
        raise InvalidInput(f"the path {path} becomes {rendered_path}, which is outside of the workspace.")


def _read(made: Path, title: str) -> Files:
    for path in made.rglob("*"):
        if path.is_symlink():  # made by a hook
            raise InvalidInput(
                f"the template '{title}' makes a link, {path.relative_to(made)}; only files are allowed."
            )
    contents = read_tree(made)
    if any(".git" in PurePosixPath(path).parts for path in contents):
        raise InvalidInput(f"the template '{title}' makes files for git itself, below .git; nothing was written.")
    return Files(contents=contents, executable=frozenset(path for path in contents if os.access(made / path, os.X_OK)))


@contextmanager
def _foreign_code(directory: Path, temporary: str) -> Iterator[None]:
    """Make extensions beside the template importable, leave no traces elsewhere, and keep hooks off stdin and stdout."""
    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())  # otherwise Python prints a traceback
    kept = list(sys.path), sys.dont_write_bytecode, tempfile.tempdir
    sys.path.append(str(directory.resolve()))
    sys.dont_write_bytecode, tempfile.tempdir = True, temporary
    try:
        # Nobody answers a hook's prompts, and its output is not data.
        with open(os.devnull) as nothing, _led_to(nothing.fileno(), 0), _led_to(2, 1):
            yield
    finally:
        sys.path[:], sys.dont_write_bytecode, tempfile.tempdir = kept


@contextmanager
def _led_to(target: int, number: int) -> Iterator[None]:
    """Redirect the file descriptor `number` to `target` during the block. A closed one stays closed."""
    try:
        kept = os.dup(number)
        os.dup2(target, number)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
