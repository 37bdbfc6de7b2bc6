"""Reads out of a Dockerfile what the local executor honours: the program, and where the files go."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SCUTTLE = "scuttle"  # waits for a service mesh; a local job has none


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """What a Dockerfile says about the program of its last stage."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()  # image paths that hold the whole action's directory

    def program(self, directory: Path) -> tuple[str, ...]:
        """Return the program with image paths replaced by those of `directory`; empty when the file names none."""
        words = (*self.entrypoint, *self.command) if self.entrypoint else self.command
        if words and PurePosixPath(words[0]).name == SCUTTLE:
            words = words[1:]
        return tuple(self._local(word, directory) for word in words)

    def _local(self, word: str, directory: Path) -> str:
        for path in self.directories:
            if word == path or word.startswith(path.rstrip("/") + "/"):
                return str(directory / word[len(path) :].lstrip("/"))
        return word


def read(text: str) -> Dockerfile:
    """Parse the text of a Dockerfile; what is not understood is passed over."""
    found = Dockerfile()
    for keyword, rest in _instructions(text):
        if keyword == "FROM":
            found = Dockerfile()
        elif keyword == "ENTRYPOINT":
            found = Dockerfile(entrypoint=_words(rest), command=found.command, directories=found.directories)
        elif keyword == "CMD":
            found = Dockerfile(entrypoint=found.entrypoint, command=_words(rest), directories=found.directories)
        elif keyword in ("ADD", "COPY"):
            directories = (*found.directories, *_whole_directory(rest))
            found = Dockerfile(entrypoint=found.entrypoint, command=found.command, directories=directories)
    return found


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    parts = [line.strip().split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(part[0].upper(), part[1] if len(part) > 1 else "") for part in parts]


def _words(rest: str) -> tuple[str, ...]:
    try:
        words = json.loads(rest)
    except ValueError:
        words = None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    # The shell form gets the message as "$0 …" in Docker and loses it; here it is the last argument, as everywhere.
    return ("/bin/sh", "-c", f'{rest} "$@"', "sh") if rest else ()


def _whole_directory(rest: str) -> tuple[str, ...]:
    words = [word for word in rest.split() if not word.startswith("--")]
    if len(words) == 2 and words[0] in (".", "./") and "--from" not in rest:
        return (words[1],)
    return ()
