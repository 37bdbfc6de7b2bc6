"""Draws paths as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

Branch: TypeAlias = dict[str, "Branch"]


def draw_tree(paths: Iterable[Path], root: Path) -> str:
    """Draw `root` and the `paths` below it (absolute, or relative to `root`) as a tree, sorted by name."""
    tree: Branch = {}
    for path in paths:
        branch = tree
        for part in (path.relative_to(root) if path.is_relative_to(root) else path).parts:
            branch = branch.setdefault(part, {})
    return "\n".join([str(root), *_lines(tree, "")])


def _lines(branch: Branch, indent: str) -> Iterator[str]:
    for left, name in zip(reversed(range(len(branch))), sorted(branch), strict=True):
        yield f"{indent}{'├─' if left else '└─'} {name}"
        yield from _lines(branch[name], indent + ("│  " if left else "   "))
