"""`environmentVariables`: a string of comma-separated `"K"="V"` pairs, or a mapping.

See docs/reference/compatibility.md#environment-variables-in-one-text.
"""

from __future__ import annotations

import re

from fabric_jobs.documents.fields import Field, Kind, anchored
from fabric_jobs.documents.reader import Reader

# Inside quotes a backslash escapes a quote or a backslash; anywhere else it is literal.
PAIR = r"""(?xs)\s* (?: "(?P<quoted_name>(?:[^"\\]|\\.)*)" | (?P<name>[^"=,]*) )
        \s* = \s* (?: "(?P<quoted_value>(?:[^"\\]|\\.)*)" | (?P<value>[^",]*) ) \s* (?:,|$)"""
ESCAPE = r'\\(["\\])'
NAME = r"[A-Za-z_.][A-Za-z0-9_.-]*"
VARIABLE = rf'\s*("{NAME}"|{NAME})\s*=\s*("(\\.|[^"\\])*"|[^",]*)\s*'


def _environment(reader: Reader, field: Field) -> dict[str, str]:
    inner = reader.inner(field.key)
    if inner is None:
        return {}
    if isinstance(inner.node.value, str):
        return _from_text(inner, inner.node.value)
    if not inner.is_mapping({key for key, _ in inner.entries()}):
        return {}
    for name, _ in inner.entries():
        if not re.fullmatch(NAME, name):
            inner.at_key(_bad_name(name), name)
    return {name: _value(name, value) for name, value in inner.entries()}


def _value(name: str, reader: Reader) -> str:
    """Return the value of a variable. Posted JSON may have numbers; a file may not, because 1.10 would become 1.1."""
    if reader.node.value is None:
        return ""
    written = reader.node.written
    if written:
        kind = "a boolean" if isinstance(reader.node.value, bool) else "a number"
        reader.error(f'{written} is {kind}, but a variable must be text; put it in quotes: {name}: "{written}"')
        return written
    return reader.as_text()


def _from_text(reader: Reader, text: str) -> dict[str, str]:
    try:
        pairs = parse_environment(text)
    except ValueError as error:
        reader.error(str(error))
        return {}
    variables = dict(pairs)
    for name in variables:
        if not re.fullmatch(NAME, name):
            reader.error(_bad_name(name))
    if len(variables) < len(pairs):
        reader.error("a variable is set twice")
    return variables


def _bad_name(name: str) -> str:
    return f"'{name}' is not a valid variable name: it may have letters, digits, '_', '.' and '-', and must not start with a digit"


def parse_environment(text: str) -> list[tuple[str, str]]:
    """Return the pairs of `"K"="V","K2"="V2"` (quotes are optional); raise ValueError with the place of an error."""
    pairs = []
    position = 0
    while text[position:].strip():
        match = re.compile(PAIR).match(text, position)
        if not match:
            raise ValueError(
                f'expected "NAME"="value" pairs joined by commas, but found: {text[position:].strip()[:40]}'
            )
        pairs.append((_part(match, "quoted_name", "name"), _part(match, "quoted_value", "value")))
        position = match.end()
    return pairs


def _part(match: re.Match[str], quoted: str, bare: str) -> str:
    if match[quoted] is not None:
        return re.sub(ESCAPE, r"\1", match[quoted])
    return str(match[bare]).strip()


ENVIRONMENT = Kind(
    {
        "anyOf": [
            {"type": "string", "pattern": rf"^(\s*|{VARIABLE}(,{VARIABLE})*,?\s*)$"},
            {
                "type": "object",
                "propertyNames": {"pattern": anchored(NAME)},
                "additionalProperties": {"type": ["string", "null"]},
            },
        ]
    },
    "text or mapping",
    _environment,
)
