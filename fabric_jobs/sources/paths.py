"""Reads the paths that a job names: objects of a bucket, or files of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources.globs import SPECIAL

STORES = {"s3": "bucket", "gs": "bucket", "az": "container"}  # scheme -> what its first part is called
FILE = "file"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class SourcePath(NamedTuple):
    """One path of a job, such as s3://bucket/prefix."""

    text: str  # as it was named
    prefix: str  # of the names of its files, before their keys: s3://bucket/, file://, or nothing
    scheme: str  # s3 | gs | az | file
    bucket: str  # empty: a path of this machine
    key: str  # begins the keys that are meant; of this machine: the absolute path of a file or a directory, or a glob


class SourceFile(NamedTuple):
    """One file, or object."""

    name: str  # as an item, and as what patterns are matched against: s3://bucket/key, or a path of this machine
    key: str  # files are listed in the order of their keys
    size: int  # bytes
    version: str  # changes when the contents do


class SourceFiles(Protocol):
    """The files of one path."""

    def after(self, key: str) -> Iterator[SourceFile]:
        """Yield the files whose key is above `key`, by key; raise InvalidInput, or PlaceUnavailable if the store is away."""

    def pieces(self, file: SourceFile, at: int) -> Iterator[bytes]:
        """Yield the bytes of a file from an offset on; raise as `after` does, also when the file has changed."""


def path_of(text: str, base: Path | None = None) -> SourcePath:
    """Return a path; `base` is the directory of relative ones. Raises InvalidInput, which says what is wrong."""
    found = SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme in STORES:
        bucket, _, key = text[len(scheme) + 3 :].partition("/")
        if not BUCKET.fullmatch(bucket):
            what = STORES[scheme]
            raise InvalidInput(f"'{text}' names no {what}.", hint=f"Write {scheme}://{what.upper()}/PREFIX.")
        return SourcePath(text, f"{scheme}://{bucket}/", scheme, bucket, key)
    if scheme not in ("", FILE):
        known = ", ".join(f"{name}://" for name in (*STORES, FILE))
        raise InvalidInput(f"'{text}' is not a path that items can come from.", hint=f"Begin it with {known} or /.")
    path = text[len(FILE) + 3 :] if scheme else text
    if not path or "\0" in path or (scheme and not path.startswith("/")):
        hint = "Write file:///DIRECTORY/FILE, /DIRECTORY/FILE or s3://BUCKET/PREFIX."
        raise InvalidInput(f"'{text}' names no file.", hint=hint)
    if not path.startswith("/"):
        if base is None:
            raise InvalidInput(f"'{text}' is a relative path, and there is no workspace.", hint="Write the whole path.")
        path = f"{base}/{path}"
    return SourcePath(text, f"{FILE}://" if scheme else "", FILE, "", "/" + os.path.normpath(path).lstrip("/"))


def is_glob(path: str) -> bool:
    """Return whether a path of this machine has characters that a glob gives a meaning to, and is not there as it is."""
    return any(char in path for char in SPECIAL) and not os.path.lexists(path)
