"""The hash of a build context: what changes it, and what does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidDefinition
from fabric_jobs.images.context import content_hash, context_paths
from tests.images.contexts import write_context

Change = Callable[[Path], object]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context")


def relink(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


def write_bytecode(directory: Path) -> None:
    directory.mkdir()
    (directory / "y.pyc").write_bytes(b"1")


CHANGES: dict[str, Change] = {
    "content": lambda root: (root / "x.py").write_text("other"),
    "name": lambda root: (root / "x.py").rename(root / "w.py"),
    "new-file": lambda root: (root / "new").write_text(""),
    "removed-file": lambda root: (root / "x.py").unlink(),
    "executable": lambda root: (root / "x.py").chmod(0o755),
    "readable": lambda root: (root / "x.py").chmod(0o604),
    "set-user": lambda root: (root / "x.py").chmod(0o4644),
    "directory-permissions": lambda root: (root / "a").chmod(0o705),
    "dockerfile": lambda root: (root / "Dockerfile").write_text("FROM scratch\n"),
    "new-directory": lambda root: (root / "void").mkdir(),
    "link-target": lambda root: relink(root / "link", "b"),
    "file-for-link": lambda root: (root / "x.py").replace(root / "link"),
    "ignored-file": lambda root: (root / ".dockerignore").write_text("x.py\n"),
}
SAME: dict[str, Change] = {
    "time": lambda root: os.utime(root / "x.py", (1, 1)),
    "bytecode": lambda root: write_bytecode(root / "a" / "__pycache__"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_docker_sends_counts(context: Path, change: Change) -> None:
    before = content_hash(context)
    change(context)
    assert content_hash(context) != before


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_differs_from_machine_to_machine_does_not_count(context: Path, change: Change) -> None:
    before = content_hash(context)
    change(context)
    assert content_hash(context) == before


def test_the_hash_is_the_same_everywhere(tmp_path: Path) -> None:
    for root in (write_context(tmp_path / "one"), write_context(tmp_path / "two")):
        for path in root.rglob("*"):  # independent of the umask
            path.chmod(0o755 if path.is_dir() else 0o644)
        assert content_hash(root) == "ee90cbc01c04"


@pytest.mark.parametrize("path", ["x.py", "Dockerfile"])
def test_what_is_ignored_does_not_count_but_for_the_dockerfile(context: Path, path: str) -> None:
    (context / ".dockerignore").write_text(f"{path}\n")
    before = content_hash(context)
    (context / path).write_text("other")
    assert (content_hash(context) == before) is (path == "x.py")


def test_names_that_are_no_text_and_pipes_are_hashed(context: Path) -> None:
    before = content_hash(context)
    Path(os.fsdecode(os.fsencode(context) + b"/\xff\n")).write_text("")
    os.mkfifo(context / "pipe")
    assert content_hash(context) != before
    assert {"pipe", "\udcff\n"} <= set(context_paths(context))


def test_a_large_ignored_directory_is_not_entered(context: Path) -> None:
    (context / ".dockerignore").write_text("a\n")
    (context / "a").chmod(0)
    try:
        assert not [path for path in context_paths(context) if path.startswith("a/")]
    finally:
        (context / "a").chmod(0o755)


def test_what_cannot_be_read_is_an_error_that_names_it(context: Path) -> None:
    (context / "Dockerfile").unlink()
    (context / "Dockerfile").mkdir()
    with pytest.raises(InvalidDefinition) as caught:
        content_hash(context)
    (problem,) = caught.value.problems
    assert problem.file == str(context / "Dockerfile")
    assert "cannot be read" in problem.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error_that_names_it(context: Path) -> None:
    (context / "x.py").chmod(0)
    with pytest.raises(InvalidDefinition, match="Permission denied"):
        content_hash(context)
