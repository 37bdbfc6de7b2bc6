"""The numbers and addresses that can be set, and their defaults (docs/reference/settings.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fabric_jobs import durations, sizes
from fabric_jobs.errors import InvalidInput

MOST = 1e9 - 1
ARGV_MOST = 131_000  # Linux does not start programs with longer arguments
SLOTS_PER_CPU = {"local": 2, "docker": 4, "kubernetes": 10}  # worker slots of a place, per processor of this machine
LEASES = {"kubernetes": 120.0}  # seconds, in places that cannot always tell whether an attempt still runs


def _seconds(name: str, default: float) -> float:
    return _number(name, default, "a number of seconds or a duration such as 2m30s", read=durations.seconds_of)


def _bytes(name: str, default: int, *, high: float = MOST) -> int:
    up_to = f" up to {high:,}" if high < MOST else ""
    return int(
        _number(name, default, f"a number of bytes{up_to} or a size such as 64KiB", read=sizes.bytes_of, high=high)
    )


def _number(
    name: str, default: float, what: str, *, read: Callable[[str], float] = float, low: float = 0, high: float = MOST
) -> float:
    text = os.environ.get(name) or str(default)
    value = -1.0
    for way in (read, float):  # a bare number has the unit in the variable's name
        with suppress(ValueError):
            value = way(text)
    if not low <= value <= high:
        raise InvalidInput(f"{name} is {what}, not '{text}'.", hint="Correct the variable, or unset it.")
    return value


def definition_bytes() -> int:
    """Return the largest size of a definition, as a file and as JSON."""
    return _bytes("FABRIC_JOBS_DEFINITION_BYTES", 1 << 20)


def project_bytes() -> int:
    """Return the largest size of the files that are sent with an API file."""
    return _bytes("FABRIC_JOBS_PROJECT_BYTES", 32 << 20, high=sizes.LARGEST)


def _callbacks() -> str:
    """Return what may be called back; raise InvalidInput for a wrong list."""
    text = os.environ.get("FABRIC_JOBS_CALLBACKS", "")
    if text:
        from fabric_jobs.callback_targets import rules_of  # late: its imports take time, and few set it

        rules_of(text)
    return text or "public"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of an owner process."""

    state_dir: Path
    workspace: Path | None = None  # its definitions are registered automatically; None: no workspace
    host: str = "127.0.0.1"
    port: int | None = None  # None: the port used before, else a free one
    advertise: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_ADVERTISE", "")
    )  # URL for other machines
    secrets_key_file: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_SECRETS_KEY_FILE", "")
    )  # with the key of the secrets; empty: a file in the state directory
    callbacks: str = field(default_factory=_callbacks)  # addresses that may be called back
    executor: str = "local"  # of invocations that name none
    until_idle: bool = False
    idle_seconds: float = field(default_factory=lambda: _seconds("FABRIC_JOBS_IDLE_SECONDS", 5.0))
    project_id: str = "local"
    record_bytes: int = 16 << 20
    inline_bytes: int = field(
        default_factory=lambda: _bytes("FABRIC_JOBS_INLINE_BYTES", 4096)
    )  # records of a commit up to this size are in the database, larger ones in files
    sender_files: bool = field(
        default_factory=lambda: bool(_number("FABRIC_JOBS_SENDER_FILES", 1, "0 or 1", high=1))
    )  # programs that see the state directory write their records into files directly
    body_bytes: int = 64 << 20
    submission_bytes: int = field(
        default_factory=lambda: _bytes("FABRIC_JOBS_SUBMISSION_BYTES", 10 << 20)
    )  # of a request that submits a job
    batch_bytes: int = field(
        default_factory=lambda: _bytes("FABRIC_JOBS_BATCH_BYTES", 256 << 10)
    )  # of a batch of a job, as JSON
    job_workers: int = field(
        default_factory=lambda: int(_number("FABRIC_JOBS_JOB_WORKERS", 1000, "a number from 1 on", low=1))
    )  # that a job may ask for
    open_apis: bool = field(
        default_factory=lambda: bool(_number("FABRIC_JOBS_OPEN_APIS", 0, "0 or 1", high=1))
    )  # jobs are submitted, looked at and stopped without a token
    content_bytes: int = field(
        default_factory=lambda: _bytes("FABRIC_JOBS_CONTENT_BYTES", 10 << 30, high=sizes.LARGEST)
    )  # of one upload
    content_url: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_CONTENT_URL", "")
    )  # s3://BUCKET/PREFIX; empty: in the state directory
    definition_bytes: int = field(default_factory=definition_bytes)  # of a skill or an agent
    project_bytes: int = field(default_factory=project_bytes)  # of the files that are sent with an API file
    header_bytes: int = 64 << 10  # request line and headers
    connections: int = field(
        default_factory=lambda: int(_number("FABRIC_JOBS_CONNECTIONS", 512, "a number"))
    )  # over TCP
    head_seconds: float = field(default_factory=lambda: _seconds("FABRIC_JOBS_HEAD_SECONDS", 20.0))
    body_seconds: float = field(default_factory=lambda: _seconds("FABRIC_JOBS_BODY_SECONDS", 30.0))
    read_seconds: float = field(default_factory=lambda: _seconds("FABRIC_JOBS_READ_SECONDS", 60.0))
    argv_bytes: int = field(
        default_factory=lambda: _bytes("FABRIC_JOBS_ARGV_BYTES", 100_000, high=ARGV_MOST)
    )  # larger payloads are in a file (docs/reference/compatibility.md#the-message)
    credit_records: int = 65_536  # with more unconsumed records in a channel, its sender waits
    credit_bytes: int = 64 << 20
    source_paths: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_SOURCE_PATHS", "")
    )  # directories of this machine, separated by colons, that jobs of other callers than the owner may read
    source_endpoint: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_SOURCE_ENDPOINT", "")
    )  # URL of the store of s3:// paths; empty: that of the variables AWS_…
    source_seconds: float = field(
        default_factory=lambda: _seconds("FABRIC_JOBS_SOURCE_SECONDS", 300.0)
    )  # a job fails when a store of its items is away for this time
    response_records: int = 1000  # a longer response is {count, href}
    response_bytes: int = 1 << 20
    grace_seconds: float = 10.0  # between TERM and KILL
    call_seconds: float = 300.0  # for the answer of a daemon or an external API
    daemon_start_seconds: float = 300.0  # until a daemon listens
    ready_seconds: float = field(
        default_factory=lambda: _seconds("FABRIC_JOBS_READY_SECONDS", 600.0)
    )  # until the containers of an API's worker are ready
    worker_image: str = field(
        default_factory=lambda: os.environ.get("FABRIC_JOBS_WORKER_IMAGE") or "python:3.12-slim"
    )  # of workers whose API names no image of their own: of Python, 3.8 or newer
    daemon_idle_seconds: float = 300.0  # a daemon without calls is stopped
    retain_days: float | None = None  # activations that ended earlier are deleted; None: never
    retain_bytes: int | None = None  # when the state is larger, the oldest are deleted; None: never
    lost_limit: int = 3  # retries after lost attempts
    lease_seconds: float = field(  # for which a worker has its batches, unless it is heard of; 0: as its place needs
        default_factory=lambda: _number("FABRIC_JOBS_LEASE_SECONDS", 0, "a number of seconds, or 0", low=0)
    )
    slots: Mapping[str, int] = field(default_factory=lambda: slots_of(os.environ.get("FABRIC_JOBS_SLOTS", "")))
    kept_tasks: int = field(
        default_factory=lambda: int(_number("FABRIC_JOBS_KEPT_TASKS", 1000, "a number from 1 on", low=1))
    )  # of each skill in an activation: older ones that went well are deleted, except for their totals
    activations: int = field(
        default_factory=lambda: int(_number("FABRIC_JOBS_ACTIVATIONS", 64, "a number from 1 on", low=1))
    )  # that run at a time; the others wait their turn

    @property
    def source_directories(self) -> list[Path]:
        """The directories of this machine that jobs of other callers than the owner may read."""
        return [Path(text) for text in self.source_paths.split(os.pathsep) if text]

    def lease_seconds_in(self, place: str) -> float:
        """Return for how long a worker has its batches, unless it is heard of; 0: as long as its attempt runs."""
        return self.lease_seconds or LEASES.get(place, 0.0)

    def slots_in(self, place: str) -> int:
        """Return how many message tasks may run at a time in one kind of place, in all activations."""
        return self.slots.get(place) or SLOTS_PER_CPU.get(place, 2) * cpu_count()


def slots_of(text: str) -> dict[str, int]:
    """Return worker slots by place, from text such as `local=8,docker=32`; raise InvalidInput."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, equals, number = part.partition("=")
        is_number = re.fullmatch(r"[1-9][0-9]{0,5}", number) is not None
        if not equals or place not in SLOTS_PER_CPU or not is_number:
            raise InvalidInput(
                f"'{part}' is not an executor and its number of slots.",
                hint=f"Write it like local=8,docker=32; the executors are {', '.join(SLOTS_PER_CPU)}.",
            )
        found[place] = int(number)
    return found


def cpu_count() -> int:
    """Return how many processors this process may use; this is the default of `workers`."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
