"""Tracks how far records have been handed out to the attempt of each stream; in memory, while the attempt runs."""

from __future__ import annotations

from collections.abc import Mapping

ATTEMPTS = 10_000  # are known; beyond it all are forgotten, and what is there counts as handed out
Progress = dict[int, tuple[int, int]]  # channel -> acknowledged below, there below


class HandedOut:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, int], dict[int, int]] = {}  # (task, attempt) -> channel -> handed out below

    def note(self, task_id: int, attempt: int, ends: Mapping[int, int]) -> None:
        """An attempt asked for records: it has those below these offsets, or gets them now."""
        if len(self._ends) >= ATTEMPTS and (task_id, attempt) not in self._ends:
            self._ends.clear()
        known = self._ends.setdefault((task_id, attempt), {})
        for channel_id, end in ends.items():
            known[channel_id] = max(end, known.get(channel_id, 0))

    def progress(self, task_id: int, attempt: int, progress: Progress) -> Progress:
        """Return the progress of an attempt that has ended, without what was not handed out to it; forget it.

        Unchanged where nobody knows: the attempt has not asked since this owner began.
        """
        known = self._ends.pop((task_id, attempt), None)
        if known is None:
            return progress
        return {key: (acked, min(end, max(acked, known.get(key, 0)))) for key, (acked, end) in progress.items()}
