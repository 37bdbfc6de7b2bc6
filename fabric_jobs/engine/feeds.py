"""Knows which channels feed message tasks: a record in one of them is a reason to look at its activation."""

from __future__ import annotations

from threading import Lock

from fabric_jobs.engine.snapshot import Snapshot


class Feeds:
    """Filled when activations are looked at, asked after every commit; safe to use from any thread."""

    def __init__(self) -> None:
        self._fed: dict[int, str] = {}  # channel -> activation
        self._feeds: dict[str, set[int]] = {}  # the same by activation
        self._lock = Lock()

    def note(self, snapshot: Snapshot) -> None:
        """Note the channels of a running activation; forget those of an ended one."""
        activation_id = snapshot.activation.activation_id
        if snapshot.activation.ended:
            self.forget(activation_id)
            return
        nodes = snapshot.plan.nodes
        found = {
            channel.channel_id
            for channel in snapshot.channels
            if (node := nodes.get(channel.node)) is not None and not node.is_stream
        }
        with self._lock:
            self._feeds[activation_id] = found
            self._fed.update(dict.fromkeys(found, activation_id))

    def forget(self, activation_id: str) -> None:
        """Forget an activation in which no more tasks are made."""
        with self._lock:
            for channel_id in self._feeds.pop(activation_id, ()):
                self._fed.pop(channel_id, None)

    def fed(self, channels: set[int]) -> set[str]:
        """Return the activations that these channels feed."""
        with self._lock:
            return {self._fed[channel_id] for channel_id in channels if channel_id in self._fed}
