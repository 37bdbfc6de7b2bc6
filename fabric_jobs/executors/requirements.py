"""Reads a requirements.txt as pip does, with everything that decides what pip installs."""

from __future__ import annotations

import codecs
import errno
import locale
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fabric_jobs.errors import InvalidInput
from fabric_jobs.user_files import UTF_8, mark_of, read_bytes

ENCODING = re.compile(rb"coding[:=]\s*([-\w.]+)")  # in a comment on one of the first two lines
COMMENT = re.compile(r"(^|\s+)#.*$")
REFERENCE = re.compile(r"(-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S.*)")
EDITABLE = re.compile(r"(-e|--editable)[\s=]+(?P<path>\S+)")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
EXTRAS = re.compile(r"\[[^\]]*\]$")
ADDRESS = re.compile(r"\S+://\S+")
ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz")
METADATA = ("pyproject.toml", "setup.py", "setup.cfg")  # of an editable package, whose code is used in place
PASSED_OVER = re.compile(r"\.git|\.hg|__pycache__|\.?venv|build|.*\.egg-info|\.tox|\.\w+_cache|\.fabric-jobs")
SUMMARY_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a requirements.txt asks for."""

    path: Path
    summary: str  # its first words, for people, without URLs, which may contain passwords
    text: str  # all that decides what is installed and is on this machine


def read(path: Path, variables: Mapping[str, str]) -> Requirements:
    """Return the requirements of a file and of those it refers to; `variables` are the attempt's.

    Raises InvalidInput if one of them is unreadable.
    """
    lines = _lines_of(path, ())
    text = "\n".join(_resolved(path, path.parent, variables, ()))
    return Requirements(path=path, summary=_summary(lines), text=text)


def _lines_of(path: Path, above: tuple[Path, ...]) -> list[str]:
    try:
        return _lines(_decoded(read_bytes(path)))
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}" + (f"; {above[-1]} refers to it." if above else "."),
            hint="Correct the line that begins with -r or -c." if above else "",
        ) from error


def _decoded(data: bytes) -> str:
    """Decode a file as pip does. Where pip would fail, raise an OSError that names the encoding."""
    mark, encoding = mark_of(data)
    declared = None if mark else next(filter(None, map(ENCODING.search, _first_comments(data))), None)
    if declared is not None:
        encoding = declared[1].decode("ascii")
    elif mark and encoding != UTF_8:
        mark = b""  # the decoders of UTF-16 and UTF-32 need to see it
    try:
        text = _as_utf8_or_locale(data) if not encoding else data[len(mark) :].decode(encoding)
    except LookupError:
        raise OSError(errno.EILSEQ, f"it declares the encoding {encoding}, which Python does not know") from None
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, f"it is not valid {error.encoding} from byte {error.start:,} on") from None
    if "\0" in text:
        raise OSError(errno.EILSEQ, "it is UTF-16 without a byte order mark, or not text; save it as UTF-8")
    return text


def _first_comments(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n", 2)[:2] if line.startswith(b"#")]


def _as_utf8_or_locale(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        other = locale.getencoding()
        if codecs.lookup(other).name == "utf-8":
            raise
        return data.decode(other)


def _lines(text: str) -> list[str]:
    """Return the lines without comments and blank ones. A backslash at the end of a line continues it."""
    lines: list[str] = []
    begun = ""
    for line in text.splitlines():
        is_comment = COMMENT.match(line) is not None
        if line.endswith("\\") and not is_comment:
            begun += line.strip("\\")
            continue
        # A comment ends a continued line. The space before it makes it recognisable as a comment.
        lines.append(begun + (f" {line}" if is_comment else line))
        begun = ""
    lines.append(begun)
    return [line for line in (COMMENT.sub("", line).strip() for line in lines) if line]


def _summary(lines: list[str]) -> str:
    words = ", ".join(ADDRESS.sub("…", line) for line in lines if not line.startswith("--"))
    return words if len(words) <= SUMMARY_LENGTH else f"{words[: SUMMARY_LENGTH - 1]}…"


def _resolved(path: Path, directory: Path, variables: Mapping[str, str], above: tuple[Path, ...]) -> Iterator[str]:
    """Yield the lines of a file, with references resolved. pip runs in `directory`."""
    if path in above:
        return
    for line in _lines_of(path, above):
        line = VARIABLE.sub(lambda found: variables.get(found[1], found[0]), line)
        yield line
        reference = REFERENCE.fullmatch(line)
        inner = _inner(path, reference["path"].strip("\"'")) if reference else None
        if inner is not None:
            yield from _resolved(inner, directory, variables, (*above, path))
            yield "end"
        elif editable := EDITABLE.match(line):
            yield from _editable(directory / EXTRAS.sub("", editable["path"]))
        else:
            yield from _local(line, {path.parent, directory})


def _inner(path: Path, reference: str) -> Path | None:
    """Return the file that a line of another file refers to; None if it is not on this machine."""
    parts = urlsplit(reference)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return None if "://" in reference else Path(os.path.normpath(path.parent / reference))


def _editable(package: Path) -> Iterator[str]:
    if package.is_dir():
        yield str(package.resolve())  # the environment points there
        yield from (_stamp(package / name, name) for name in METADATA if (package / name).is_file())


def _local(line: str, bases: set[Path]) -> Iterator[str]:
    """Yield text that changes whenever a file or directory named in a line does."""
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
