"""Reads from a Dockerfile what the local executor supports: program, variables, directory, and where files go."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from posixpath import basename, dirname, join, normpath
from types import MappingProxyType
from typing import NamedTuple

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import dockerfile_run
from fabric_jobs.executors.dockerfile_text import Instruction, expand, flags_and_rest, instructions, listed, split
from fabric_jobs.user_files import decoded, read_bytes

SCUTTLE = "scuttle"  # waits for a service mesh; a local job has none
SHELL = ("/bin/sh", "-c")
# Patterns, compiled when they are first used: most files need none of them.
PATH_IN_TEXT = r"(?<![\w.~$}/-])/[\w.@%+,/-]*"
# The image's libraries are not on this machine: pointing the loader at them would break every program here.
LOADER = ("LD_", "DYLD_", "GLIBC_TUNABLES", "GCONV_PATH", "PYTHONHOME")
ELSEWHERE = "the libraries it names exist only in the image"
SCUTTLE_IN_TEXT = r"^((?:exec\s+)?)(?:\S*/)?scuttle\s+"


class Remark(NamedTuple):
    """An instruction that has no effect where no image is built."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"Dockerfile line {self.line}: {self.text}"


class Copied(NamedTuple):
    """Files of the action's directory that are copied into the image."""

    source: str  # below the action's directory; empty: all of it; may have wildcards
    target: str  # their path in the image, or that of the directory around them
    into: bool  # the target is certainly a directory

    def local(self, path: str, directory: Path) -> Path | None:
        """Return the file of `directory` that is at `path` in the image; None if these files do not include it."""
        source = directory / self.source
        if not self.source or source.is_dir():
            inside = path == self.target or path.startswith(self.target.rstrip("/") + "/")
            return source / path[len(self.target) :].lstrip("/") if inside else None
        if path == self.target and not self.into:
            return source
        if dirname(path) == self.target and PurePosixPath(basename(path)).match(source.name):
            return source.parent / basename(path)
        return None


class Dockerfile(NamedTuple):
    """What a Dockerfile says about the program of its last stage."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    is_shell: bool = False  # the entrypoint is in shell form, which ignores CMD
    environment: Mapping[str, str] = MappingProxyType({})
    arguments: Mapping[str, str] = MappingProxyType({})
    shell: tuple[str, ...] = SHELL
    working_directory: str = ""
    copied: tuple[Copied, ...] = ()
    notes: tuple[Remark, ...] = ()

    def program(self, directory: Path) -> tuple[str, ...]:
        """Return the program with image paths replaced by those of `directory`; empty if the file names no program."""
        words = self.entrypoint if self.is_shell else (*self.entrypoint, *self.command)
        return self.local_words(words, directory)

    def local_words(self, words: tuple[str, ...], directory: Path) -> tuple[str, ...]:
        """Return a command line for use outside the image: without scuttle, and with paths below `directory`."""
        if words and basename(words[0]) == SCUTTLE:
            words = words[1:]
        if self.shell and words[: len(self.shell)] == self.shell and len(words) > len(self.shell):
            at = len(self.shell)
            text = re.sub(SCUTTLE_IN_TEXT, r"\1", words[at])
            text = re.sub(PATH_IN_TEXT, lambda found: _quoted(found[0], self._local(found[0], directory)), text)
            return (*words[:at], text, *words[at + 1 :])
        return tuple(self._local_word(word, directory) for word in words)

    def variables(self, directory: Path) -> dict[str, str]:
        """Return the variables of ENV without those of the loader, and with image paths replaced by those of `directory`."""
        return {
            name: ":".join(self._local(part, directory) for part in value.split(":"))
            for name, value in self.environment.items()
            if not name.startswith(LOADER)
        }

    def directory(self, directory: Path) -> Path:
        """Return where the program runs: WORKDIR if files were copied there, else `directory`."""
        if self.working_directory:
            for copied in reversed(self.copied):
                found = copied.local(self.working_directory, directory)
                if found is not None and found.is_dir():
                    return found
                if found is None and copied.source and copied.target == self.working_directory:
                    return (directory / copied.source).parent
        return directory

    def _local_word(self, word: str, directory: Path) -> str:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        return option + equals + self._local(value, directory)

    def _local(self, path: str, directory: Path) -> str:
        if not path.startswith("/"):
            return path
        found = [local for copied in reversed(self.copied) if (local := copied.local(normpath(path), directory))]
        return str(next((local for local in found if local.exists()), found[0])) if found else path


def _quoted(before: str, after: str) -> str:
    if before == after:
        return before
    import shlex  # late: only the shell form needs it

    return shlex.quote(after)


def read_file(path: Path) -> Dockerfile | None:
    """Parse a Dockerfile; return None if it is missing. Raise InvalidInput for one that Docker could not read either."""
    try:
        return read(decoded(read_bytes(path), errors="replace"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=256)
def read(text: str) -> Dockerfile:
    """Parse the text of a Dockerfile, and skip what is not understood."""
    stages: dict[str, Dockerfile] = {}
    name = ""
    arguments: dict[str, str] = {}  # ARGs before the first FROM
    found = Dockerfile()
    for instruction in instructions(text):
        if instruction.keyword == "FROM":
            stages[name] = found
            image, name = _stage(instruction, arguments, len(stages) - 1)
            noted = dockerfile_run.base_note(image)
            notes = (Remark(line=instruction.line, text=noted),) if noted else ()
            found = stages[image.lower()] if image.lower() in stages else Dockerfile(notes=notes)
        elif instruction.keyword == "ARG" and not stages:
            arguments |= _argument(instruction, arguments, {})
        elif instruction.keyword == "ARG":
            found = found._replace(arguments={**found.arguments, **_argument(instruction, found.arguments, arguments)})
        elif instruction.keyword in ("ADD", "COPY"):
            found = _with_files(found, instruction, stages)
        elif instruction.keyword in HANDLERS:
            found = HANDLERS[instruction.keyword](found, instruction)
    return found


def _stage(instruction: Instruction, arguments: dict[str, str], number: int) -> tuple[str, str]:
    """Return the base of a FROM, which is an image or an earlier stage, and the name of the new stage."""
    words = split(flags_and_rest(instruction.rest)[1], arguments)
    named = len(words) == 3 and words[1].upper() == "AS"
    return words[0] if words else "", words[2].lower() if named else str(number)


def _argument(instruction: Instruction, known: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in split(instruction.rest, {**outer, **known}))
    return {name: value if equals else known.get(name, outer.get(name, "")) for name, equals, value in pairs}


def _with_files(found: Dockerfile, instruction: Instruction, stages: dict[str, Dockerfile]) -> Dockerfile:
    flags, rest = flags_and_rest(instruction.rest)
    words = listed(rest) or split(rest, _known(found))
    if len(words) < 2 or "<<" in rest:
        return found
    *sources, last = words
    target = normpath(join("/", found.working_directory, last))
    into = last.endswith(("/", ".")) or len(sources) > 1
    copied: list[Copied] = []
    notes: list[Remark] = []
    for source in sources:
        if "from" in flags:
            inherited = _from_stage(stages.get(flags["from"].lower(), Dockerfile()), source, target)
            copied += inherited
            if not inherited and basename(source) != SCUTTLE:
                text = f"'{source}', which is copied from '{flags['from']}', is not created on this machine"
                notes.append(Remark(line=instruction.line, text=text))
        elif "://" in source or source.startswith("git@"):
            notes.append(Remark(line=instruction.line, text=f"'{source}' is not fetched on this machine"))
        else:
            path = normpath(source.lstrip("/") or ".")
            copied.append(Copied(source="" if path == "." else path, target=target, into=into))
    return found._replace(copied=(*found.copied, *copied), notes=(*found.notes, *notes))


def _from_stage(stage: Dockerfile, source: str, target: str) -> list[Copied]:
    """Return the files of the action's directory that another stage has at `source`, now at `target`."""
    path = normpath(join("/", source))
    found: list[Copied] = []
    for copied in stage.copied:
        if copied.target == path:
            found.append(copied._replace(target=target))
        elif path.startswith(copied.target.rstrip("/") + "/"):
            inner = path[len(copied.target) :].lstrip("/")
            found.append(copied._replace(source=join(copied.source, inner), target=target))
        elif copied.target.startswith(path.rstrip("/") + "/"):
            found.append(copied._replace(target=join(target, copied.target[len(path) :].lstrip("/"))))
    return found


def _known(found: Dockerfile) -> dict[str, str]:
    return {**found.arguments, **found.environment}


def _env(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    known = _known(found)
    first, _, rest = instruction.rest.partition(" ")
    if "=" in first:
        pairs = {name: value for name, _, value in (word.partition("=") for word in split(instruction.rest, known))}
    else:
        pairs = {first: expand(rest.strip(), known)} if first else {}
    loader = (name for name in pairs if name.startswith(LOADER))
    notes = (Remark(line=instruction.line, text=f"'{name}' is not set on this machine: {ELSEWHERE}") for name in loader)
    return found._replace(environment={**found.environment, **pairs}, notes=(*found.notes, *notes))


def _workdir(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    path = expand(instruction.rest, _known(found))
    return found._replace(working_directory=normpath(join("/", found.working_directory, path)))


def _entrypoint(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    words = listed(instruction.rest)
    return found._replace(entrypoint=_words(found, instruction), is_shell=words is None and bool(instruction.rest))


def _cmd(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    return found._replace(command=_words(found, instruction))


def _words(found: Dockerfile, instruction: Instruction) -> tuple[str, ...]:
    words = listed(instruction.rest)
    if words is not None:
        return words
    return (*found.shell, instruction.rest) if instruction.rest else ()


def _shell(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    return found._replace(shell=listed(instruction.rest) or found.shell)


def _run(found: Dockerfile, instruction: Instruction) -> Dockerfile:
    text = flags_and_rest(instruction.rest)[1]
    words = listed(text)
    noted = dockerfile_run.run_notes(" ".join(words) if words else text)
    return found._replace(notes=(*found.notes, *(Remark(line=instruction.line, text=each) for each in noted)))


# Others, such as USER, EXPOSE, VOLUME and LABEL, do not matter to a program that runs as a process of its user.
HANDLERS: dict[str, Callable[[Dockerfile, Instruction], Dockerfile]] = {
    "ENV": _env,
    "WORKDIR": _workdir,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "SHELL": _shell,
    "RUN": _run,
}
