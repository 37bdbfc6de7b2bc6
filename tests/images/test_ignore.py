"""What .dockerignore excludes: a table of Docker's rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidDefinition
from fabric_jobs.images.context import content_hash, context_paths
from tests.images.contexts import ALL, NEWEST, TABLE, write_context


def files_of(directory: Path) -> set[str]:
    """Return the files that are sent, without directories."""
    return {path for path in context_paths(directory) if not (directory / path).is_dir()}


@pytest.mark.parametrize(("text", "left_out"), TABLE + NEWEST, ids=[repr(text) for text, _ in TABLE + NEWEST])
def test_what_is_left_out(tmp_path: Path, text: str, left_out: set[str]) -> None:
    (write_context(tmp_path) / ".dockerignore").write_text(text)
    assert files_of(tmp_path) == ALL - left_out


def test_a_byte_order_mark_belongs_to_no_pattern(tmp_path: Path) -> None:
    (write_context(tmp_path) / ".dockerignore").write_bytes(b"\xef\xbb\xbfx.py\r\n")
    assert files_of(tmp_path) == ALL - {"x.py"}


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_a_pipe_is_an_error_and_no_hang(tmp_path: Path, name: str) -> None:
    write_context(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvalidDefinition, match=rf"{name}: error: the file cannot be read.*: it is a pipe, not a file"):
        content_hash(tmp_path)


def test_that_of_the_dockerfile_wins(tmp_path: Path) -> None:
    (write_context(tmp_path) / ".dockerignore").write_text("*")
    (tmp_path / "Dockerfile.dockerignore").write_text("x.py")
    assert files_of(tmp_path) == (ALL | {"Dockerfile.dockerignore"}) - {"x.py"}


@pytest.mark.parametrize("pattern", ["!", "! ", "!/", "[a", "a\\", "[]"])
def test_a_pattern_that_docker_refuses_is_an_error_with_its_line(tmp_path: Path, pattern: str) -> None:
    (tmp_path / ".dockerignore").write_text(f"# first\n{pattern}\n")
    with pytest.raises(InvalidDefinition) as caught:
        list(context_paths(tmp_path))
    (problem,) = caught.value.problems
    assert (problem.line, problem.file) == (2, str(tmp_path / ".dockerignore"))
