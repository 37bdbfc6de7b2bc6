"""The row of a job: whole figures, a rate of the last time, and the time left only where it is known."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fabric_jobs.cli.job_list import STATUSES
from fabric_jobs.cli.terminal.display import Display, lines_of
from fabric_jobs.cli.terminal.job import GOING, WINDOW_SECONDS, JobProgress, Pace, row_of, took, word_of


def job(done: int = 0, total: int = 40, **values: Any) -> dict[str, Any]:
    counts = {"succeeded": done, "failed": values.pop("failed", 0)}
    return {
        "job_id": "6f2c41d0a1b2c3d4",
        "api_name": "measure",
        "kind": "BatchAPI",
        "status": "running",
        "workers": 4,
        "worker_counts": {"running": 3},
        "batch_metrics": counts,
        "batches_dead": 0,
        "total_batch_count": total,
        "enqueued": True,
        "start_time": "2013-02-08T10:00:00Z",
        **values,
    }


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a list with the time."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return clock


class Shown(Display):
    """A display that keeps what it was given."""

    def show(self, rows: Any) -> None:
        (self.row,) = rows


def figures(shown: Shown) -> list[str]:
    return [cell for cell in shown.row.figures if cell]


def test_the_rate_is_that_of_the_last_time_and_says_when_it_ends(now: list[float]) -> None:
    shown = Shown(stream=io.StringIO())
    progress = JobProgress(shown)
    progress.update(job(worker_counts={"initializing": 4}, enqueued=False, total=3))
    assert figures(shown) == ["0 of 3+ batches", "0 of 4 workers"]
    now[0] += 50  # the workers are slow to start, which says nothing about how fast they are
    progress.update(job(0))
    now[0] += 10
    progress.update(job(10))
    assert figures(shown) == ["10 of 40 batches", "30.0s left", "1.0/s", "3 of 4 workers"]
    for _ in range(40):
        now[0] += 1
        progress.update(job(12))
    assert figures(shown) == ["12 of 40 batches", "3 of 4 workers"]  # it has stalled for longer than the window
    now[0] += WINDOW_SECONDS
    progress.update(job(27))
    assert figures(shown)[1:3] == ["26.0s left", "0.5/s"]


def test_the_end_is_unknown_while_items_still_come(now: list[float]) -> None:
    shown = Shown(stream=io.StringIO())
    progress = JobProgress(shown)
    progress.update(job(0, enqueued=False))
    now[0] += 10
    progress.update(job(20, enqueued=False))
    assert figures(shown) == ["20 of 40+ batches", "2.0/s", "3 of 4 workers"]


def test_failures_come_first_and_stay_when_the_terminal_is_narrow() -> None:
    row = row_of(job(12, failed=3), Pace(1.5, 18.0))
    assert lines_of([row], 100) == [
        "  measure  running    failed 3  12 of 40 batches  18.0s left  1.5/s  3 of 4 workers"
    ]
    assert lines_of([row], 60) == ["  measure  running    failed 3  12 of 40 batches"]


def test_what_was_given_up_is_done_too() -> None:
    assert row_of(job(12, batches_dead=28)).figures[1] == "40 of 40 batches"


def test_an_ended_job_has_neither_rate_nor_workers() -> None:
    row = row_of(job(40, status="succeeded"), Pace(3.0))
    assert (row.is_going, [cell for cell in row.figures if cell]) == (False, ["40 of 40 batches"])


def test_a_job_of_a_task_api_has_only_its_status() -> None:
    row = row_of({"api_name": "greet", "kind": "TaskAPI", "status": "worker_error", "workers": 1})
    assert (row.state, row.figures, row.is_going) == ("worker error", (), False)


def test_every_status_has_words_without_underscores() -> None:
    assert not any("_" in word_of(status) for status in STATUSES)
    assert [status for status in STATUSES if row_of(job(status=status)).is_going] == list(GOING)


def test_without_a_terminal_each_status_is_said_once(now: list[float]) -> None:
    stream = io.StringIO()
    progress = JobProgress(Display(stream=stream))
    for status in ("pending", "running", "running", "succeeded"):
        progress.update(job(status=status))
    now[0] += 60
    progress.update(job(7))
    assert stream.getvalue().splitlines() == [
        "measure: pending",
        "measure: running",
        "measure: succeeded",
        "measure  running    7 of 40 batches  4m43s left  0.1/s  3 of 4 workers",
    ]


def test_how_long_it_took() -> None:
    assert took(job()) == ""
    assert took(job(end_time="2013-02-08T10:03:20.5Z")) == " in 3m20s"


def test_without_a_terminal_what_stands_still_is_said_once_a_minute(now: list[float]) -> None:
    stream = io.StringIO()
    progress = JobProgress(Display(stream=stream))
    for _ in range(25):
        now[0] += 6
        progress.update(job(7))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "measure: running"
    assert lines[1:] == ["measure  running    7 of 40 batches  3 of 4 workers"] * 3
