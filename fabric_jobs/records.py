"""Rows of the store as frozen values: one class per table that other modules read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from fabric_jobs.states import FINAL_TASK_STATES, ActivationState, TaskState

Row = Mapping[str, Any]
DAEMON = "daemon\0"  # begins the subject of a daemon's task; an activation's id has no such character


@lru_cache(maxsize=256)
def _object(text: str) -> dict[str, Any]:
    """Return a JSON object. Equal texts share one object, so never change it."""
    found: dict[str, Any] = json.loads(text)
    return found


def _columns(row: Row) -> dict[str, Any]:
    return dict(zip(row.keys(), row, strict=True))  # a sqlite3.Row iterates over its values


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """One invocation of an agent or a skill."""

    activation_id: str
    project_id: str
    kind: str  # agent | skill
    name: str
    entry: str  # the service or the input
    pins: dict[str, Any]  # {"agent": version | None, "skills": {name: version}, "actions"?: {skill: {name: version}}}
    state: ActivationState
    cancel_requested: bool
    cause: str
    error: dict[str, Any] | None
    session_id: str
    correlation_id: str
    username: str
    workspace: str
    properties: dict[str, Any]
    headers: dict[str, str]
    retry_of: str | None
    start_node: str
    started_at: float
    ended_at: float | None
    executor: str  # the kind of place its attempts run in
    admitted: bool = True  # False: it waits for its turn, and has no tasks yet
    cold: bool = False  # no attempt is forked from a template process
    key: str = ""  # the caller's name for the invocation; empty: none

    @classmethod
    def from_row(cls, row: Row) -> Activation:
        """Build it from a row of `activations`."""
        values = _columns(row)
        for key in ("pins", "properties", "headers"):
            values[key] = _object(values[key])
        values["error"] = json.loads(values["error"]) if values["error"] else None
        values["state"] = ActivationState(values["state"])
        for key in ("cancel_requested", "admitted", "cold"):
            values[key] = bool(values[key])
        return cls(**values)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state is not ActivationState.PENDING


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """The log of one mapping in one activation; the records are elsewhere."""

    channel_id: int
    project_id: str
    activation_id: str
    wire: int
    sending_id: str
    output: str
    node: str  # the node or the join that consumes; empty when it is part of the response
    conditions: str  # JSON; empty when every record goes in
    exempt: bool  # senders never wait for its consumer
    next_offset: int
    size: int  # bytes
    acked: int
    dispatched: int
    dropped: int
    ended: bool
    closed: bool
    dead: int = 0  # records that its consumer could not handle
    ahead: int = 0  # records finished although an earlier one is not

    @classmethod
    def from_row(cls, row: Row) -> Channel:
        """Build it from a row of `channels`."""
        values = _columns(row)
        for key in ("exempt", "ended", "closed"):
            values[key] = bool(values[key])
        return cls(**values)

    @property
    def unfinished(self) -> int:
        """How many records its consumer has not finished."""
        return self.next_offset - self.acked - self.ahead


class Lease(NamedTuple):
    """Records of a channel that a task holds, or that one has given back."""

    channel_id: int
    first: int
    below: int | None  # None: open, it takes in whatever comes
    turn: int = 0  # a task works on its leases in this order
    at_end: bool = False  # finished with the task's exit

    @classmethod
    def from_row(cls, row: Row) -> Lease:
        """Build it from a row of `leases`."""
        return cls(row["channel_id"], row["first_offset"], row["next_offset"], row["turn"], bool(row["at_end"]))

    @property
    def size(self) -> int:
        """The number of records; 0 for an open one."""
        return 0 if self.below is None else self.below - self.first


class Stored(Protocol):
    """Bytes in a file, read when they are needed."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def read(self) -> bytes:
        """Return the bytes; raise RecordsDamaged when they differ from those stored."""


Part = bytes | Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Consecutive records of a channel, as NDJSON: each record ends in a newline."""

    first_offset: int
    count: int
    parts: tuple[Part, ...]

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.first_offset + self.count

    @property
    def size(self) -> int:
        """The number of bytes, without reading them."""
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)

    @property
    def bytes(self) -> bytes:
        """The records as NDJSON; raises RecordsDamaged when their file has lost them."""
        read = [part if isinstance(part, bytes) else part.read() for part in self.parts]
        return read[0] if len(read) == 1 else b"".join(read)

    def part(self, first: int, limit: int | None = None) -> Segment:
        """Return the records from `first` on, at most `limit` of them."""
        first = max(first, self.first_offset)
        end = self.end if limit is None else min(self.end, first + limit)
        if first == self.first_offset and end == self.end:
            return self
        lines = self.bytes.split(b"\n")[first - self.first_offset : end - self.first_offset]
        return Segment(first_offset=first, count=end - first, parts=(b"".join(line + b"\n" for line in lines),))

    @classmethod
    def joined(cls, segments: Sequence[Segment]) -> Segment:
        """Return one segment of several consecutive ones, without reading their files."""
        if len(segments) == 1:
            return segments[0]
        return cls(
            first_offset=segments[0].first_offset,
            count=sum(segment.count for segment in segments),
            parts=tuple(part for segment in segments for part in segment.parts),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """The running instance of a job action; the durable row that has the state."""

    task_id: int
    project_id: str
    name: str
    activation_id: str | None
    node: str
    skill_name: str
    action_name: str
    kind: str
    receives: str  # message | batch | stream
    channel_id: int | None
    record_offset: int | None
    state: TaskState
    attempt: int
    failures: int
    lost: int
    cancel_requested: bool
    cause: str
    sequence: int
    sent: int
    hops: int
    hand: str | None
    left_at: str | None
    failed_at: str
    careful: str
    sends: str
    repeated: str
    not_before_at: float
    created_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    sender: str = ""  # the process of the current attempt that committed last
    sender_open: bool = False  # it has not closed its sender
    raised: str = ""  # the exception that ends the current attempt
    place: str = ""  # where its current attempt runs
    rejected: str = ""  # details, JSON, when the program rejected its record, or one that fails the task
    records: int = 1  # that it handles, from `record_offset` on
    worker: int = 0  # its number among the workers of a stream
    tried: int = 0  # attempts that its records had in a larger batch
    agent: str = ""  # of its activation; empty: it is of a skill, or there is none

    @classmethod
    def from_row(cls, row: Row) -> Task:
        """Build it from a row of `tasks`."""
        values = _columns(row)
        values["state"] = TaskState(values["state"])
        values["cancel_requested"] = bool(values["cancel_requested"])
        values["sender_open"] = bool(values["sender_open"])
        return cls(**values)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL_TASK_STATES

    @property
    def subject(self) -> str:
        """What the engine looks at when it changes: its activation, or, of a daemon, its program."""
        if self.activation_id is not None:
            return self.activation_id
        return f"{DAEMON}{self.project_id}/{self.skill_name}/{self.action_name}/{self.node}"

    @property
    def attempt_name(self) -> str:
        """The name of the current attempt for executors."""
        return f"{self.name}-{self.attempt}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try of a task in one place."""

    task_id: int
    attempt: int
    executor: str
    handle: str | None
    started_at: float
    ended_at: float | None
    exit_code: int | None
    reason: str

    @classmethod
    def from_row(cls, row: Row) -> Attempt:
        """Build it from a row of `attempts`."""
        return cls(**_columns(row))


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A record that used up its attempts."""

    dead_letter_id: int
    project_id: str
    activation_id: str
    channel_id: int
    record_offset: int
    task_id: int
    skill_name: str
    error: dict[str, Any]
    on_error: str  # continue | complete
    attempts: int
    dead_at: float
    retried_as: str | None  # the activation that retries it

    @classmethod
    def from_row(cls, row: Row) -> DeadLetter:
        """Build it from a row of `dead_letters`."""
        values = _columns(row)
        values["error"] = json.loads(values["error"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One move of a state, or another change; numbers grow."""

    number: int
    project_id: str
    activation_id: str | None
    task_id: int | None
    kind: str  # such as `task.ACTIVE` or `activation.COMPLETE`
    body: dict[str, Any]
    at: float

    @classmethod
    def from_row(cls, row: Row) -> Event:
        """Build it from a row of `events`."""
        values = _columns(row)
        values["body"] = json.loads(values["body"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedDefinition:
    """One version of a skill or an agent as the gateway holds it."""

    project_id: str
    kind: str  # skill | agent
    name: str
    version: int
    hash: str
    body: Any  # the JSON document
    source: str  # directory of the skill's files; empty when not given
    saved_at: float
    images: dict[str, str]  # by action: the image built from these files
    saved_by: str = "local"

    @classmethod
    def from_row(cls, row: Row) -> SavedDefinition:
        """Build it from a row of `definitions`."""
        values = _columns(row)
        values["body"] = json.loads(values["body"])
        values["images"] = json.loads(values["images"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """What skills, agents, activations and personal tokens belong to."""

    project_id: str  # its name
    title: str
    description: str
    created_by: str
    created_at: float

    @classmethod
    def new(cls, name: str, *, created_by: str, title: str = "", description: str = "") -> Project:
        """Return a project that is made now."""
        return cls(
            project_id=name,
            title=title or name,
            description=description,
            created_by=created_by,
            created_at=time.time(),
        )

    @classmethod
    def from_row(cls, row: Row) -> Project:
        """Build it from a row of `projects`."""
        return cls(**_columns(row))


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessToken:
    """The public half of a personal token, and what it allows."""

    kid: str  # the thumbprint of the key
    project_id: str
    name: str  # also the username of its calls
    role: str  # read | run | admin
    public_key: str  # 32 bytes, base64url
    created_by: str
    created_at: float
    expires_at: float | None  # None: never

    @classmethod
    def from_row(cls, row: Row) -> AccessToken:
        """Build it from a row of `access_tokens`."""
        return cls(**_columns(row))
