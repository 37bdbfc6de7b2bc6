"""YAML text → a document, with the position of every key and value."""

from __future__ import annotations

import re
from typing import Any

from fabric_jobs.documents.composer import Composer
from fabric_jobs.documents.nodes import Document, Position, broken

SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e]")
NOT_PRINTABLE = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
# What the two parsers of PyYAML say, and what an author can do about it. The first match wins.
PLAIN_WORDS = (
    ("mapping values are not allowed", "unexpected ':'; put text that contains ': ' in quotes"),
    ("tab character", "a tab indents this line; indent with spaces"),
    ("'\\t'", "unexpected tab; use spaces"),
    ("block sequence entries", "a list cannot begin on the line of its key; begin it on the next one"),
    ("cannot start any token", "a value cannot start with this character; put the value in quotes"),
    ("could not find expected ':'", "this line has no ':' after its key"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("or ']'", "a '[' is not closed, or a ',' is missing"),
    ("or '}'", "a '{' is not closed, or a ',' is missing"),
    ("did not find expected", "the indentation does not fit the lines above, or a bracket is not closed"),
    ("expected <block end>", "the indentation does not fit the lines above"),
)


def read(text: str, file: str) -> Document:
    """Return the one document of `text`; raise InvalidDefinition, with line and column in `file`, if it is not YAML."""
    import yaml  # late: the owner reads only JSON, and must start fast

    text = text.removeprefix("\ufeff")
    # Most files are plain ASCII, and the larger set takes 5 ms to compile.
    character = NOT_PLAIN.search(text) and re.search(NOT_PRINTABLE, text)
    if character:
        place = _place_at(text, character.start())
        raise broken(
            file,
            place,
            f"the file contains the character U+{ord(character[0]):04X}, which is not allowed in text; remove it",
        )
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return Composer(yaml.parse(_json_as_yaml(text), Loader=loader), file).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise broken(file, place, _tab_at(text, place) or _in_plain_words(error.problem or "")) from None
    except ValueError as error:  # the parser without libyaml, for an escape that is not a character
        raise broken(file, Position(1, 1), _in_plain_words(str(error))) from None


def _json_as_yaml(text: str) -> str:
    """Return JSON text without what YAML reads differently: tabs, and characters written as two escapes."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    return SURROGATES.sub(_join_surrogates, text.replace("\t", " "))


def _join_surrogates(match: re.Match[str]) -> str:
    pair = chr(int(match[2], 16)) + chr(int(match[3], 16))
    return match[1] + pair.encode("utf-16", "surrogatepass").decode("utf-16")


def _tab_at(text: str, place: Position) -> str:
    """Return the message for a tab at a position, which the two parsers report differently; empty if there is no tab."""
    line = "".join(text.splitlines()[place.line - 1 : place.line])
    if line[place.column - 1 : place.column] != "\t" and "\t" not in line[: len(line) - len(line.lstrip())]:
        return ""
    is_indent = not line[: place.column - 1].strip()
    return _in_plain_words("tab character" if is_indent else "'\\t'")


def _in_plain_words(problem: str) -> str:
    return "the file is not YAML: " + next((words for sign, words in PLAIN_WORDS if sign in problem), problem)


def _place_at(text: str, offset: int) -> Position:
    before = text[:offset]
    return Position(before.count("\n") + 1, offset - before.rfind("\n"))
