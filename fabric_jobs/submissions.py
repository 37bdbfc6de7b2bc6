"""What a caller submits to a Batch or Task API, as a value (docs/howto/batch-and-task-apis.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class DeadLetterQueue(NamedTuple):
    """Where a batch goes that failed too often."""

    arn: str
    max_receive_count: int


class Submission(NamedTuple):
    """One checked request for a job."""

    project_id: str
    api_name: str
    kind: str  # BatchAPI | TaskAPI
    workers: int = 1
    batch_size: int = 1  # items
    config: Mapping[str, Any] = {}
    timeout: int | None = None  # seconds since the submission
    batch_timeout: float | None = None  # seconds
    queue: DeadLetterQueue | None = None
    max_receive_count: int = 1  # attempts of a batch
    source: Mapping[str, Any] = {}  # {"file_path_lister": …} or {"delimited_files": …}; empty: the items are below
    items: bytes = b""  # NDJSON
    job_id: str = ""  # chosen by the caller: submitting again starts nothing; empty: a new one
    username: str = "local"
    executor: str = "local"
    is_placed: bool = True  # the caller named the place
    workspace: str = ""
    retry_of: str | None = None  # the job whose dead batches these items are
    letters: tuple[int, ...] = ()  # the numbers of their dead letters, which this job retries
