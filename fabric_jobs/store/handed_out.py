"""Tracks, in memory, which records have been handed out to the running attempt of each stream."""

from __future__ import annotations

from collections.abc import Mapping

ATTEMPTS = 10_000  # at most; then all are forgotten, and every record counts as handed out
Progress = dict[int, tuple[int, int]]  # channel -> acknowledged below, appended below


class HandedOut:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, int], dict[int, int]] = {}  # (task, attempt) -> channel -> handed out below

    def note(self, task_id: int, attempt: int, ends: Mapping[int, int]) -> None:
        """Note that an attempt asked for records, and has or gets those below these offsets."""
        if len(self._ends) >= ATTEMPTS and (task_id, attempt) not in self._ends:
            self._ends.clear()
        known = self._ends.setdefault((task_id, attempt), {})
        for channel_id, end in ends.items():
            known[channel_id] = max(end, known.get(channel_id, 0))

    def progress(self, task_id: int, attempt: int, progress: Progress) -> Progress:
        """Return the progress of an ended attempt, limited to the records handed out to it; forget the attempt.

        Return it unchanged when the attempt has not asked since this owner started.
        """
        known = self._ends.pop((task_id, attempt), None)
        if known is None:
            return progress
        return {key: (acked, min(end, max(acked, known.get(key, 0)))) for key, (acked, end) in progress.items()}
