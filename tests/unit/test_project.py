"""The project's statements about itself are true: licence, requirements, Makefile, names in its texts."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fabric_jobs
from fabric_jobs.scaffold.templates import list_templates

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "fabric_jobs"
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PAGE = re.compile(r"(?<![\w/.-])(?:\.\./)*(?:docs/)?(?:explanation|howto|reference|seeds)/[\w./-]*\.md\b")
ELSEWHERE = re.compile(r"\b(?:DESIGN|STYLE)(?:\.md| sections? \d| principle \d)")
MODULE = re.compile(r"\b(fabric_jobs(?:\.[a-z_]+)+)")


@pytest.fixture
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_licence_is_the_declared_one(project: dict[str, Any]) -> None:
    assert (ROOT / "LICENSE").read_text().startswith(f"SPDX-License-Identifier: {project['license']}\n")


def test_the_package_says_that_it_is_typed(project: dict[str, Any]) -> None:
    assert "Typing :: Typed" in project["classifiers"]
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("library", ["cookiecutter", "uvicorn"])
def test_a_library_whose_inner_parts_are_used_has_an_upper_bound(project: dict[str, Any], library: str) -> None:
    (requirement,) = [line for line in project["dependencies"] if line.startswith(library)]
    assert re.fullmatch(rf"{library}>=[\d.]+,<[\d.]+", requirement)


def test_every_target_of_the_makefile_has_a_rule() -> None:
    text = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.+)$", text, re.M)
    assert declared is not None
    assert [name for name in declared[1].split() if not re.search(rf"^{name}:", text, re.M)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_target_that_is_named_has_a_rule(page: str) -> None:
    named = set(re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z]+)", (ROOT / page).read_text(), re.M))
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert sorted(named - set(rules)) == []
    assert named


def test_the_readme_knows_how_many_templates_there_are() -> None:
    assert f"[{NUMBERS[len(list_templates())]} templates](docs/howto/templates.md)" in (ROOT / "README.md").read_text()


def test_every_module_that_a_text_names_is_there() -> None:
    texts = [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    named = {name for path in texts for name in MODULE.findall(path.read_text())}
    assert sorted(name for name in named if not _is_there(name)) == []
    assert fabric_jobs.__name__ in {name.partition(".")[0] for name in named}


def _is_there(name: str) -> bool:
    """Tell whether a dotted name is a module or something in one."""
    path = ROOT / name.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    parent, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(parent), last)
    except ModuleNotFoundError:
        return False


def test_no_text_points_out_of_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0")[:-1] or [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")]
    wrong = []
    for name in names:
        path = ROOT / name
        if path.suffix in (".py", ".sql", ".md", ".toml", ".yaml") and path.is_file():
            text = path.read_text(encoding="utf-8")
            wrong += [f"{name}: {page}" for page in PAGE.findall(text) if not _is_page(path, page)]
            wrong += [f"{name}: {found}" for found in ELSEWHERE.findall(text)]
    assert wrong == []


def _is_page(path: Path, page: str) -> bool:
    """Tell whether a page exists, relative to the repository, docs/, the text, or the page that shows it."""
    return any((place / page).is_file() for place in (ROOT, ROOT / "docs", path.parent, ROOT / "docs" / "reference"))
