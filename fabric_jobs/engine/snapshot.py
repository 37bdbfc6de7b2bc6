"""What the engine decides on: one activation's stored state and its executors' reports, at one moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric_jobs.clock import steady
from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.records import Activation, Channel, Task
from fabric_jobs.routing import SOURCE, Node, Plan
from fabric_jobs.store import activations, channels, tasks
from fabric_jobs.store.sql import Sql


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One activation at one moment."""

    activation: Activation
    plan: Plan
    channels: tuple[Channel, ...]
    live: tuple[Task, ...]  # tasks that have not ended, oldest first; includes tasks of calls
    streams: Mapping[str, int]  # node -> how many tasks read its stream, or have read it
    exits: Mapping[int, AttemptExit] = field(default_factory=dict)  # task_id -> how its attempt ended
    accepted: frozenset[int] = frozenset()  # tasks whose attempt this process has handed to an executor
    running_late: frozenset[int] = frozenset()  # tasks whose program was found running at its timeout
    waiting: Mapping[int, float] = field(default_factory=dict)  # channel -> since when its incomplete batch waits
    now: float = 0.0  # by the monotonic clock
    free_slots: int = 0  # message tasks that may start besides the one that each node always has
    cpus: int = 1
    due: float | None = None  # when the job that it is times out, by the monotonic clock

    def inbound(self, node: Node) -> list[Channel]:
        """Return the channels that a node consumes."""
        return [channel for channel in self.channels if channel.node == node.key]

    def running(self, node: str) -> list[Task]:
        """Return the live tasks of a node."""
        return [task for task in self.live if task.node == node]

    def busy(self) -> set[str]:
        """Return the nodes and joins that may still send without receiving anything new."""
        found = {task.node for task in self.live if task.kind == "job"}
        for node in self.plan.nodes.values():
            if node.is_stream:
                if self.streams.get(node.key, 0) < node.workers:
                    found.add(node.key)
            elif node.is_called:
                if any(channel.acked < channel.next_offset for channel in self.inbound(node)):
                    found.add(node.key)
            elif any(channel.dispatched < channel.next_offset for channel in self.inbound(node)):
                found.add(node.key)
        return found | {key for key in self.plan.joins if self.waits(key)}

    def waits(self, join: str) -> bool:
        """Return whether a join has records that it has not delivered."""
        return any(channel.acked < channel.next_offset for channel in self.channels if channel.node == join)

    def ready_joins(self) -> list[str]:
        """Return the joins that can receive no more and have something to send."""
        open_ones = {channel.node for channel in self.channels if not channel.ended}
        return [key for key in self.plan.joins if key not in open_ones and self.waits(key)]

    def ended_channels(self) -> list[Channel]:
        """Return the open channels whose sender cannot send any more."""
        may_send = self.plan.downstream(self.busy())
        wires = self.plan.wires
        return [
            channel
            for channel in self.channels
            if not channel.ended and wires[channel.wire].source != SOURCE and wires[channel.wire].source not in may_send
        ]


def take(sql: Sql, activation_id: str, plan: Plan) -> Snapshot | None:
    """Read the stored part of a snapshot; None when there is no such activation."""
    activation = activations.find(sql, activation_id)
    if activation is None:
        return None
    return Snapshot(
        due=_due(sql, activation_id) if plan.is_of_api else None,
        activation=activation,
        plan=plan,
        channels=tuple(channels.of_activation(sql, activation_id)),
        live=tuple(tasks.live(sql, activation_id)),
        streams=tasks.stream_counts(sql, activation_id),
    )


def _due(sql: Sql, activation_id: str) -> float | None:
    from fabric_jobs.store import jobs  # late: most owners have no jobs

    due_at = jobs.due_at(sql, activation_id)
    return None if due_at is None else steady() + due_at - time.time()
