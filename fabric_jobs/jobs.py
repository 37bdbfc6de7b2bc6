"""Rows of the store that only jobs have, as values (docs/explanation/batches.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

Row = Mapping[str, Any]

NEWEST = (1 << 63) - 1  # minus the nanoseconds since 1970: ids of later jobs sort first


class Job(NamedTuple):
    """One submission to a Batch or Task API: what its activation, which has the same id, has besides."""

    activation_id: str
    project_id: str
    api_name: str
    kind: str  # BatchAPI | TaskAPI
    api_version: int
    workers: int
    batch_size: int  # items
    config: Mapping[str, Any]  # as submitted
    timeout: int | None  # seconds since the submission
    batch_timeout: float | None  # seconds
    queue_arn: str  # of the dead letter queue; empty: none
    max_receive_count: int
    source: Mapping[str, Any]  # where the items come from; empty: they came with the submission
    position: str | None  # JSON: where the enumerator goes on; None: it is done
    verdict: str  # why it ended early, or empty
    submitted_at: float

    @classmethod
    def from_row(cls, row: Row) -> Job:
        """Build it from a row of `jobs`."""
        values = {key: row[key] for key in cls._fields}
        return cls(**{**values, "config": json.loads(values["config"]), "source": json.loads(values["source"])})


class BatchRow(NamedTuple):
    """A batch that deviates: it failed, or its worker died."""

    channel_id: int
    first_offset: int
    next_offset: int
    attempts: int  # that ended
    lost: int  # of these: the worker died
    state: str  # waiting | succeeded | dead
    not_before: float  # seconds since 1970
    error: str  # of the last attempt
    task_id: int  # that had the last attempt
    seconds: float  # of the last attempt
    ended_at: float  # the last attempt, in seconds since 1970

    @classmethod
    def from_row(cls, row: Row) -> BatchRow:
        """Build it from a row of `batches`."""
        return cls(*(row[key] for key in cls._fields))


class BatchCounts(NamedTuple):
    """The counts of a node that works in batches."""

    succeeded: int = 0  # batches
    failed: int = 0  # attempts
    dead: int = 0  # batches
    seconds: float = 0.0  # of the attempts that succeeded
    completing: int | None = None  # the task that calls on-job-complete
    completed: str = ""  # what came of it: a status, or an error

    @classmethod
    def from_row(cls, row: Row) -> BatchCounts:
        """Build it from a row of `batch_counts`."""
        return cls(*(row[key] for key in cls._fields))


def new_id(now: int | None = None) -> str:
    """Return a job's id: 16 hexadecimal digits. `now` is in nanoseconds since 1970."""
    return f"{NEWEST - (time.time_ns() if now is None else now):016x}"
