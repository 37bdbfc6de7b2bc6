"""Reads a requirements.txt: all that decides what pip will install because of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.errors import InvalidInput

COMMENT = re.compile(r"(^|\s+)#.*$")
CONTINUED = re.compile(r"\\\n")
REFERENCE = re.compile(r"(-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S.*)")
EDITABLE = re.compile(r"(-e|--editable)[\s=]+(?P<path>\S+)")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
EXTRAS = re.compile(r"\[[^\]]*\]$")
ADDRESS = re.compile(r"\S+://\S+")
ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz")
METADATA = ("pyproject.toml", "setup.py", "setup.cfg")  # of an editable package; the rest of it is used where it is
PASSED_OVER = re.compile(r"\.git|\.hg|__pycache__|\.?venv|build|.*\.egg-info|\.tox|\.\w+_cache|\.fabric-jobs")
SUMMARY_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a requirements.txt asks for."""

    path: Path
    summary: str  # its first words, for people; no addresses, which may hold passwords
    text: str  # all that decides what is installed, as far as it is on this machine


def read(path: Path, variables: Mapping[str, str]) -> Requirements:
    """Return what a file asks for, those that it refers to included; `variables` are those of the attempt.

    Raises InvalidInput when one of them cannot be read.
    """
    text = "\n".join(_resolved(path, path.parent, variables, ()))
    return Requirements(path=path, summary=_summary(path.read_text(errors="replace")), text=text)


def _lines(text: str) -> list[str]:
    lines = (COMMENT.sub("", line).strip() for line in CONTINUED.sub(" ", text).splitlines())
    return [line for line in lines if line]


def _summary(text: str) -> str:
    words = ", ".join(ADDRESS.sub("…", line) for line in _lines(text) if not line.startswith("--"))
    return words if len(words) <= SUMMARY_LENGTH else f"{words[: SUMMARY_LENGTH - 1]}…"


def _resolved(path: Path, directory: Path, variables: Mapping[str, str], above: tuple[Path, ...]) -> Iterator[str]:
    """Yield the lines of a file with what stands behind their references. pip runs in `directory`."""
    if path in above:
        return
    try:
        lines = _lines(path.read_text(errors="replace"))
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}" + (f"; {above[-1]} refers to it." if above else "."),
            hint="Correct the line that begins with -r or -c.",
        ) from error
    for line in lines:
        line = VARIABLE.sub(lambda found: variables.get(found[1], found[0]), line)
        yield line
        reference = REFERENCE.fullmatch(line)
        if reference and "://" not in line:
            inner = Path(os.path.normpath(path.parent / reference["path"].strip("\"'")))
            yield from _resolved(inner, directory, variables, (*above, path))
            yield "end"
        elif editable := EDITABLE.match(line):
            yield from _editable(directory / EXTRAS.sub("", editable["path"]))
        else:
            yield from _local(line, {path.parent, directory})


def _editable(package: Path) -> Iterator[str]:
    if package.is_dir():
        yield str(package.resolve())  # the environment refers to it
        yield from (_stamp(package / name, name) for name in METADATA if (package / name).is_file())


def _local(line: str, bases: set[Path]) -> Iterator[str]:
    """Yield what changes when a file or directory that a line names changes."""
    is_directory = line.startswith(("-f", "--find-links"))
    for word in re.split(r"[\s=]+", line):
        word = EXTRAS.sub("", word.removeprefix("file://"))
        is_path = is_directory or "/" in word or word.startswith(".") or word.endswith(ARCHIVES)
        if not is_path or not word or "://" in word:
            continue
        for base in sorted(bases):
            found = base / word
            if found.is_file():
                yield _stamp(found, "")
            elif found.is_dir():
                yield from _tree(found)


def _tree(directory: Path) -> Iterator[str]:
    for place, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not PASSED_OVER.fullmatch(folder))
        for name in sorted(files):
            path = Path(place) / name
            yield _stamp(path, str(path.relative_to(directory)))


def _stamp(path: Path, name: str) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{name} gone"
    return f"{name} {found.st_size} {found.st_mtime_ns}"
