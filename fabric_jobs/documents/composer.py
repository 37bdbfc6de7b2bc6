"""The events of a YAML parser → a tree of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fabric_jobs.documents.nodes import MAX_DEPTH, Document, Node, Position, broken, too_deep
from fabric_jobs.documents.scalars import resolve
from fabric_jobs.errors import Problem

MAX_NODES = 100_000  # aliases of aliases can grow without bound; no real definition is this large
TEXT_TAGS = frozenset({"tag:yaml.org,2002:str", "!"})
KNOWN_TAGS = TEXT_TAGS | {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "map", "seq")}
MERGE_KEY = "<<"


class Composer:
    """Builds the tree of one document.

    It continues after a duplicate key or a date, and stops where the meaning is unclear. Collections that aliases repeat
    are counted each time, so that a few lines cannot become gigabytes.
    """

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self._events = events  # of PyYAML; told apart by class name, so that this module need not import it
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._count = 0
        self._problems: list[Problem] = []

    def document(self) -> Document:
        """Return the only document; call it once. Raise InvalidDefinition if it cannot be read."""
        node = Node(value=None, place=Position(1, 1))
        self._next()  # the start of the stream
        if self._next()[0] == "DocumentStart":
            node = self._node(*self._next(), depth=0)
            self._next()  # the end of the document
            kind, event = self._next()
            if kind == "DocumentStart":
                raise broken(self._file, _place(event), "a second document starts here; a file must have only one")
        return Document(node=node, file=self._file, problems=tuple(self._problems))

    def _next(self) -> tuple[str, Any]:
        event = next(self._events)
        return type(event).__name__.removesuffix("Event"), event

    def _node(self, kind: str, event: Any, *, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise too_deep(self._file, _place(event))
        if kind == "Alias":
            return self._alias(event, depth)
        self._add_to_count(1, event)
        if event.tag and event.tag not in KNOWN_TAGS:
            self._problem(_place(event), f"the tag {event.tag} has no meaning here; remove it")
        if kind == "Scalar":
            node = self._scalar(event)
        else:
            node = self._sequence(event, depth) if kind == "SequenceStart" else self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node  # only when complete, so that nothing can contain itself
        return node

    def _alias(self, event: Any, depth: int) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            message = f"*{event.anchor} refers to &{event.anchor}, but no complete value above has this anchor"
            raise broken(self._file, _place(event), message)
        size, height = _measure(node)
        self._add_to_count(size, event)
        if depth + height > MAX_DEPTH:
            raise too_deep(self._file, _place(event))
        return node

    def _scalar(self, event: Any) -> Node:
        is_plain = event.style in (None, "") and event.tag not in TEXT_TAGS
        value = event.value
        if is_plain:
            try:
                value = resolve(event.value)
            except ValueError as error:
                self._problem(_place(event), str(error))
        written = event.value if isinstance(value, (bool, int, float)) else ""
        return Node(value=value, place=_place(event), written=written)

    def _sequence(self, event: Any, depth: int) -> Node:
        items = []
        while (inner := self._next())[0] != "SequenceEnd":
            items.append(self._node(*inner, depth=depth + 1))
        return Node(value=items, place=_place(event))

    def _mapping(self, event: Any, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        merged: list[Node] = []
        while (inner := self._next())[0] != "MappingEnd":
            key = self._node(*inner, depth=depth + 1)
            value = self._node(*self._next(), depth=depth + 1)
            if key.value == MERGE_KEY and getattr(inner[1], "style", None) in (None, ""):
                merged += self._sources(value)
            elif self._is_key(key, keys):
                name = str(key.value)
                items[name], keys[name] = value, key.place
        for source in merged:
            assert isinstance(source.value, dict)
            items = source.value | items
            keys = source.keys | keys
        return Node(value=items, place=_place(event), keys=keys)

    def _is_key(self, key: Node, known: dict[str, Position]) -> bool:
        if not isinstance(key.value, str):
            self._problem(key.place, "a key must be text; put it in quotes")
            return False
        first = known.get(key.value)
        if first:
            self._problem(
                key.place, f"the key '{key.value}' appears twice; the first is at {first.line}:{first.column}"
            )
        return first is None

    def _sources(self, value: Node) -> list[Node]:
        """Return the mappings that `<<` merges; the first one with a key wins."""
        sources = value.value if isinstance(value.value, list) else [value]
        if all(isinstance(source.value, dict) for source in sources):
            return sources
        self._problem(value.place, f"'{MERGE_KEY}' merges mappings, and this is not a mapping")
        return []

    def _add_to_count(self, size: int, event: Any) -> None:
        self._count += size
        if self._count > MAX_NODES:
            message = f"the document has more than {MAX_NODES:,} values, too many for a definition"
            raise broken(self._file, _place(event), message)

    def _problem(self, place: Position, message: str) -> None:
        self._problems.append(Problem(file=self._file, line=place.line, column=place.column, path="", message=message))


def _place(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _measure(node: Node) -> tuple[int, int]:
    """Return the number of values in a tree, and its depth."""
    children = node.value
    if isinstance(children, dict):
        children = list(children.values())
    if not isinstance(children, list):
        return 1, 1
    measures = [_measure(child) for child in children]
    return 1 + sum(size for size, _ in measures), 1 + max((height for _, height in measures), default=0)
