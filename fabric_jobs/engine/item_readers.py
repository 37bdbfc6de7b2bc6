"""Appends the items of jobs to their channels while the jobs run (docs/explanation/batches.md).

A job is read in turns of one chunk, which is appended in one transaction with the position behind it: after `kill -9` the next
owner goes on there. What is read is kept open between the turns. A job whose workers are behind by the channel's credit waits
without a thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fabric_jobs.clock import steady
from fabric_jobs.engine.faults import Faults
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.jobs import Job
from fabric_jobs.records import Channel
from fabric_jobs.routing import SOURCE, sending_id
from fabric_jobs.settings import Settings
from fabric_jobs.sources.items import ItemChunk, chunks
from fabric_jobs.sources.source import source_of
from fabric_jobs.states import Verdict
from fabric_jobs.store import Effects, Store, Tx, activations, channels, jobs
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent

THREADS = 8  # that read at a time; a store that does not answer holds up one
LOOK_SECONDS = 0.05  # at least, between two looks at a job that waits for its workers
AGAIN_SECONDS = 1.0  # until a store is asked again; twice as long after each further failure
MOST_SECONDS = 30.0
CLOSE_SECONDS = 2.0  # for the end of all threads; one that waits for a store ends with the process

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A job that has no turn now."""

    looked_at: float
    due_at: float | None  # None: when something happens in its activation


class Enumeration:
    """A job that gets items. Used by one thread at a time."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chunks: Iterator[ItemChunk] | None = None  # None: to be opened at the job's position
        self.failed_since: float | None = None
        self.trouble = ""
        self.pause = AGAIN_SECONDS


class ItemReaders:
    """The threads that read items. They begin when a job needs them; `add` and the listener return at once."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._faults = Faults(settings.lost_limit)
        self._changed = threading.Condition()
        self._known: dict[str, Enumeration] = {}
        self._ready: deque[str] = deque()
        self._waiting: dict[str, Waiting] = {}
        self._touched: set[str] = set()  # jobs whose activation has changed since their turn began
        self._closing = False
        self._idle = 0  # threads
        self._threads: list[threading.Thread] = []
        store.listen(self._committed)

    def adopt(self) -> None:
        """Go on with the jobs that an earlier owner has left."""
        for job in jobs.enumerating(self._store.read):
            self.add(job)

    def add(self, job: Job) -> None:
        """Read the items of a job, unless that is done, or being done."""
        with self._changed:
            if job.position is not None and job.activation_id not in self._known:
                self._known[job.activation_id] = Enumeration(job)
                self._ready.append(job.activation_id)
                self._call()

    def troubles(self, job_id: str) -> dict[str, str]:
        """Return why a job gets no items at present, by node."""
        enumeration = self._known.get(job_id)
        return {_node(enumeration.job): enumeration.trouble} if enumeration is not None and enumeration.trouble else {}

    def close(self) -> None:
        """End the threads; the next owner goes on with the jobs."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        until = steady() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - steady()))

    def _call(self) -> None:
        """Let a thread look at what has changed. Called with the lock."""
        if not self._idle and len(self._threads) < THREADS and not self._closing:
            thread = threading.Thread(target=self._run, name=f"items-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify()

    def _committed(self, effects: Effects) -> None:
        """Let jobs look whether they may go on. Runs in the writer's thread."""
        if not self._known:
            return
        with self._changed:
            touched = self._known.keys() & (effects.activations | effects.over | effects.look)
            self._touched |= touched
            for job_id in touched & self._waiting.keys():
                waiting = self._waiting[job_id]
                if waiting.due_at is None or job_id in effects.over:
                    self._waiting[job_id] = waiting._replace(due_at=waiting.looked_at + LOOK_SECONDS)
                    self._call()

    def _run(self) -> None:
        while (enumeration := self._next()) is not None:
            self._turn(enumeration)

    def _next(self) -> Enumeration | None:
        """Wait for a job that has its turn; None: the thread should end."""
        with self._changed:
            while not self._closing:
                now = steady()
                due = [job_id for job_id, waiting in self._waiting.items() if (waiting.due_at or now + 1) <= now]
                for job_id in due:
                    del self._waiting[job_id]
                self._ready += due
                if self._ready:
                    job_id = self._ready.popleft()
                    self._touched.discard(job_id)
                    if self._ready or self._times():
                        self._call()
                    return self._known[job_id]
                times = self._times()
                self._idle += 1
                self._changed.wait(max(0.0, min(times) - now) if times else None)
                self._idle -= 1
        return None

    def _times(self) -> list[float]:
        return [waiting.due_at for waiting in self._waiting.values() if waiting.due_at is not None]

    def _turn(self, enumeration: Enumeration) -> None:
        """Append one chunk. An error must not stop the others, nor be retried for ever."""
        job_id = enumeration.job.activation_id
        try:
            waiting = self._act(enumeration)
        except PlaceUnavailable as error:
            waiting = self._trouble(enumeration, error)
        except FabricJobsError as error:
            waiting = self._fail(enumeration, f"{error.message} {error.hint}".rstrip())
        except Exception as error:
            if self._closing:
                return  # the store is closed
            cause = self._faults.note(job_id, error, f"the items of job {job_id}")
            enumeration.chunks = None
            waiting = self._fail(enumeration, cause) if cause else _again(AGAIN_SECONDS)
        with self._changed:
            if waiting is None:
                self._ready.append(job_id)
            elif waiting is OVER:
                self._known.pop(job_id, None)
                self._touched.discard(job_id)
                self._faults.forget(job_id)
            else:
                is_missed = waiting.due_at is None and job_id in self._touched
                self._waiting[job_id] = (
                    waiting._replace(due_at=waiting.looked_at + LOOK_SECONDS) if is_missed else waiting
                )

    def _act(self, enumeration: Enumeration) -> Waiting | None:
        """Append the next chunk; return what to wait for, OVER when there is nothing left to do, or None."""
        job = enumeration.job
        now = steady()
        activation = activations.find(self._store.read, job.activation_id)
        if activation is None or activation.ended or activation.cancel_requested:
            return OVER
        found = channels.inbound(self._store.read, job.activation_id, _node(job))
        if not activation.admitted or any(self._is_behind(channel) for channel in found):
            return Waiting(now, None)
        if enumeration.chunks is None:
            settings = self._settings
            source = source_of(job.source, within=settings.source_directories, endpoint=settings.source_endpoint)
            limits = {"batch_size": job.batch_size, "batch_bytes": settings.batch_bytes}
            enumeration.chunks = chunks(source, job.position or "{}", **limits)
        chunk = next(enumeration.chunks)
        enumeration.failed_since, enumeration.pause, enumeration.trouble = None, AGAIN_SECONDS, ""
        if self._closing:
            return OVER
        stored = self._stored(enumeration, lambda tx: _append(tx, job, chunk))
        if stored is None:
            return _again(AGAIN_SECONDS)
        enumeration.job = job._replace(position=chunk.position)
        return None if stored and chunk.position is not None else OVER

    def _is_behind(self, channel: Channel) -> bool:
        """Return whether the workers have as much to do as the channel's credit allows."""
        average = channel.size / max(channel.next_offset, 1)
        is_full = channel.unfinished * average >= self._settings.credit_bytes
        return is_full or channel.unfinished >= self._settings.credit_records

    def _trouble(self, enumeration: Enumeration, error: PlaceUnavailable) -> Waiting:
        """Let a store recover, for some time."""
        enumeration.chunks, enumeration.trouble = None, error.message
        now = steady()
        since = enumeration.failed_since = enumeration.failed_since or now
        if now - since >= self._settings.source_seconds:
            return self._fail(enumeration, f"{error.message} It was tried for {now - since:.0f} seconds.")
        log.warning("the items of job %s wait: %s", enumeration.job.activation_id, error.message)
        waiting = _again(min(enumeration.pause, max(0.0, since + self._settings.source_seconds - now)))
        enumeration.pause = min(2 * enumeration.pause, MOST_SECONDS)
        return waiting

    def _fail(self, enumeration: Enumeration, cause: str) -> Waiting:
        """End a job whose items cannot be read."""
        job = enumeration.job
        stored = self._stored(enumeration, lambda tx: _give_up(tx, job, cause))
        return _again(AGAIN_SECONDS) if stored is None else OVER

    def _stored(self, enumeration: Enumeration, operation: Callable[[Tx], bool]) -> bool | None:
        """Return what an operation returns; None when the disk is full: it is for a later turn."""
        try:
            return self._store.write(operation).result()
        except PlaceUnavailable as error:
            log.warning("the items of job %s cannot be stored: %s", enumeration.job.activation_id, error.message)
            enumeration.chunks = None  # opened at the stored position
            return None


OVER = Waiting(0.0, None)


def _again(seconds: float) -> Waiting:
    return Waiting(steady(), steady() + seconds)


def _node(job: Job) -> str:
    return f"{job.api_name}.items"


def _append(tx: Tx, job: Job, chunk: ItemChunk) -> bool:
    sender = Sender(activation_id=job.activation_id, sending_id=sending_id(job.activation_id, SOURCE))
    sent = Sent(output="", count=chunk.size, bytes=chunk.items) if chunk.size else None
    return jobs.add_items(tx, job, _node(job), sender, sent, chunk.position)


def _give_up(tx: Tx, job: Job, cause: str) -> bool:
    activations.note_verdict(tx, job.activation_id, Verdict.ENQUEUE_FAILED)
    return activations.ask_cancel(tx, job.activation_id, job.project_id, cause)
