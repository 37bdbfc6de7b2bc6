"""Finds out how a shell command of an image or a Dockerfile gets its arguments. Pure."""

from __future__ import annotations

import re
from posixpath import basename

SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "zsh"})
TEXT_OPTION = re.compile(r"-\w*c")
WITH_VALUE = frozenset({"-o", "+o", "-O", "+O"})
QUOTED = re.compile(r"""\\.|'[^']*'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
SUBSTITUTED = re.compile(r"\$\([^()]*\)|`[^`]*`|\d*[<>]&[\d-]")  # parts of one command, like 2>&1
NOT_SIMPLE = re.compile(
    r"[|&;(){}\n]|<<|(?:^|\s)#"
)  # several commands, or a comment, which would swallow appended words
OWN_NAME = re.compile(r"\$\{?0(?!\d)")
PARAMETER = re.compile(r"\$(?:\{#?)?[@*#1-9]")
LOST = 'this shell command does not get the message: write "$@" where it belongs, or read the variable CORTEX_PAYLOAD'


def text_at(words: tuple[str, ...]) -> int | None:
    """Return the index of the text that follows a shell's `-c`; None if there is none."""
    shell = next((at for at, word in enumerate(words) if basename(word) in SHELLS), None)
    if shell is None:
        return None
    for at in range(shell + 1, len(words) - 1):
        if TEXT_OPTION.fullmatch(words[at]):
            return at + 1
        if words[at][:1] not in ("-", "+") and words[at - 1] not in WITH_VALUE:
            return None  # a script; the other words are its arguments
    return None


def with_arguments(words: tuple[str, ...], arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return a program with its arguments. A shell command gets them as "$0" and on, as in `docker run`, or as "$@".

    If it uses neither and is a single command, they become its last words.
    """
    at = text_at(words)
    if at is None or at != len(words) - 1 or not arguments:
        return (*words, *arguments)
    if OWN_NAME.search(_expanded(words[at])):
        return (*words, *arguments)
    # Otherwise "$0" is `sh`: a shell begins its errors with "$0", and would reveal the token of a message there.
    if loses_arguments(words) or PARAMETER.search(_expanded(words[at])):
        return (*words, "sh", *arguments)
    return (*words[:at], f'{words[at]} "$@"', "sh", *arguments)


def loses_arguments(words: tuple[str, ...]) -> bool:
    """Tell whether a shell command consists of several commands, none of which uses the arguments."""
    at = text_at(words)
    if at is None or at != len(words) - 1:
        return False
    bare = SUBSTITUTED.sub("", QUOTED.sub("", words[at]))
    # The braces of a variable do not make a group.
    is_simple = not NOT_SIMPLE.search(re.sub(r"\$\{[^{}]*\}", "", bare))
    return not (is_simple or OWN_NAME.search(_expanded(words[at])) or PARAMETER.search(_expanded(words[at])))


def _expanded(text: str) -> str:
    """Return the parts of a text that the shell expands, without single-quoted and escaped ones."""
    return QUOTED.sub(lambda found: re.sub(r"\\.", "", found[1]) if found[1] is not None else "", text)
