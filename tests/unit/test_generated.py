"""Generated files are fit for a repository: they name no path of this machine, and all that they name exists."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import pytest

from fabric_jobs import shipped
from fabric_jobs.scaffold.files import read_tree
from fabric_jobs.scaffold.templates import list_templates
from fabric_jobs.workspace.example import copy_example
from fabric_jobs.workspace.generate import generate_agent, generate_skill

SCHEMA = re.compile(rb"^# yaml-language-server: \$schema=(\S+)$", re.M)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a skill of every template, an agent, and the example's files."""
    root = tmp_path_factory.mktemp("generated") / "a workspace"
    copy_example("flights", root)
    names = [f"a-{template.name}" for template in list_templates()]
    for name, template in zip(names, list_templates(), strict=True):
        generate_skill(name, root, template.name)
    generate_agent("all", tuple(names[:2]), root)
    return root


def test_no_file_names_a_path_of_this_machine(workspace: Path) -> None:
    here = [str(path).encode() for path in (workspace, shipped.PACKAGE, Path.home(), Path(sys.prefix))]
    files = read_tree(workspace)
    assert len(files) > 30
    assert [path for path, content in files.items() if any(place in content for place in here)] == []


def test_every_definition_leads_to_its_schema(workspace: Path) -> None:
    definitions = [
        path
        for files in ("skills/*/skill.yaml", "skills/*/cortex.yaml", "agents/*.yaml")
        for path in workspace.glob(files)
    ]
    assert len(definitions) == 3 + len(list_templates()) + 2
    for path in definitions:
        (address,) = SCHEMA.findall(path.read_bytes())
        kind = {"skill.yaml": "skill", "cortex.yaml": "api"}.get(path.name, "agent")
        assert (path.parent / address.decode()).read_bytes() == shipped.schema_file(kind).read_bytes()


def test_the_schemas_are_where_git_does_not_look(workspace: Path) -> None:
    state = workspace / ".fabric-jobs"
    assert (state / ".gitignore").read_text() == "*\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_schemas_of_another_version_are_replaced(tmp_path: Path) -> None:
    shipped.put_schemas(tmp_path)
    stale = tmp_path / "schemas" / "skill.schema.json"
    stale.write_text("{}")
    shipped.put_schemas(tmp_path)
    assert stale.read_bytes() == shipped.schema_file("skill").read_bytes()
    assert sorted(path.name for path in stale.parent.iterdir()) == [
        "agent.schema.json",
        "api.schema.json",
        "schedules.schema.json",
        "skill.schema.json",
    ]


def test_what_cannot_have_schemas_is_generated_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".fabric-jobs").write_text("a file")
    generate_skill("one", tmp_path, "job")
    assert (tmp_path / "skills" / "one" / "skill.yaml").is_file()
