"""One definition file while it is checked against the rest of its workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from fabric_jobs.documents import Document
from fabric_jobs.documents.nodes import Node, step_path
from fabric_jobs.errors import InvalidDefinition, Problem
from fabric_jobs.workspace.tree import read_file

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Checked(Generic[T]):
    """A file, its definition (None if it is invalid), and the problems found so far."""

    path: Path
    node: Node
    definition: T | None
    problems: list[Problem] = field(default_factory=list)

    def error(self, message: str, *steps: str | int, level: str = "error") -> None:
        """Note what is wrong with the value that `steps` lead to, or with the last one on the way."""
        node, found = self.node.follow(*steps)
        line, column = node.place
        where = step_path(*found)
        self.problems.append(Problem.of_file(self.path, message, line=line, column=column, path=where, level=level))

    def warn(self, message: str, *steps: str | int) -> None:
        """Note something that has no effect or will surprise."""
        self.error(message, *steps, level="warning")


Define = Callable[[Document], tuple[T, tuple[Problem, ...]]]


def check_file(path: Path, define: Define[T]) -> Checked[T]:
    """Return a file with all problems of the file alone."""
    return check_documents(path, define, lambda path: (read_file(path),))[0]


def check_documents(path: Path, define: Define[T], read: Callable[[Path], tuple[Document, ...]]) -> list[Checked[T]]:
    """Return each document of a file with all problems of the document alone; one without a definition for a broken file."""
    try:
        return [_check(path, document, define) for document in read(path)]
    except InvalidDefinition as error:
        return [Checked(path=path, node=Node(value=None), definition=None, problems=list(error.problems))]


def _check(path: Path, document: Document, define: Define[T]) -> Checked[T]:
    try:
        definition, warnings = define(document)
    except InvalidDefinition as error:
        return Checked(path=path, node=document.node, definition=None, problems=list(error.problems))
    return Checked(path=path, node=document.node, definition=definition, problems=list(warnings))
