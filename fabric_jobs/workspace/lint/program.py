"""Checks a program against its skill.yaml: whether it reads a stream, and whether it can start warm."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.definitions import Action
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.dockerfile import read_file
from fabric_jobs.executors.warm import command

LARGEST = 1 << 20  # larger files are not checked


def reads_stream(directory: Path) -> tuple[Path, int] | None:
    """Return the file and line in an action's directory that call `messages()` of fabric_skill; None if none does."""
    for path in sorted(directory.glob("*.py")):
        try:
            if not path.is_file() or path.stat().st_size > LARGEST:
                continue
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # the run will report it
        if line := min(_calls(tree), default=0):
            return path, line
    return None


def why_cold(action: Action, dockerfile: Path) -> str:
    """Return why the program of an action cannot start warm; empty if it can, or if the program is unknown."""
    try:
        file = read_file(dockerfile)
    except InvalidInput:
        return ""  # reported elsewhere
    words = action.command or (file.program(dockerfile.parent) if file else ())
    found = command.read(words) if words else ""
    return found if isinstance(found, str) else ""


def _calls(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that call `messages`, under whatever name it was imported."""
    names, modules = set(), set()
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "fabric_skill":
            names |= {item.asname or item.name for item in node.names if item.name == "messages"}
        elif isinstance(node, ast.Import):
            modules |= {item.asname or item.name for item in node.names if item.name == "fabric_skill"}
    for node in nodes:
        called = node.func if isinstance(node, ast.Call) else None
        if (isinstance(called, ast.Name) and called.id in names) or (
            isinstance(called, ast.Attribute)
            and called.attr == "messages"
            and isinstance(called.value, ast.Name)
            and called.value.id in modules
        ):
            yield called.lineno
