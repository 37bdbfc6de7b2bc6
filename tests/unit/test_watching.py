"""The files of a skill that count as changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fabric_jobs.workspace.watching import Watched


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    (tmp_path / "actions/x").mkdir(parents=True)
    (tmp_path / "actions/x/main.py").write_text("1")
    (tmp_path / "skill.yaml").write_text("name: x")
    return tmp_path


def test_changed_new_and_deleted_files_count(skill: Path) -> None:
    watched = Watched(skill)
    assert watched.changed() == []
    (skill / "actions/x/main.py").write_text("22")
    (skill / "actions/x/more.py").write_text("")
    (skill / "skill.yaml").unlink()
    assert watched.changed() == ["actions/x/main.py", "actions/x/more.py", "skill.yaml"]
    assert watched.wait() == watched.changed()
    watched.settle()
    assert watched.changed() == []


def test_a_file_that_an_editor_puts_in_place_of_another_counts(skill: Path) -> None:
    main = skill / "actions/x/main.py"
    before = main.stat()
    watched = Watched(skill)
    beside = skill / "actions/x/.main.py.new"
    beside.write_text("2")
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.rename(main)
    assert watched.changed() == ["actions/x/main.py"]


@pytest.mark.parametrize(
    "path",
    [
        ".git/index",
        "actions/x/__pycache__/main.cpython-311.pyc",
        "actions/x/.main.py.swp",
        "actions/x/main.py~",
        "actions/x/4913",
        "actions/x/env/lib/site.py",
        "actions/x/state.db",
        "invoke/request/expected.json",
    ],
)
def test_what_nobody_edits_does_not_count(skill: Path, path: str) -> None:
    (skill / "actions/x/env").mkdir()
    (skill / "actions/x/env/pyvenv.cfg").write_text("")
    watched = Watched(skill, ignored=["*.db"])
    (skill / path).parent.mkdir(parents=True, exist_ok=True)
    (skill / path).write_text("new")
    assert watched.changed() == []


def test_what_a_program_writes_is_not_watched(skill: Path) -> None:
    watched = Watched(skill)
    made = skill / "actions/x/out.json"
    made.write_text("1")
    watched.absorb()
    made.write_text("22")
    assert watched.changed() == []
    assert watched.made_by_runs() == ["actions/x/out.json"]
    made.unlink()
    assert watched.made_by_runs() == []


def test_a_file_elsewhere_can_be_watched(skill: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    message = tmp_path_factory.mktemp("other") / "message.json"
    watched = Watched(skill, others=[message])
    message.write_text("{}")
    assert watched.changed() == [str(message)]
