"""Remembers since when incomplete batches wait for more records."""

from __future__ import annotations

from collections.abc import Mapping

from fabric_jobs.engine.snapshot import Snapshot


class Waits:
    """Filled when activations are looked at; only the engine's thread uses it. After a restart, the wait begins anew."""

    def __init__(self) -> None:
        self._since: dict[str, dict[int, tuple[int, float]]] = {}  # activation -> channel -> first record, time

    def note(self, snapshot: Snapshot, now: float) -> Mapping[int, float]:
        """Return since when each channel of an activation has had an incomplete batch, by the monotonic clock."""
        known = self._since.pop(snapshot.activation.activation_id, {})
        batched = {node.key for node in snapshot.plan.nodes.values() if node.batch is not None}
        waiting = [
            channel
            for channel in snapshot.channels
            if channel.node in batched and channel.dispatched < channel.next_offset
        ]
        if snapshot.activation.ended or not waiting:
            return {}
        found: dict[int, tuple[int, float]] = {}
        for channel in waiting:
            first, since = known.get(channel.channel_id, (-1, now))
            found[channel.channel_id] = (channel.dispatched, since if first == channel.dispatched else now)
        self._since[snapshot.activation.activation_id] = found
        return {channel_id: since for channel_id, (_, since) in found.items()}
