"""Parses a command line of Python into interpreter options, program and arguments. Pure."""

from __future__ import annotations

import re
from posixpath import basename
from typing import NamedTuple

PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
ALONE = frozenset("bBdEIOPqRsStu")  # options that a template process can have, too
WITH_VALUE = frozenset("WX")
LONG_WITH_VALUE = "--check-hash-based-pycs"


class Command(NamedTuple):
    """A command line that runs a Python program."""

    python: str
    options: tuple[str, ...]  # of the interpreter
    kind: str  # script | module | code
    target: str  # the path, the name or the text of the program
    arguments: tuple[str, ...]  # of the program


def read(words: tuple[str, ...]) -> Command | str:
    """Return the parsed command line, or why its program cannot be forked from a template process."""
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
    """Parse one word of options. Return how many words it takes, the program that it names, or why it cannot be forked."""
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
