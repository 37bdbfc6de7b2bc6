"""Takes CSV with a header apart: each row is an object, with the offset behind it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

from fabric_jobs.sources.json_stream import MARK, TooLong


class CsvRows:
    """The rows of one file. The names of the columns are known once the first row was asked for."""

    def __init__(self, pieces: Iterator[bytes], at: int, columns: list[str] | None, limit: int) -> None:
        """`at` is the offset of the first piece, `columns` the names; None: the first row has them.

        `limit` is the largest size of an item, in bytes.
        """
        self.columns = columns
        self.at = at  # behind the last row
        self._pieces = pieces
        self._limit = limit

    def __iter__(self) -> Iterator[bytes]:
        """Yield each row as JSON; raise ValueError, which says what is wrong, at the first one that cannot be read."""
        csv.field_size_limit(max(csv.field_size_limit(), self._limit))
        try:
            for row in csv.reader(self._lines(), strict=True):
                if self.columns is None:
                    self.columns = _names(row)
                elif row:
                    yield self._item(row, self.columns)
        except csv.Error as error:
            raise ValueError(f"it is not CSV: {error}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8: {error.reason}") from None

    def _item(self, row: list[str], columns: list[str]) -> bytes:
        if len(row) != len(columns):
            raise ValueError(f"it has {len(row):,} fields, and the header has {len(columns):,}")
        values = dict(zip(columns, row, strict=True))
        item = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        if len(item) > self._limit:
            raise TooLong(self._limit)
        return item

    def _lines(self) -> Iterator[str]:
        """Yield lines with their ends, and count their bytes: a row that is complete has been read to its end, and not beyond."""
        rest = b""
        for piece in self._pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield self._line(line + b"\n")
            if len(rest) > self._limit:
                raise TooLong(self._limit)
        if rest:
            yield self._line(rest)

    def _line(self, line: bytes) -> str:
        begins = self.at == 0
        self.at += len(line)
        return line.decode().removeprefix(MARK) if begins else line.decode()


def _names(row: list[str]) -> list[str]:
    if not row or "" in row:
        raise ValueError("the first row has to name every column")
    twice = next((name for name in row if row.count(name) > 1), "") if len(set(row)) < len(row) else ""
    if twice:
        raise ValueError(f"the first row names column '{twice}' twice")
    return row
