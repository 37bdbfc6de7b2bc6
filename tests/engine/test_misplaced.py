"""A hint for a program that opens a path of the workspace from its own directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.engine.misplaced import hint


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").touch()
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/a.csv'",
        "cat: data/a.csv: No such file or directory",
        "main.sh: line 3: data/a.csv: No such file or directory",
        "open data/a.csv: no such file or directory",
        "Error: ENOENT: no such file or directory, open 'data/a.csv'",
    ],
)
def test_the_path_is_found_as_languages_write_it(workspace: Path, line: str) -> None:
    said = hint(["Traceback:", line, "the end"], lambda: str(workspace))
    assert said.startswith("The workspace contains data/a.csv, but")
    assert "FABRIC_JOBS_WORKSPACE" in said


@pytest.mark.parametrize(
    "line",
    [
        "No such file or directory: 'data/b.csv'",
        "No such file or directory: '/data/a.csv'",
        "No such file or directory: '../data/a.csv'",
        "No such file or directory: 'data/a\0.csv'",
        "ValueError: data/a.csv",
        "",
    ],
)
def test_nothing_is_said_of_anything_else(workspace: Path, line: str) -> None:
    assert hint([line], lambda: str(workspace)) == ""


def test_without_a_workspace_there_is_nothing_to_say() -> None:
    assert hint(["No such file or directory: 'tests'"], lambda: "") == ""
