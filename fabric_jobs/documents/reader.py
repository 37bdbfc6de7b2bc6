"""Reads the values of a document by key, and collects all problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from fabric_jobs.documents.nodes import Document, Node, Position, step_path
from fabric_jobs.errors import InvalidDefinition, Problem
from fabric_jobs.names import DEFINED_NAME, nearest

# Keys that a server adds to a definition in its answers, and keys of editors. Every key that starts with '_' counts too.
BOOKKEEPING = frozenset(
    {
        "$schema",
        "actionStatuses",
        "createdAt",
        "createdBy",
        "deployStatus",
        "publish",
        "snapshotId",
        "updatedAt",
        "updatedBy",
    }
)
MAX_PROBLEMS = 200  # at most this many are shown for a file; a million would be an answer of many megabytes
TRUTH = {"true": True, "false": False}
KIND_WORDS = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}

T = TypeVar("T")


class Reader:
    """Reads one value of a document.

    A method that finds something wrong notes a Problem with its position and returns the default, so that one pass finds
    all problems of a file. Reading a value twice notes its problem once. Readers of inner values share the collection of
    problems. A key whose value is null counts as absent.
    """

    def __init__(
        self, node: Node, *, file: str, steps: tuple[str | int, ...] = (), problems: dict[Problem, None]
    ) -> None:
        self.node = node
        self.steps = steps
        self._file = file
        self._problems = problems

    @classmethod
    def of(cls, document: Document) -> Reader:
        """Return the reader of a whole document."""
        return cls(document.node, file=document.file, problems=dict.fromkeys(document.problems))

    # -- what is wrong --------------------------------------------------------------------------

    def error(self, message: str, *steps: str | int, place: Position | None = None, level: str = "error") -> None:
        """Note what is wrong with the value that `steps` lead to from here, or with the last one on the way."""
        node, found = self.node.follow(*steps)
        where = place or node.place
        path = step_path(*self.steps, *found)
        problem = Problem(
            file=self._file, line=where.line, column=where.column, path=path, message=message, level=level
        )
        self._problems[problem] = None

    def warn(self, message: str, *steps: str | int) -> None:
        """Note something that has no effect or will surprise."""
        self.error(message, *steps, level="warning")

    def at_key(self, message: str, key: str, *, level: str = "error") -> None:
        """Note why this key must not be here at all."""
        self.error(message, key, place=self.node.keys.get(key), level=level)

    def finish(self) -> tuple[Problem, ...]:
        """Return the warnings in the order of the file; if there is an error, raise InvalidDefinition with all problems."""
        problems = tuple(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))
        if any(problem.level == "error" for problem in problems):
            raise InvalidDefinition(_first(problems))
        return problems

    # -- mappings and lists ---------------------------------------------------------------------

    def is_mapping(self, known: Collection[str]) -> bool:
        """Tell whether this is a mapping; note each key that is neither known nor in BOOKKEEPING."""
        if not isinstance(self.node.value, dict):
            self._wrong("a mapping")
            return False
        for key in self.node.value:
            if key not in known and key not in BOOKKEEPING and not key.startswith("_"):
                self.at_key(f"unknown key '{key}'. {nearest(key, known)}".rstrip(), key)
        return True

    def has(self, key: str) -> bool:
        """Tell whether the key has a value that is not null."""
        node = self.node.child(key)
        return node is not None and node.value is not None

    def inner(self, key: str) -> Reader | None:
        """Return the reader of the value of `key`; None if it is absent."""
        node = self.node.child(key)
        return None if node is None or node.value is None else self._at(node, key)

    def items(self, key: str) -> tuple[Reader, ...]:
        """Return a reader for each item of the list at `key`; none if it is absent."""
        reader = self.inner(key)
        return () if reader is None else reader.listed()

    def listed(self) -> tuple[Reader, ...]:
        """Return a reader for each item of this list."""
        if not isinstance(self.node.value, list):
            self._wrong("a list")
            return ()
        return tuple(self._at(item, index) for index, item in enumerate(self.node.value))

    def entries(self) -> tuple[tuple[str, Reader], ...]:
        """Return key and reader of each value of this mapping, whatever the keys."""
        value = self.node.value
        return tuple((key, self._at(node, key)) for key, node in value.items()) if isinstance(value, dict) else ()

    def require(self, key: str, what: str) -> Reader | None:
        """Return the reader of `key`; if it is missing, note that, and what to write."""
        reader = self.inner(key)
        if reader is None:
            self.error(f"the key '{key}' is missing: {what}")
        return reader

    def _at(self, node: Node, step: str | int) -> Reader:
        return Reader(node, file=self._file, steps=(*self.steps, step), problems=self._problems)

    # -- scalars --------------------------------------------------------------------------------

    def text(self, key: str, default: str = "") -> str:
        """Return the text at `key`."""
        reader = self.inner(key)
        if reader is None:
            return default
        if isinstance(reader.node.value, str):
            return reader.node.value
        is_scalar = isinstance(reader.node.value, (bool, int, float))
        reader._wrong("text; put it in quotes" if is_scalar else "text")
        return default

    def loose_text(self, key: str, default: str = "") -> str:
        """Return the value at `key` as text; numbers and booleans as JSON writes them."""
        reader = self.inner(key)
        return default if reader is None else reader.as_text(default)

    def as_text(self, default: str = "") -> str:
        """Return this scalar as text, as JSON writes it."""
        value = self.node.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int, float)):
            return str(value)
        self._wrong("text")
        return default

    def flag(self, key: str) -> bool:
        """Return the boolean at `key`, false if absent; it may be text (docs/reference/compatibility.md#booleans-as-text)."""
        reader = self.inner(key)
        if reader is None:
            return False
        value = reader.node.value
        known = TRUTH.get(value.lower()) if isinstance(value, str) else value
        if isinstance(known, bool):
            return known
        reader._wrong("true or false")
        return False

    def whole(self, key: str, default: T, *, low: int, high: int) -> int | T:
        """Return the whole number at `key`, from `low` to `high`."""
        value = self._in_range(key, low, high, "a whole number")
        return default if value is None else int(value)

    def number(self, key: str, default: T, *, low: float, high: float) -> float | T:
        """Return the number at `key`, from `low` to `high`."""
        value = self._in_range(key, low, high, "a number")
        return default if value is None else value

    def _in_range(self, key: str, low: float, high: float, what: str) -> float | None:
        reader = self.inner(key)
        if reader is None:
            return None
        value = reader.node.value
        is_fraction = isinstance(value, float) and not value.is_integer()
        if not isinstance(value, (int, float)) or isinstance(value, bool) or (what == "a whole number" and is_fraction):
            reader._wrong(what)
        elif low <= value <= high:
            return value
        else:
            reader.error(f"{value} is out of range; the range is {low:,} to {high:,}")
        return None

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """Return the text at `key`, which must be one of `options`."""
        reader = self.inner(key)
        if reader is None:
            return default
        text = self.text(key)
        if text in options:
            return text
        if isinstance(reader.node.value, str):
            reader.error(f"'{text}' is not a known value. {nearest(text, options)}")
        return default

    def name(self, what: str) -> str:
        """Return the text at `name`; note a problem if it is missing or cannot name a `what`."""
        reader = self.require("name", f"give the {what} a name")
        name = self.text("name")
        if reader is not None and isinstance(reader.node.value, str) and not is_name(name):
            reader.error(f"'{name}' is not a valid name of a {what}: {NAME_RULE}")
        return name

    def matches(self, key: str, pattern: str, what: str) -> str:
        """Return the text or number at `key` as text; note a problem unless all of it matches `pattern`. `what` names it."""
        reader = self.inner(key)
        if reader is None:
            return ""
        text = reader.as_text()
        if isinstance(reader.node.value, (dict, list)) or re.fullmatch(pattern, text):
            return text
        reader.error(f"'{text}' is not {what}")
        return ""

    def _wrong(self, expected: str) -> None:
        kind = KIND_WORDS.get(type(self.node.value), "null")
        self.error(f"this is {kind}, but must be {expected}")


NAME_RULE = (
    "it must start with a letter, contain only letters, digits, '_', '-', '.' and '/', and end with a letter or digit"
)


def is_name(name: str) -> bool:
    """Tell whether a definition may use this name; one that leaves its directory, like `a/../b`, is not allowed."""
    return DEFINED_NAME.fullmatch(name) is not None


def _first(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return all problems or, if there are very many, the first ones, errors before warnings."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    first = sorted(problems, key=lambda problem: problem.level != "error")[:MAX_PROBLEMS]
    message = f"{len(problems) - MAX_PROBLEMS:,} more problems are not shown; fix these first"
    return (*first, replace(first[-1], path="", message=message))


def distinct(
    readers: Sequence[Reader], names: Iterable[str], what: str, *, key: str = "name", last_wins: bool = False
) -> None:
    """Note each name that is repeated, whatever its case, with the position of the first.

    With `last_wins`, an exact repetition is only a warning.
    """
    seen: dict[str, Reader] = {}
    for reader, name in zip(readers, names, strict=True):
        first = seen.setdefault(name.lower(), reader)
        if name and first is not reader:
            place = first.node.locate(key)
            where = f"; the first is at {place.line}:{place.column}" if place.line else ""
            said = f"a second {what} is called '{name}'{where}"
            if last_wins and name == first.text(key):
                reader.warn(f"{said}. The last one is used", key)
            else:
                reader.error(f"{said}. Names must differ in more than case", key)


def read_all(readers: Iterable[Reader], read: Callable[[Reader], T | None]) -> tuple[T, ...]:
    """Return the results of `read`, without None, which means that something could not be read at all."""
    return tuple(item for item in map(read, readers) if item is not None)
