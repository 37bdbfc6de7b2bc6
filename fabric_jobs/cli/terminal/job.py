"""The row of the display for a job: how many batches are done, how fast, and the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fabric_jobs.cli.terminal.display import Display, Row
from fabric_jobs.durations import measured

REPEAT_SECONDS = 60.0  # until a line without news is printed again where there is no terminal
WINDOW_SECONDS = 30.0  # the rate is that of this last time

# Statuses whose words people read otherwise.
WORDS = {
    "enqueue_failed": "failed while enqueuing",
    "completed_with_failures": "completed with failures",
    "unexpected_error": "unexpected error",
    "worker_error": "worker error",
    "worker_oom": "out of memory",
    "timed_out": "timed out",
}
GOING = ("pending", "enqueuing", "running")


class Pace(NamedTuple):
    """How fast a job goes."""

    batches: float = 0.0  # a second
    left: float | None = None  # seconds until the end; None: unknown


UNKNOWN = Pace()


class JobProgress:
    """Shows the progress of a job."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._seen: deque[tuple[float, int]] = deque()  # since batches are handled: when, and how many were done
        self._shown: Row | None = None
        self._shown_at = 0.0

    def update(self, job: Mapping[str, Any]) -> float:
        """Show a job; return the seconds until the next update."""
        if _at_work(job) and job["kind"] == "BatchAPI":
            self._note(time.monotonic(), done_of(job))
        if not self._display.is_live and not self._display.is_quiet:
            self._display.once(job["status"], f"{job['api_name']}: {word_of(job['status'])}")
        self._show(row_of(job, self._pace(job)), time.monotonic())
        return self._display.interval

    def _show(self, row: Row, now: float) -> None:
        """Show a row; without a terminal, only when it says something new, or a minute later."""
        if self._display.is_live or row != self._shown or now - self._shown_at >= REPEAT_SECONDS:
            self._shown, self._shown_at = row, now
            self._display.show([row])

    def _note(self, now: float, done: int) -> None:
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()

    def _pace(self, job: Mapping[str, Any]) -> Pace:
        if not self._seen:
            return UNKNOWN
        (begin, before), (now, done) = self._seen[0], self._seen[-1]
        rate = (done - before) / (now - begin) if now > begin else 0.0
        total = job["total_batch_count"]
        return Pace(rate, (total - done) / rate if rate and job["enqueued"] and job["status"] == "running" else None)


def done_of(job: Mapping[str, Any]) -> int:
    """Return how many batches will not be handled again."""
    return int(job["batch_metrics"]["succeeded"] + job["batches_dead"])


def word_of(status: str) -> str:
    """Return a status as people read it."""
    return WORDS.get(status, status)


def row_of(job: Mapping[str, Any], pace: Pace = UNKNOWN) -> Row:
    """Return the line of a job."""
    going = job["status"] in GOING
    figures: tuple[str, ...] = ()
    if job["kind"] == "BatchAPI":
        failed = job["batch_metrics"]["failed"]
        figures = (
            f"failed {failed:,}" if failed else "",
            batches_of(job),
            f"{measured(pace.left)} left" if pace.left is not None else "",
            f"{pace.batches:,.1f}/s" if pace.batches and going else "",
            workers_of(job) if going else "",
        )
    return Row(label=job["api_name"], state=word_of(job["status"]), figures=figures, is_going=going)


def took(job: Mapping[str, Any]) -> str:
    """Return how long a job took, such as ` in 3.2s`; empty while it runs."""
    if "end_time" not in job:
        return ""
    return f" in {measured((milliseconds(job['end_time']) - milliseconds(job['start_time'])) / 1000)}"


def milliseconds(at: str) -> float:
    """Return a time in RFC 3339 as milliseconds since 1970."""
    return datetime.fromisoformat(at).timestamp() * 1000


def batches_of(job: Mapping[str, Any]) -> str:
    """Return how many batches are done of how many; a `+` says that there may be more."""
    more = "" if job["enqueued"] else "+"
    return f"{done_of(job):,} of {job['total_batch_count'] or 0:,}{more} batches"


def workers_of(job: Mapping[str, Any]) -> str:
    """Return how many workers are at work of how many."""
    return f"{_at_work(job)} of {job['workers']} workers"


def _at_work(job: Mapping[str, Any]) -> int:
    return int(job.get("worker_counts", {}).get("running", 0))
