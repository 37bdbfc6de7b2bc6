"""What is asked at every look, start, end and invocation costs what is live, not what has ended: SQLite is asked for its plans."""

from __future__ import annotations

import re

import pytest

from fabric_jobs.store import Store
from fabric_jobs.store.sql import QUERIES

# Each of these is run once or more for a task, a commit, or a look at an activation.
HOT = (
    "activation",
    "pending_activation",
    "first_waiting_activation",
    "admitted_activation_count",
    "activations_to_admit",
    "admit_activation",
    "end_activation",
    "task",
    "live_tasks",
    "stream_tasks",
    "busy_slots",
    "live_task_count",
    "live_daemons",
    "unsettled_activations",
    "start_task",
    "activate_task",
    "requeue_task",
    "end_task",
    "attempt",
    "set_handle",
    "end_attempt",
    "ask_cancel_of_live_tasks",
    "channels_of_activation",
    "channels_of_output",
    "inbound_channels",
    "inbound_of_attempt",
    "ack_channel",
    "ack_message_tasks",
    "dispatch_channel",
    "close_inbound",
    "segments_from",
    "segment_sizes",
    "delete_consumed",
    "hops_of_record",
    "current_attempt",
    "note_commit",
    "held_of_task",
    "delete_held",
    "dead_offsets",
    "events_of_activation",
    "latest_definition",
    "definition",
)


@pytest.mark.parametrize("name", HOT)
def test_what_is_asked_often_scans_no_table(store: Store, name: str) -> None:
    values = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name]))
    rows = store.read.connection.execute(f"explain query plan {QUERIES[name]}", values).fetchall()
    scans = [row["detail"] for row in rows if is_wide(row["detail"]) and not is_narrow(row["detail"])]
    assert scans == []


def is_wide(detail: str) -> bool:
    """Tell whether a step looks at more than what it was asked for: at all rows, or at all behind a number."""
    return detail.startswith("SCAN") or "(rowid>?)" in detail


def is_narrow(detail: str) -> bool:
    """Tell whether a scan is one of an index that has only what is live in it, or of what another step has found."""
    return bool(
        re.search(
            r"INDEX (tasks_(busy|live|live_daemons|unfinished)|activations_admitted)\b|^SCAN (CONSTANT|\(subquery)",
            detail,
        )
    )
