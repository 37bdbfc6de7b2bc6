"""Reads the items of a job in chunks, each with the position at which a later process goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from fabric_jobs.clock import steady
from fabric_jobs.errors import InvalidInput
from fabric_jobs.sources.csv_rows import CsvRows
from fabric_jobs.sources.gzipped import skipped, unpacked
from fabric_jobs.sources.json_stream import values
from fabric_jobs.sources.paths import SourceFile, SourceFiles, SourcePath
from fabric_jobs.sources.source import LISTER, ItemSource

CHUNK_BYTES = 1 << 20  # a chunk ends with the item that passes this, or the next
CHUNK_ITEMS = 8192
CHUNK_SECONDS = 0.1  # or this long after its first item: workers wait for it
QUIET_SECONDS = 2.0  # without an item, there is a chunk without items after this time
BETWEEN, AROUND = 1, 2  # bytes that a batch has between two items, and around all


class ItemChunk(NamedTuple):
    """Some items, and where to go on behind them."""

    items: bytes  # NDJSON
    size: int  # items
    position: str | None  # None: there are no more


class ItemPlace:
    """How far the items have been read; changed by whoever reads."""

    def __init__(self, position: str) -> None:
        """`position` is that of a chunk, or `{}` for the beginning."""
        found: dict[str, Any] = json.loads(position)
        self.path: int = found.get("path", 0)  # index of the path
        self.after: str = found.get("after", "")  # the key of its last file that is done
        self.key: str = found.get("key", "")  # of the file that is read, or empty
        self.version: str = found.get("version", "")  # of that file
        self.at: int = found.get("at", 0)  # offset of its next item, unpacked
        self.number: int = found.get("number", 0)  # of its next item
        self.columns: list[str] | None = found.get("columns")  # of a CSV file, once known
        self.batch: int = found.get("batch", 0)  # items of the last batch that is not complete
        self.batch_bytes: int = found.get("batch_bytes", 0)

    def text(self) -> str:
        """Return the position as a chunk has it."""
        return json.dumps({key: value for key, value in vars(self).items() if value not in (0, "", None)})

    def begin(self, file: SourceFile) -> None:
        """Go to the first item of a file."""
        self.key, self.version, self.at, self.number, self.columns = file.key, file.version, 0, 0, None

    def end(self, key: str) -> None:
        """Go behind a file."""
        self.after, self.key, self.version, self.at, self.number, self.columns = key, "", "", 0, 0, None

    def next_path(self) -> None:
        """Go to the next path."""
        self.path += 1
        self.end("")


def chunks(source: ItemSource, position: str, *, batch_size: int, batch_bytes: int) -> Iterator[ItemChunk]:
    """Yield the items from a position on; the last chunk has no position, and may have no items.

    Raises InvalidInput when a file cannot be read, an item is malformed, or a batch of `batch_size` items would be longer than
    `batch_bytes`: its message names file and item. Raises PlaceUnavailable when a store does not answer.
    """
    place = ItemPlace(position)
    gathered: list[bytes] = []
    size, since = 0, steady()
    for item in _items(source, place, batch_bytes):
        if item is not None:
            if not gathered:
                since = steady()
            _weigh(source, place, item, batch_size, batch_bytes)
            gathered.append(item)
            size += len(item)
        is_full = size >= CHUNK_BYTES or len(gathered) == CHUNK_ITEMS
        if is_full or steady() >= since + (CHUNK_SECONDS if gathered else QUIET_SECONDS):
            yield _chunk(gathered, place.text())
            gathered, size, since = [], 0, steady()
    yield _chunk(gathered, None)


def _chunk(items: list[bytes], position: str | None) -> ItemChunk:
    return ItemChunk(b"".join(item + b"\n" for item in items), len(items), position)


def _weigh(source: ItemSource, place: ItemPlace, item: bytes, batch_size: int, batch_bytes: int) -> None:
    """Count an item in its batch; raise InvalidInput when the batch is too long."""
    place.batch_bytes += len(item) + (BETWEEN if place.batch else AROUND)
    place.batch += 1
    if place.batch_bytes > batch_bytes:
        file = source.paths[place.path].prefix + place.key
        what = f"{file}: item {place.number - 1}" if place.key else f"the item {item.decode()[:200]}"
        raise InvalidInput(
            f"{what}: the batch that it is in has at least {place.batch_bytes:,} bytes, and the limit is {batch_bytes:,}.",
            hint="Choose a smaller batch_size, or a higher FABRIC_JOBS_BATCH_BYTES for the owner.",
        )
    if place.batch == batch_size:
        place.batch = place.batch_bytes = 0


def _items(source: ItemSource, place: ItemPlace, limit: int) -> Iterator[bytes | None]:
    """Yield each item with `place` behind it, and None for each file without any."""
    while place.path < len(source.paths):
        path = source.paths[place.path]
        files = source.files(path)
        found = files.after(place.after)
        if place.key:
            found = chain([_resumed(place, path, found)], found)
        for file in found:
            if not source.filters.keep(file.name):
                place.end(file.key)
                yield None
            elif source.block == LISTER:
                place.end(file.key)
                yield json.dumps(file.name, ensure_ascii=False).encode()
            else:
                yield from _read(source, place, files, file, limit)
                place.end(file.key)
                yield None
        place.next_path()


def _resumed(place: ItemPlace, path: SourcePath, found: Iterator[SourceFile]) -> SourceFile:
    """Return the file that was being read; it has to be as it was."""
    for file in found:
        if file.key == place.key and file.version == place.version:
            return file
        if file.key >= place.key:
            break
    raise InvalidInput(
        f"{path.prefix}{place.key} has changed, or was deleted, since the job began to read it.",
        hint="Submit the job again.",
    )


def _read(source: ItemSource, place: ItemPlace, files: SourceFiles, file: SourceFile, limit: int) -> Iterator[bytes]:
    """Yield the items of a file, from `place` on if it is in this file."""
    if place.key != file.key:
        place.begin(file)
    is_csv, is_packed = source.format_of(file.name)
    try:
        packed = files.pieces(file, 0 if is_packed else place.at)
        pieces = skipped(unpacked(packed), place.at) if is_packed else packed
        for item, at in _csv(pieces, place, limit) if is_csv else values(pieces, place.at, limit):
            place.at = at
            place.number += 1
            yield item
    except ValueError as error:
        raise InvalidInput(f"{file.name}: item {place.number}: {error}.", hint="Correct the file.") from None


def _csv(pieces: Iterator[bytes], place: ItemPlace, limit: int) -> Iterator[tuple[bytes, int]]:
    rows = CsvRows(pieces, place.at, place.columns, limit)
    for item in rows:
        place.columns = rows.columns
        yield item, rows.at
