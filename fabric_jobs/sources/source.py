"""What a job asks for: which files, and how their items are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources.globs import Glob
from fabric_jobs.sources.local import LocalFiles
from fabric_jobs.sources.paths import FILE, SourceFile, SourceFiles, SourcePath, path_of

LISTER = "file_path_lister"  # the items are the names of files
DELIMITED = "delimited_files"  # the items are in the files
BLOCKS = (LISTER, DELIMITED)
ANYWHERE = "anywhere"  # beside the block in a stored source: any file of this machine may be read
FORMATS = ("json", "csv")
COMPRESSIONS = ("none", "gzip")


class Filters(NamedTuple):
    """Which of the listed files are meant."""

    includes: tuple[Glob, ...]
    excludes: tuple[Glob, ...]

    def keep(self, name: str) -> bool:
        """Return whether any include, if there are some, and no exclude matches."""
        is_in = not self.includes or any(glob.matches(name) for glob in self.includes)
        return is_in and not any(glob.matches(name) for glob in self.excludes)


class ItemSource(NamedTuple):
    """Where the items of one job come from."""

    block: str  # LISTER | DELIMITED
    paths: tuple[SourcePath, ...]
    filters: Filters
    format: str  # json | csv; empty: as the name of a file says
    compression: str  # none | gzip; empty: as the name of a file says
    within: tuple[str, ...] | None  # directories that files of this machine have to be in; None: any
    endpoint: str = ""  # URL of the store of s3:// paths; empty: that of the variables AWS_…

    def files(self, path: SourcePath) -> SourceFiles:
        """Return the files of a path; raise InvalidInput if the library for its store is missing."""
        if path.scheme == FILE:
            return LocalFiles(path, self.within)
        from fabric_jobs.sources.objects import Objects  # late: few jobs need it

        return Objects(path, self.endpoint)

    def listed(self) -> Iterator[SourceFile]:
        """Yield all files that are meant, in order; one that two paths lead to comes twice.

        Raises InvalidInput, or PlaceUnavailable if a store does not answer.
        """
        for path in self.paths:
            yield from (file for file in self.files(path).after("") if self.filters.keep(file.name))

    def format_of(self, name: str) -> tuple[bool, bool]:
        """Return whether a file is CSV, and whether it is packed."""
        inner = name.lower()
        is_packed = inner.endswith(".gz") if not self.compression else self.compression == "gzip"
        is_csv = inner.removesuffix(".gz").endswith(".csv") if not self.format else self.format == "csv"
        return is_csv, is_packed


def source_from_json(
    source: Mapping[str, Any], *, within: Sequence[Path | str] | None, base: Path | None = None, endpoint: str = ""
) -> ItemSource:
    """Return what a block of a submission asks for: `{"delimited_files": {…}}` or `{"file_path_lister": {…}}`.

    `within` are the directories that files of this machine have to be in, `base` is that of relative paths. None of it is
    asked of a store yet. Raises InvalidInput, which begins with the key at fault.
    """
    block = next((name for name in BLOCKS if name in source), "")
    if not block or not isinstance(source[block], Mapping):
        raise InvalidInput(f"a source is an object with the key {' or '.join(BLOCKS)}.")
    asked = source[block]
    texts = _texts(block, asked, "s3_paths")
    if not texts:
        raise InvalidInput(f"{block}: s3_paths: at least 1 path is needed.")
    return ItemSource(
        block=block,
        paths=tuple(_path(block, text, base) for text in texts),
        filters=Filters(_globs(block, asked, "includes"), _globs(block, asked, "excludes")),
        format=_one_of(block, asked, "format", FORMATS),
        compression=_one_of(block, asked, "compression", COMPRESSIONS),
        within=None if within is None else tuple(map(str, within)),
        endpoint=endpoint,
    )


def stored_source(source: ItemSource, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the source of a job as it is stored: what was asked for, with whole paths, and whether any file may be read."""
    kept = {key: value for key, value in asked[source.block].items() if key != "batch_size"}
    block = {**kept, "s3_paths": [f"{path.prefix}{path.key}" for path in source.paths]}
    return {source.block: block, ANYWHERE: source.within is None}


def source_of(source: Mapping[str, Any], *, within: Sequence[Path | str], endpoint: str) -> ItemSource:
    """Return the stored source of a job; `within` counts unless any file may be read."""
    return source_from_json(source, within=None if source.get(ANYWHERE) else within, endpoint=endpoint)


def _path(block: str, text: str, base: Path | None) -> SourcePath:
    try:
        return path_of(text, base)
    except InvalidInput as error:
        raise InvalidInput(f"{block}: s3_paths: {error.message}", hint=error.hint) from None


def _globs(block: str, asked: Mapping[str, Any], key: str) -> tuple[Glob, ...]:
    found = []
    for text in _texts(block, asked, key):
        try:
            found.append(Glob(text))
        except ValueError as error:
            hint = "See the patterns in docs/howto/job-sources.md."
            raise InvalidInput(f"{block}: {key}: '{text}': {error}.", hint=hint) from None
    return tuple(found)


def _texts(block: str, asked: Mapping[str, Any], key: str) -> list[str]:
    found = asked.get(key)
    found = [] if found is None else found
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InvalidInput(f"{block}: {key}: it must be a list of texts.")
    return found


def _one_of(block: str, asked: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
    found = asked.get(key) or ""
    if found and found not in known:
        raise InvalidInput(f"{block}: {key}: it must be {' or '.join(known)}.")
    return str(found)
