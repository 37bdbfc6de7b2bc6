"""Parses the text of a Dockerfile as Docker does: instructions, words, quotes and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

HEREDOC = r"""<<-?(["']?)(\w+)\1"""
WITH_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


class Instruction(NamedTuple):
    """One instruction."""

    line: int  # where it begins, from 1
    keyword: str  # in capitals
    rest: str  # joined to one line


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile without comments. A backslash at the end of a line continues it."""
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), start=1)
    for number, line in lines:
        if _is_empty(line):
            continue
        parts = [line]
        while parts[-1].rstrip(" \t").endswith("\\"):
            parts[-1] = parts[-1].rstrip(" \t")[:-1] + " "
            following = next((later for _, later in lines if not _is_empty(later)), None)
            if following is None:
                break
            parts.append(following)
        keyword, _, rest = "".join(parts).strip().partition(" ")
        if "<<" in rest and keyword.upper() in WITH_HEREDOC:
            for end in re.findall(HEREDOC, rest):
                _skip(lines, end[1])
        yield Instruction(line=number, keyword=keyword.upper(), rest=rest.strip())


def _is_empty(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _skip(lines: Iterator[tuple[int, str]], end: str) -> None:
    for _, line in lines:
        if line.strip() == end:
            return


def listed(rest: str) -> tuple[str, ...] | None:
    """Return the words of the JSON form; None for the shell form."""
    try:
        words = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return tuple(words) if is_list else None


def flags_and_rest(rest: str) -> tuple[dict[str, str], str]:
    """Return the leading flags, such as `--from=build`, and the text after them."""
    flags: dict[str, str] = {}
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        name, _, value = flag[2:].partition("=")
        flags[name] = value
        rest = rest.strip()
    return flags, rest


def split(rest: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a line, with quotes removed and variables expanded."""
    return tuple(_lexed(rest, variables, whole=False))


def expand(rest: str, variables: Mapping[str, str]) -> str:
    """Return a line as one word, with quotes removed and variables expanded."""
    return "".join(_lexed(rest, variables, whole=True))


def _lexed(rest: str, variables: Mapping[str, str], *, whole: bool) -> Iterator[str]:
    word: str | None = None
    quote = ""
    at = 0
    while at < len(rest):
        char = rest[at]
        if char.isspace() and not quote and not whole:
            if word is not None:
                yield word
            word, at = None, at + 1
            continue
        length, piece = 1, char
        if char == quote or (char in "\"'" and not quote):
            quote, piece = ("" if char == quote else char), ""
        elif char == "\\" and quote != "'" and at + 1 < len(rest):
            length, piece = 2, rest[at + 1]
        elif char == "$" and quote != "'":
            length, piece = _variable(rest[at:], variables)
        word = (word or "") + piece
        at += length
    if word is not None:
        yield word


def _variable(text: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Return length and value of the variable at the start of a text. A lone `$` stands for itself."""
    braced = text.startswith("${")
    end = text.find("}") if braced else len(text)
    inner = text[2 if braced else 1 : end]
    name = inner[: next((at for at, char in enumerate(inner) if not (char.isalnum() or char == "_")), len(inner))]
    if not name or end < 0:
        return 1, "$"
    value = variables.get(name, "")
    if not braced:
        return 1 + len(name), value
    operator, other = inner[len(name) :][:2], inner[len(name) :][2:]
    if operator in (":-", ":+"):
        return end + 1, (value or expand(other, variables)) if operator == ":-" else (
            value and expand(other, variables)
        )
    return end + 1, value
