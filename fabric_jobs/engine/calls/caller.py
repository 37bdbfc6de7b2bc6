"""Makes calls for the records of one node, several at a time, and commits the answers in the order of the records.

An answer and the acknowledgement of its record are one transaction; after a crash before it, the call is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import groupby
from json import dumps

from fabric_jobs.engine import finish as ends
from fabric_jobs.engine.calls.target import Unusable
from fabric_jobs.engine.finish import Finish
from fabric_jobs.engine.outcome import Outcome, backoff
from fabric_jobs.engine.settle import settle
from fabric_jobs.errors import FabricJobsError, StaleAttempt
from fabric_jobs.records import Activation, Segment, Task
from fabric_jobs.routing import Node, Plan, sending_id
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, channels, tasks
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent, runs_of
from fabric_jobs.store.tasks import Ending

log = logging.getLogger(__name__)

PULL_BYTES = 256 << 10
AHEAD = 64  # at least this many answers may wait for an earlier one; times `concurrency` if that is more

Call = Callable[[bytes], Awaitable[tuple[str, bytes]]]  # record -> output and payload; raises Unusable


@dataclass(frozen=True, kw_only=True)
class CallWork:
    """What a caller works on."""

    activation: Activation
    plan: Plan
    node: Node
    task: Task


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payload for an output."""

    output: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """A record for which every call failed."""

    cause: str
    lines: tuple[str, ...]
    attempts: int


Result = Outgoing | Dead


class Caller:
    """The calls of one node of one activation. All of it runs in the loop of the calls."""

    def __init__(self, store: Store, work: CallWork, call: Call, record_bytes: int) -> None:
        self._store = store
        self._work = work
        self._call = call
        self._record_bytes = record_bytes
        self._wake = asyncio.Event()
        self._results: OrderedDict[tuple[int, int], Result | None] = OrderedDict()  # in record order
        self._committing = False
        self._cyclic = any(wire.cyclic and wire.target == work.node.key for wire in work.plan.wires)
        ahead = max(AHEAD, 4 * work.node.action.concurrency)
        self._room = asyncio.Semaphore(ahead)
        self._positions: dict[int, int] = {}

    @property
    def activation_id(self) -> str:
        """Return the activation that the records belong to."""
        return self._work.activation.activation_id

    async def give_up(self, cause: str) -> None:
        """Fail the task, and its activation with it."""
        await asyncio.wrap_future(self._store.write(lambda tx: self._abandon(tx, cause)))

    def wake(self) -> None:
        """Look for new records."""
        self._wake.set()

    async def run(self) -> None:
        """Make calls until cancelled, or until the activation is over."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                found = await asyncio.to_thread(self._next) if not self._positions else self._next()
                if found is None:
                    await self._wake.wait()
                    continue
                channel_id, segment = found
                await self._hand_out(group, channel_id, segment)

    async def _hand_out(self, group: asyncio.TaskGroup, channel_id: int, segment: Segment) -> None:
        lines = segment.bytes.split(b"\n")[: segment.count]
        for offset, line in enumerate(lines, start=segment.first_offset):
            await self._room.acquire()
            self._results[channel_id, offset] = None
            self._positions[channel_id] = offset + 1
            group.create_task(self._handle(channel_id, offset, line))

    def _next(self) -> tuple[int, Segment] | None:
        work = self._work
        for channel in channels.inbound(self._store.read, work.activation.activation_id, work.node.key):
            offset = max(channel.acked, self._positions.get(channel.channel_id, 0))
            self._positions[channel.channel_id] = offset
            if offset < channel.next_offset:
                segment = self._store.records(channel.channel_id, offset, max_bytes=PULL_BYTES)
                if segment is not None:
                    return channel.channel_id, segment
        return None

    async def _handle(self, channel_id: int, offset: int, record: bytes) -> None:
        self._results[channel_id, offset] = await self._result(record)
        if not self._committing and next(iter(self._results.values())) is not None:
            self._committing = True
            try:
                await self._commit_ready()
            finally:
                self._committing = False

    async def _result(self, record: bytes) -> Result:
        retries = self._work.node.action.retries
        failures = 0
        while True:
            try:
                output, payload = await self._ask(record)
                if len(payload) > self._record_bytes:
                    raise Unusable(
                        f"the answer is over the limit of a record ({self._record_bytes:,} bytes)", again=False
                    )
            except Unusable as error:
                failures += 1
                if failures > retries.limit or not error.again:
                    return Dead(error.cause, error.lines, failures)
                await asyncio.sleep(backoff(retries, failures))
            else:
                return Outgoing(output, payload + b"\n")

    async def _ask(self, record: bytes) -> tuple[str, bytes]:
        """Make the call for a record; an unexpected error fails this record and not the others."""
        try:
            return await self._call(record)
        except (Unusable, FabricJobsError):
            raise
        except Exception as error:
            log.exception("a call of %s", self._work.node.key)
            raise Unusable(f"the call was not possible: {type(error).__name__}: {error}") from error

    async def _commit_ready(self) -> None:
        """Commit the answers up to the first missing one; those that arrive meanwhile share the next transaction."""
        await asyncio.sleep(0)  # store together what arrived together; free when nothing else did
        while ready := self._take_ready():
            write = self._store.write(lambda tx, ready=ready: self._commit(tx, ready))  # type: ignore[misc]
            try:
                await asyncio.wrap_future(write)
            except StaleAttempt:
                raise asyncio.CancelledError from None  # the activation is over, so stop
            for _ in ready:
                self._room.release()

    def _take_ready(self) -> list[tuple[int, int, Result]]:
        ready: list[tuple[int, int, Result]] = []
        for (channel_id, offset), result in self._results.items():
            if result is None:
                break
            ready.append((channel_id, offset, result))
        for channel_id, offset, _ in ready:
            del self._results[channel_id, offset]
        return ready

    def _commit(self, tx: Tx, ready: list[tuple[int, int, Result]]) -> None:
        """Publish answers, keep dead letters and acknowledge, in one transaction; raise StaleAttempt when the task is over."""
        work = self._work
        task = tasks.find(tx, work.task.task_id)
        if task is None or task.ended or task.cancel_requested:
            raise StaleAttempt("the calls are over")
        for channel_id, group in groupby(ready, key=lambda item: item[0]):
            for index, (_, offset, result) in enumerate(items := list(group)):
                if isinstance(result, Dead) and not self._keep(tx, task, channel_id, offset, result):
                    self._publish(tx, task, channel_id, items[:index])
                    channels.ack(tx, channel_id, offset)
                    self._fail(tx, task, channel_id, offset, result)
                    return
            self._publish(tx, task, channel_id, items)
            channels.ack(tx, channel_id, items[-1][1] + 1)
        if self._results:
            return  # more answers are under way: this was not the last
        found = channels.inbound(tx, work.activation.activation_id, work.node.key)
        if all(channel.acked >= channel.next_offset for channel in found):
            settle(tx, work.activation.activation_id, work.plan)

    def _publish(self, tx: Tx, task: Task, channel_id: int, items: list[tuple[int, int, Result]]) -> None:
        alive = [(offset, result) for _, offset, result in items if isinstance(result, Outgoing)]
        for (output, hops), group in groupby(
            alive, key=lambda item: (item[1].output, self._hops(tx, channel_id, item[0]))
        ):
            records = list(group)
            sender = Sender(
                activation_id=str(task.activation_id),
                sending_id=sending_id(str(task.activation_id), task.node),
                task_id=task.task_id,
                hops=hops,
            )
            sent = Sent(
                output=output,
                count=len(records),
                bytes=b"".join(result.payload for _, result in records),
                parents=runs_of((channel_id, offset) for offset, _ in records),
            )
            channels.append(tx, sender, sent)
            tx.run("count_sent", task_id=task.task_id, count=sent.count)

    def _hops(self, tx: Tx, channel_id: int, offset: int) -> int:
        return 1 + channels.hops_of(tx, channel_id, offset) if self._cyclic else 1

    def _keep(self, tx: Tx, task: Task, channel_id: int, offset: int, dead: Dead) -> bool:
        """Keep a dead letter; False when the activation must fail instead."""
        if self._work.node.action.on_error == "fail":
            return False
        outcome = _failed(dead, (channel_id, offset))
        ends.keep_dead(tx, self._finish(task, outcome, (channel_id, offset), dead.lines))
        return True

    def _fail(self, tx: Tx, task: Task, channel_id: int, offset: int, dead: Dead) -> None:
        ends.fail(tx, self._finish(task, _failed(dead), (channel_id, offset), dead.lines))

    def _abandon(self, tx: Tx, cause: str) -> None:
        task = tasks.find(tx, self._work.task.task_id)
        if task is None or task.ended:
            return
        ends.fail(tx, self._finish(task, Outcome(state=TaskState.FAILED, cause=cause)))

    def _finish(
        self, task: Task, outcome: Outcome, place: tuple[int, int] | None = None, lines: tuple[str, ...] = ()
    ) -> Finish:
        return Finish(
            activation=self._work.activation,
            task=task if place is None else replace(task, left_at=dumps(place)),
            node=self._work.node,
            plan=self._work.plan,
            ending=Ending(exit_code=None),
            outcome=outcome,
            last_lines=lines,
        )


def _failed(dead: Dead, place: tuple[int, int] | None = None) -> Outcome:
    return Outcome(state=TaskState.FAILED, cause=dead.cause, dead=place, attempts=dead.attempts)
