"""Content from and to files: whole directories, resumed by comparing hashes, with flat memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from fabric_jobs import names
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound, PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Disconnected

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

PART_BYTES = 256 << 10  # read and sent together
AGAIN = "Upload it again when nothing writes to it."
PAGE = 1000  # keys in one list
OCTETS = "application/octet-stream"

Progress = Callable[[int], None]  # takes how many more bytes are done; fewer than 0 when something begins anew


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One file and its key."""

    key: str
    path: Path
    size: int


def listed(gateway: Gateway, prefix: str, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the content whose keys begin with a prefix, by key."""
    after = ""
    while limit is None or limit > 0:
        page = gateway.get("/content", filter=prefix, after=after or None, limit=min(limit or PAGE, PAGE))
        yield from page
        limit = None if limit is None else limit - len(page)
        if len(page) < PAGE:
            return
        after = page[-1]["Key"]


def known(gateway: Gateway, key: str) -> dict[str, Any] | None:
    """Return what is stored under a key, or None."""
    return next((row for row in listed(gateway, key, limit=1) if row["Key"] == key), None)


def files_below(directory: Path, prefix: str) -> list[Transfer]:
    """Return all files below a directory, with their keys below a prefix; raise InvalidInput for a name that is no key."""
    found = []
    for place, places, files in os.walk(directory):
        places.sort()
        for name in sorted(files):
            path = Path(place) / name
            if path.is_file():
                key = names.content_key(f"{prefix}/{path.relative_to(directory).as_posix()}")
                found.append(Transfer(key=key, path=path, size=path.stat().st_size))
    return found


def upload(gateway: Gateway, transfer: Transfer, content_type: str, progress: Progress) -> dict[str, Any]:
    """Upload a file; begin anew when the gateway went away and came back. Raises InvalidInput if the file changes meanwhile."""

    def attempt() -> dict[str, Any]:
        with _opened(transfer.path) as file:
            size = os.fstat(file.fileno()).st_size
            sent = _Sent(file, progress, size)
            headers = {"content-type": content_type, "content-length": str(size)}
            try:
                return _post(gateway, transfer.key, sent, headers)
            except Disconnected:
                progress(-sent.size)
                raise

    return gateway.patiently(attempt)


def upload_stream(
    gateway: Gateway, key: str, stream: BinaryIO, content_type: str, progress: Progress
) -> dict[str, Any]:
    """Upload what can be read once only, such as standard input."""
    headers = {"content-type": content_type, "transfer-encoding": "chunked"}
    try:
        return _post(gateway, key, _Sent(stream, progress, None), headers)
    except Disconnected as error:
        raise PlaceUnavailable(
            f"the upload of '{key}' broke off: {error}.", hint="Nothing was stored. Type the command again."
        ) from error


def is_same(path: Path, row: dict[str, Any] | None) -> bool:
    """Tell whether a file has the bytes of stored content."""
    if row is None or not path.is_file() or path.stat().st_size != row["Size"]:
        return False
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == str(row["Sha256"])


def targets_below(rows: Iterable[dict[str, Any]], prefix: str, directory: Path) -> list[tuple[dict[str, Any], Path]]:
    """Return the path in a directory of each content below a prefix; raise InvalidInput for a key that leads out of it."""
    found = []
    for row in rows:
        key = names.content_key(row["Key"])  # without `..`: a gateway cannot write elsewhere
        found.append((row, directory / key.removeprefix(prefix)))
    return found


def check_targets(targets: Iterable[tuple[dict[str, Any], Path]], *, force: bool) -> list[tuple[dict[str, Any], Path]]:
    """Return those that are still to be downloaded; raise AlreadyExists if that would replace other bytes without `force`."""
    left = []
    for row, path in targets:
        if is_same(path, row):
            continue
        if path.is_dir() or (path.exists() and not force):
            raise AlreadyExists(
                f"{path} exists already, and differs from content '{row['Key']}'.",
                hint="Choose another place."
                if path.is_dir()
                else "Add --force to replace it, or choose another place.",
            )
        left.append((row, path))
    return left


def download(gateway: Gateway, row: dict[str, Any], path: Path, progress: Progress) -> None:
    """Download content to a file, which appears when it is complete; go on where an earlier download broke off."""
    partial = path.with_name(f".{row['Sha256'][:16]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        gateway.patiently(lambda: _fetch(gateway, row, partial, progress))
        partial.replace(path)
    except OSError as error:
        if isinstance(error, Disconnected):
            raise
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror or error}.", hint="Make room there, or choose another place."
        ) from error


def download_stream(gateway: Gateway, key: str, stream: BinaryIO, progress: Progress) -> None:
    """Write content to a stream, such as standard output; raise PlaceUnavailable when it breaks off."""
    try:
        with gateway.stream("GET", _path(key)) as answer:
            while part := answer.read(PART_BYTES):
                stream.write(part)
                progress(len(part))
        stream.flush()
    except Disconnected as error:
        raise PlaceUnavailable(
            f"the download of '{key}' broke off: {error}.", hint="Type the command again."
        ) from error


def delete(gateway: Gateway, key: str) -> bool:
    """Delete a key; return whether it existed."""
    try:
        gateway.raw("DELETE", _path(key))
    except NotFound:
        return False
    return True


class _Sent:
    """Yields `size` bytes of a file in parts, or all of it, and notes what was sent."""

    def __init__(self, file: BinaryIO, progress: Progress, size: int | None) -> None:
        self._wanted = size
        self.size = 0
        self.hash = hashlib.sha256()
        self._file = file
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        while part := self._file.read(PART_BYTES if self._wanted is None else min(PART_BYTES, self._left)):
            yield part
            self.hash.update(part)
            self.size += len(part)
            self._progress(len(part))
        if self._wanted is not None and self._left:
            raise InvalidInput(f"{self._file.name} became shorter while it was sent.", hint=AGAIN)

    @property
    def _left(self) -> int:
        return (self._wanted or 0) - self.size


def _post(gateway: Gateway, key: str, sent: _Sent, headers: dict[str, str]) -> dict[str, Any]:
    with gateway.stream("POST", _path(key), sent, headers) as stream:
        answer: dict[str, Any] = json.loads(stream.whole().body)
    if answer["sha256"] != sent.hash.hexdigest():
        raise InvalidInput(f"the bytes of '{key}' changed while they were sent.", hint=AGAIN)
    return answer


def _fetch(gateway: Gateway, row: dict[str, Any], partial: Path, progress: Progress) -> None:
    with open(partial, "a+b") as file:
        digest = hashlib.sha256()
        file.seek(0)
        while part := file.read(PART_BYTES):
            digest.update(part)
        at = file.tell()
        progress(at)
        done = at
        try:
            headers = {"range": f"bytes={at}-", "if-range": f'"{row["Sha256"]}"'} if 0 < at < row["Size"] else {}
            if at < row["Size"] or not at:
                with gateway.stream("GET", _path(row["Key"]), headers=headers) as answer:
                    if headers and answer.status != 206:
                        raise _changed(partial, row)
                    while part := answer.read(PART_BYTES):
                        file.write(part)
                        digest.update(part)
                        done += len(part)
                        progress(len(part))
        except Disconnected:
            progress(-done)
            raise
    if digest.hexdigest() != row["Sha256"]:
        raise _changed(partial, row)


def _changed(partial: Path, row: dict[str, Any]) -> InvalidInput:
    with suppress(OSError):
        partial.unlink()
    return InvalidInput(f"content '{row['Key']}' was replaced while it was downloaded.", hint="Type the command again.")


def _opened(path: Path) -> BufferedReader:
    try:
        return open(path, "rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error


def _path(key: str) -> str:
    return f"/content/{quote(key)}"
