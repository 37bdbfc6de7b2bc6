"""The origins of the records of a channel: one row per commit (store/sent.py has the format)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fabric_jobs.store.sql import Sql

PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceRow:
    """The origins of some records that one task committed together."""

    channel_id: int
    first_offset: int
    count: int
    task_id: int
    parents: str

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.first_offset + self.count


def rows(sql: Sql, channel_id: int, offset: int) -> Iterator[TraceRow]:
    """Yield the known origins of a channel's records from `offset` on, in order."""
    found = sql.one("lineage_of_record", channel_id=channel_id, offset=offset)
    offset = offset if found is None else found["first_offset"]
    while True:
        page = sql.all("lineage_of_channel", channel_id=channel_id, offset=offset, limit=PAGE)
        for row in page:
            yield TraceRow(**{key: row[key] for key in row.keys()})  # noqa: SIM118 - a sqlite3.Row iterates over its values
        if len(page) < PAGE:
            return
        offset = page[-1]["first_offset"] + 1
