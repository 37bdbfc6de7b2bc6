"""Reads a command line of Python: what belongs to the interpreter, what it runs, and what the program gets. Pure."""

from __future__ import annotations

import re
from posixpath import basename
from typing import NamedTuple

PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
ALONE = frozenset("bBdEIOPqRsStu")  # options that a template process can be started with as well
WITH_VALUE = frozenset("WX")
LONG_WITH_VALUE = "--check-hash-based-pycs"


class Command(NamedTuple):
    """A Python that runs a program."""

    python: str
    options: tuple[str, ...]  # of the interpreter
    kind: str  # script | module | code
    target: str  # the path, the name or the text of the program
    arguments: tuple[str, ...]  # of the program


def read(words: tuple[str, ...]) -> Command | str:
    """Return what a command line says, or why the program cannot be forked from a template process."""
    if not words or not PYTHON.fullmatch(basename(words[0])):
        return f"'{basename(words[0]) if words else ''}' is not a Python"
    at = 1
    while at < len(words):
        word = words[at]
        if word in (LONG_WITH_VALUE, "--"):
            at += 2 if word == LONG_WITH_VALUE else 1
            if word == "--":
                return _script(words, at, words[1 : at - 1])
            continue
        if word == "-" or word.startswith("--"):
            return f"'python {word}' cannot be started warm"
        if not word.startswith("-"):
            return _script(words, at, words[1:at])
        found = _option(words, at)
        if not isinstance(found, int):
            return found
        at += found
    return "Python has no program to run"


def _script(words: tuple[str, ...], at: int, options: tuple[str, ...]) -> Command | str:
    if at >= len(words):
        return "Python has no program to run"
    return Command(words[0], options, "script", words[at], words[at + 1 :])


def _option(words: tuple[str, ...], at: int) -> int | Command | str:
    """Read one word of options; return how many words they take, or the program that the last of them names."""
    word = words[at]
    for place, letter in enumerate(word[1:], start=1):
        value = word[place + 1 :]
        if letter in ALONE:
            continue
        if letter in WITH_VALUE:
            return 1 if value else 2
        if letter not in "cm":
            return f"'python -{letter}' cannot be started warm"
        after = at + 1 if value else at + 2
        if after > len(words):
            return "Python has no program to run"
        before = words[1:at] if place == 1 else (*words[1:at], word[:place])
        kind = "code" if letter == "c" else "module"
        return Command(words[0], before, kind, value or words[at + 1], words[after:])
    return 1
