"""Chooses the files of a project that are sent with its API file, and packs them (docs/howto/deploy-apis.md#project-files)."""

from __future__ import annotations

import os
import stat
import uuid
import zipfile
from typing import IO, TYPE_CHECKING, NamedTuple

from .refused import Refused

ENVIRONMENT_FILE = ".env"  # the only file that is sent although its name begins with a dot
IGNORE_FILE = ".cortexignore"
DEBUGGING = "cortex-debug-"
BYTECODE = (".pyc", ".pyo", ".pyd")
SINCE = (1980, 1, 1, 0, 0, 0)  # the time of all files in an archive, so that equal files make equal archives
PART_BYTES = 1 << 18
FILE_LIMIT, PROJECT_LIMIT = "files.file_size_limit", "files.project_size_limit"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ignore = Callable[[str], bool]  # takes a path relative to the project; that of a directory ends in a slash


class ProjectFile(NamedTuple):
    """One file to send."""

    name: str  # relative to the project, with slashes
    path: str
    size: int  # bytes


class ProjectFiles(NamedTuple):
    """The files of a project."""

    files: tuple[ProjectFile, ...]  # by name
    skipped: tuple[str, ...]  # names of what is neither a file nor a directory, and of links to directories

    @property
    def counted(self) -> list[ProjectFile]:
        """The files that count for the limit."""
        return [file for file in self.files if file.name != ENVIRONMENT_FILE]

    @property
    def size(self) -> int:
        """The bytes that count for the limit."""
        return sum(file.size for file in self.counted)


def nothing_ignored(name: str) -> bool:
    """Ignore nothing."""
    return False


def project_files(config: str, ignored: Ignore = nothing_ignored) -> ProjectFiles:
    """Return the files beside an API file, and below; raise Refused.

    Left out are the API file itself, names that begin with `.` or `cortex-debug-`, Python bytecode, and what `ignored` says.
    The `.env` of the project is always among them.
    """
    root = os.path.dirname(os.path.abspath(config))
    if os.path.realpath(root) in (os.sep, os.path.realpath(os.path.expanduser("~"))):
        raise Refused(
            "cli.deploy_from_top_level_dir",
            f"{root} holds far more than one project, so its files are not sent.",
            "Move the API file into a directory of its own.",
        )
    files: list[ProjectFile] = []
    skipped: list[str] = []
    _walk(root, "", _Rules(os.path.abspath(config), ignored), (files, skipped))
    environment = os.path.join(root, ENVIRONMENT_FILE)
    if os.path.isfile(environment):
        files.append(ProjectFile(ENVIRONMENT_FILE, environment, os.stat(environment).st_size))
    return ProjectFiles(tuple(sorted(files)), tuple(sorted(skipped)))


def check_size(project: ProjectFiles, limit: int) -> None:
    """Raise Refused if a file, or all files together, have more than `limit` bytes."""
    for file in project.counted:
        if file.size > limit:
            raise Refused(
                FILE_LIMIT,
                f"{file.name} has {file.size:,} bytes, over the limit of {limit:,} for a project.",
                f"Leave it out with a line in {IGNORE_FILE}, or raise FABRIC_JOBS_PROJECT_BYTES, here and for the gateway.",
            )
    if project.size > limit:
        largest = sorted(project.counted, key=lambda file: -file.size)[:3]
        names = ", ".join(f"{file.name} ({file.size:,})" for file in largest)
        raise Refused(
            PROJECT_LIMIT,
            f"the project has {project.size:,} bytes, over the limit of {limit:,}. The largest files: {names}.",
            f"Leave files out with {IGNORE_FILE}, or raise FABRIC_JOBS_PROJECT_BYTES, here and for the gateway.",
        )


def pack(project: ProjectFiles, target: IO[bytes]) -> None:
    """Write the files as a zip archive; raise Refused for one that cannot be read."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in project.files:
            try:
                _add(archive, file)
            except UnicodeEncodeError:
                raise Refused("files.name", f"the name of {file.path!r} is not UTF-8.", "Rename the file.") from None
            except OSError as error:
                raise unreadable(file.path, error) from error


def form(config: bytes, archive: IO[bytes] | None) -> tuple[str, int, Iterator[bytes]]:
    """Return an API file and the archive of its project as a form: content type, number of bytes, and the bytes."""
    boundary = uuid.uuid4().hex
    before = _head(boundary, "config", "cortex.yaml") + config + b"\r\n"
    size = 0
    if archive is not None:
        before += _head(boundary, "project.zip", "project.zip")
        size = archive.seek(0, os.SEEK_END)
        archive.seek(0)
    after = (b"\r\n" if archive is not None else b"") + f"--{boundary}--\r\n".encode()

    def parts() -> Iterator[bytes]:
        yield before
        while archive is not None:
            part = archive.read(PART_BYTES)
            if not part:
                break
            yield part
        yield after

    return f"multipart/form-data; boundary={boundary}", len(before) + size + len(after), parts()


def unreadable(path: str, error: OSError) -> Refused:
    """Return the error for a file that cannot be read."""
    hint = f"Make it readable, or leave it out with {IGNORE_FILE}."
    return Refused("files.read", f"{path} cannot be read: {error.strerror or error}.", hint)


class _Rules(NamedTuple):
    config: str  # absolute path of the API file
    ignored: Ignore


def _walk(directory: str, above: str, rules: _Rules, found: tuple[list[ProjectFile], list[str]]) -> None:
    files, skipped = found
    try:
        with os.scandir(directory) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(directory, error) from error
    for entry in ordered:
        name = above + entry.name
        if entry.path == rules.config or _is_left_out(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not rules.ignored(name + "/"):
                _walk(entry.path, name + "/", rules, found)
            continue
        if rules.ignored(name):
            continue
        try:
            status = entry.stat()
        except OSError as error:  # a broken link
            raise unreadable(entry.path, error) from error
        if stat.S_ISREG(status.st_mode):
            files.append(ProjectFile(name, entry.path, status.st_size))
        else:
            skipped.append(name)


def _is_left_out(name: str) -> bool:
    return name.startswith((".", DEBUGGING)) or name == "__pycache__" or name.endswith(BYTECODE)


def _add(archive: zipfile.ZipFile, file: ProjectFile) -> None:
    with open(file.path, "rb") as source:
        is_program = os.fstat(source.fileno()).st_mode & stat.S_IXUSR
        member = zipfile.ZipInfo(file.name, SINCE)
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = (stat.S_IFREG | (0o755 if is_program else 0o644)) << 16
        with archive.open(member, "w", force_zip64=file.size >= 1 << 31) as target:
            while True:
                part = source.read(PART_BYTES)
                if not part:
                    return
                target.write(part)


def _head(boundary: str, name: str, file: str) -> bytes:
    lines = (
        f"--{boundary}",
        f'Content-Disposition: form-data; name="{name}"; filename="{file}"',
        "Content-Type: application/octet-stream",
        "",
        "",
    )
    return "\r\n".join(lines).encode()
