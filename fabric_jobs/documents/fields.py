"""The fields of a definition's mappings: each declared once, for its reader, its JSON Schema and its reference page.

scripts/generate_definitions.py generates the schemas and the tables of the pages.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fabric_jobs.documents.reader import Reader, read_all
from fabric_jobs.names import DEFINED_NAME

NULL = {"type": "null"}


class Kind(NamedTuple):
    """The kind of value that a key may have."""

    schema: Any  # a JSON Schema without null; a Shape in it means the schema of that mapping
    words: str  # what the reference calls it
    read: Callable[[Reader, Any], Any] | None = None  # gets the Field; None: the reader of the mapping reads it


class Field(NamedTuple):
    """One key of a mapping."""

    key: str
    kind: Kind
    sentence: str  # what it means
    default: Any = None
    absent: str = ""  # the default in words, if it is not a single value
    required: bool = False
    missing: str = ""  # if required: what to tell the author to write; empty: the reader of its kind says it
    attribute: str = ""  # of the definition; empty: the key in snake case
    of: str = ""  # the type of the actions that may have it; empty: all
    since: str = ""  # our version that added it; empty: it comes from Fabric


class Shape:
    """A mapping with known keys; `make` turns its values into a part of a definition.

    A schema with a `name` is written once, and referenced by it. `rules` is JSON Schema about several keys together.
    `refused` says of well-known keys why they must not be there.
    """

    def __init__(
        self,
        name: str,
        sentence: str,
        *fields: Field,
        make: Callable[..., Any] = dict,
        rules: Any = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.sentence = sentence
        self.fields = fields
        self.make = make
        self.rules = rules or {}
        self.refused = refused or {}
        self.keys = frozenset(field.key for field in fields)
        self._allowed = self.keys | self.refused.keys()
        self._needed = [field for field in fields if field.missing]
        self._readings = [(field.attribute or _snake(field.key), field.kind.read, field) for field in fields]

    def read(self, reader: Reader) -> Any:
        """Return what `make` returns for the mapping that `reader` is at; None if it is not a mapping."""
        values = self.values(reader)
        return None if values is None else self.make(**values)

    def values(self, reader: Reader, **given: Callable[[Reader], Any]) -> dict[str, Any] | None:
        """Return the values of the fields by attribute; None if this is not a mapping.

        `given` are the readers of fields whose value depends on more than its key.
        """
        if not reader.is_mapping(self._allowed):
            return None
        for key in self.refused:
            if reader.has(key):
                reader.at_key(self.refused[key], key)
        for field in self._needed:
            reader.require(field.key, field.missing)
        values: dict[str, Any] = {}
        for attribute, read, field in self._readings:
            if attribute in given:
                values[attribute] = given[attribute](reader)
            elif read:
                values[attribute] = read(reader, field)
        return values


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


def anchored(pattern: str) -> str:
    """Return a pattern anchored at both ends, as JSON Schema needs it."""
    return f"^({pattern})$"


def nulls(*keys: str) -> dict[str, Any]:
    """Return the schema of a mapping in which these keys are absent or null."""
    return {"properties": dict.fromkeys(keys, NULL)}


def either(options: tuple[str, ...]) -> str:
    """Return words as a list in English."""
    *first, last = (f"`{option}`" for option in options)
    return f"{', '.join(first)} or {last}" if first else last


def only(key: str, *others: str, needs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the schema of a mapping that has `key`, the keys that it needs, and none of the others."""
    return {"required": [key, *needs], "properties": {key: {"not": NULL}, **dict.fromkeys(others, NULL)}}


def _plain(reader: Reader, field: Field) -> Any:
    inner = reader.inner(field.key)
    return inner.node.plain() if inner else None


def _entries(reader: Reader, field: Field) -> dict[str, Any]:
    inner = reader.inner(field.key)
    if inner is None or not inner.is_mapping({key for key, _ in inner.entries()}):
        return {}
    return {key: value.node.plain() for key, value in inner.entries()}


TEXT = Kind({"type": "string"}, "text", lambda reader, field: reader.text(field.key, field.default or ""))
LOOSE_TEXT = Kind(
    {"type": ["string", "number", "boolean"]},
    "text",
    lambda reader, field: reader.loose_text(field.key, field.default or ""),
)
FLAG = Kind(
    {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"}]},
    "boolean",
    lambda reader, field: reader.flag(field.key) if reader.has(field.key) else bool(field.default),
)
ANYTHING = Kind({}, "any", _plain)
VALUES = Kind(
    {"type": "array"}, "list", lambda reader, field: tuple(item.node.plain() for item in reader.items(field.key))
)
ENTRIES = Kind({"type": "object"}, "mapping", _entries)  # whatever its keys


def name(what: str) -> Kind:
    """Return the kind of the name of a `what`."""
    schema = {"type": "string", "pattern": anchored(DEFINED_NAME.pattern)}
    return Kind(schema, "name", lambda reader, _: reader.name(what))


def text_or(other: str) -> Kind:
    """Return the kind of a text that defaults to the text at another key."""
    return TEXT._replace(read=lambda reader, field: reader.text(field.key, reader.text(other)))


def choice(*options: str) -> Kind:
    """Return the kind that allows one of these words."""
    return Kind(
        {"enum": options}, either(options), lambda reader, field: reader.choice(field.key, options, field.default)
    )


def matching(pattern: str, what: str) -> Kind:
    """Return the kind of a text or a number that matches all of `pattern`; `what` names it."""
    schema = {"type": ["string", "number"], "pattern": anchored(pattern), "minimum": 0}
    return Kind(schema, "number or text", lambda reader, field: reader.matches(field.key, pattern, what))


def whole(low: int, high: int) -> Kind:
    """Return the kind of a whole number."""
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(
        schema, f"{low:,} to {high:,}", lambda reader, field: reader.whole(field.key, field.default, low=low, high=high)
    )


def seconds(low: float, high: int) -> Kind:
    """Return the kind of a time in seconds."""
    schema = {"type": "number", "minimum": low, "maximum": high}
    return Kind(schema, "seconds", lambda reader, field: reader.number(field.key, field.default, low=low, high=high))


def one(shape: Shape, absent: Any, read: Callable[[Reader], Any] | None = None) -> Kind:
    """Return the kind of a mapping; `absent` is its default."""

    def value(reader: Reader, field: Field) -> Any:
        inner = reader.inner(field.key)
        found = (read or shape.read)(inner) if inner else None
        return absent if found is None else found

    return Kind(shape, "mapping", value)


def listed(shape: Shape, read: Callable[[Reader], Any] | None = None) -> Kind:
    """Return the kind of a list of mappings."""
    schema = {"type": "array", "items": shape}
    return Kind(schema, "list", lambda reader, field: read_all(reader.items(field.key), read or shape.read))


TITLE = Field("title", TEXT, "What people see instead of the name.")
