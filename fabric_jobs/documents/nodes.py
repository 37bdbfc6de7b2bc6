"""A document as a tree of values with their positions in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from fabric_jobs.errors import InvalidDefinition, Problem

MAX_DEPTH = 100  # no real definition nests deeper; stops a bomb of brackets before a RecursionError

Scalar: TypeAlias = "str | int | float | bool | None"


class Position(NamedTuple):
    """A position in a text, counted from 1; 0 and 0 if there is no text."""

    line: int
    column: int


NO_PLACE = Position(0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One value of a document, and its position."""

    value: dict[str, Node] | list[Node] | Scalar
    place: Position = NO_PLACE
    keys: dict[str, Position] = field(default_factory=dict)  # if a mapping from text: the position of each key
    written: str = ""  # if a number or a boolean from text: its spelling, such as 1.10

    def plain(self) -> Any:
        """Return the JSON value without positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def locate(self, *steps: str | int) -> Position:
        """Return the position of the value that `steps` (keys and indexes) lead to, or of the last one on the way."""
        return self.follow(*steps)[0].place

    def follow(self, *steps: str | int) -> tuple[Node, tuple[str | int, ...]]:
        """Return the last existing node on the way of `steps`, and the steps that lead to it."""
        node = self
        for count, step in enumerate(steps):
            child = node.child(step)
            if child is None:
                return node, steps[:count]
            node = child
        return node, steps

    def child(self, step: str | int) -> Node | None:
        """Return the value at a key or an index; None if there is none."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


class Document(NamedTuple):
    """A document that was read: its tree, and the problems that did not stop the reading."""

    node: Node
    file: str = ""  # as the user named it; empty for a document that came as JSON
    problems: tuple[Problem, ...] = ()

    def plain(self) -> Any:
        """Return the JSON value; raise InvalidDefinition if JSON cannot hold it."""
        if self.problems:
            raise InvalidDefinition(self.problems)
        return self.node.plain()


def from_json(value: Any) -> Document:
    """Return the document of a JSON value; it has no positions. Raise InvalidDefinition if it nests too deeply."""
    return Document(node=_node(value, 0))


def _node(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise too_deep("", NO_PLACE)
    if isinstance(value, dict):
        return Node(value={str(key): _node(item, depth + 1) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return Node(value=[_node(item, depth + 1) for item in value])
    return Node(value=value)


def broken(file: str, place: Position, message: str) -> InvalidDefinition:
    """Return the error for a file that cannot be read as a document."""
    return InvalidDefinition((Problem(file=file, line=place.line, column=place.column, path="", message=message),))


def too_deep(file: str, place: Position) -> InvalidDefinition:
    """Return the error for a document that nests too deeply."""
    return broken(file, place, f"the document is nested deeper than {MAX_DEPTH} levels, too deep for a definition")


def step_path(*steps: str | int) -> str:
    """Return keys and indexes as one path, like `inputs[0].routing`."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path
