"""Makes calls for the records of one node, several at a time, and commits the answers in the order of the records.

An answer and the acknowledgement of its record are one transaction; after a crash before it, the call is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from json import dumps

from fabric_jobs import json_text
from fabric_jobs.engine import finish as ends
from fabric_jobs.engine.calls.intake import Intake, Unit
from fabric_jobs.engine.calls.target import Unusable
from fabric_jobs.engine.finish import Finish
from fabric_jobs.engine.outcome import Outcome, backoff
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed
from fabric_jobs.engine.settle import settle
from fabric_jobs.errors import FabricJobsError, StaleAttempt
from fabric_jobs.records import Activation, Lease, Task
from fabric_jobs.routing import Node, Plan, sending_id
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, channels, leases, tasks
from fabric_jobs.store.channels import Sender
from fabric_jobs.store.sent import Sent, runs_of
from fabric_jobs.store.tasks import Ending

log = logging.getLogger(__name__)

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
    printed: Printed
    attempts: int


Result = Outgoing | Dead


def elements(payload: bytes, count: int) -> list[bytes]:
    """Return the answers to a batch of `count` records, each as JSON text; raise Unusable unless it is an array of as many."""
    value = json_text.loads(payload, levels=json_text.DEPTH + 1)
    if not isinstance(value, list) or len(value) != count:
        found = (
            f"an array of {len(value):,}"
            if isinstance(value, list)
            else f"no array: {payload[:60].decode(errors='replace')}"
        )
        raise Unusable(
            f"the answer to a batch of {count:,} records must be an array of {count:,} answers, and is {found}"
        )
    return [dumps(each, separators=(",", ":"), allow_nan=False).encode() for each in value]


class Caller:
    """The calls of one node of one activation. All of it runs in the loop of the calls."""

    def __init__(self, store: Store, work: CallWork, call: Call, record_bytes: int) -> None:
        self._store = store
        self._work = work
        self._call = call
        self._record_bytes = record_bytes
        self._wake = asyncio.Event()
        self._results: OrderedDict[tuple[int, int], list[Result] | None] = (
            OrderedDict()
        )  # of each unit, in record order
        self._committing = False
        self._cyclic = any(wire.cyclic and wire.target == work.node.key for wire in work.plan.wires)
        ahead = max(AHEAD, 4 * work.node.action.concurrency)
        self._room = asyncio.Semaphore(ahead)
        self._intake = Intake(store, work.activation.activation_id, work.node.key, work.node.action.batch)

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
                intake = self._intake
                found = await asyncio.to_thread(intake.next) if intake.is_fresh else intake.next()
                for unit in found:
                    await self._room.acquire()
                    self._results[unit.channel_id, unit.first] = None
                    group.create_task(self._handle(unit))
                if not found:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), intake.due_in)

    async def _handle(self, unit: Unit) -> None:
        self._results[unit.channel_id, unit.first] = await self._results_of(unit.records)
        if not self._committing and next(iter(self._results.values())) is not None:
            self._committing = True
            try:
                await self._commit_ready()
            finally:
                self._committing = False

    async def _results_of(self, records: tuple[bytes, ...], tried: int = 0) -> list[Result]:
        """Return what becomes of each record; `tried` calls with more records have failed."""
        action, failures = self._work.node.action, 0
        while True:
            try:
                return [*await self._answers(records)]
            except Unusable as error:
                failures += 1
                if failures <= action.retries.limit and error.again and not tried:
                    await asyncio.sleep(backoff(action.retries, failures))
                    continue
                if len(records) == 1 or action.on_error == "fail" or action.batch is None or not action.batch.split:
                    return [Dead(error.cause, error.printed, tried + failures)] * len(records)
            half = len(records) // 2
            return [
                *await self._results_of(records[:half], tried + failures),
                *await self._results_of(records[half:], tried + failures),
            ]

    async def _answers(self, records: tuple[bytes, ...]) -> list[Outgoing]:
        """Call with records; raise Unusable unless there is an answer for each."""
        if self._work.node.action.batch is None:
            output, payload = await self._ask(records[0])
            payloads = [payload]
        else:
            output, payload = await self._ask(b"[" + b",".join(records) + b"]")
            payloads = elements(payload, len(records))
        if max(map(len, payloads)) > self._record_bytes:
            raise Unusable(f"the answer is over the limit of a record ({self._record_bytes:,} bytes)", again=False)
        return [Outgoing(output, payload + b"\n") for payload in payloads]

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

    def _take_ready(self) -> list[tuple[int, int, Result]]:
        ready: list[tuple[int, int, Result]] = []
        done: list[tuple[int, int]] = []
        for (channel_id, first), results in self._results.items():
            if results is None:
                break
            done.append((channel_id, first))
            ready += [(channel_id, offset, result) for offset, result in enumerate(results, start=first)]
        for place in done:
            del self._results[place]
            self._room.release()
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
                    leases.finish(tx, task.task_id, channel_id, items[0][1], offset)
                    self._fail(tx, task, channel_id, offset, result)
                    return
            self._publish(tx, task, channel_id, items)
            leases.finish(tx, task.task_id, channel_id, items[0][1], items[-1][1] + 1)
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
        ends.keep_dead(tx, self._finish(task, outcome, (channel_id, offset), dead.printed))
        return True

    def _fail(self, tx: Tx, task: Task, channel_id: int, offset: int, dead: Dead) -> None:
        ends.fail(tx, self._finish(task, _failed(dead), (channel_id, offset), dead.printed))

    def _abandon(self, tx: Tx, cause: str) -> None:
        task = tasks.find(tx, self._work.task.task_id)
        if task is None or task.ended:
            return
        ends.fail(tx, self._finish(task, Outcome(state=TaskState.FAILED, cause=cause)))

    def _finish(
        self, task: Task, outcome: Outcome, place: tuple[int, int] | None = None, printed: Printed = NOTHING_PRINTED
    ) -> Finish:
        return Finish(
            activation=self._work.activation,
            task=task if place is None else replace(task, left_at=dumps(place)),
            node=self._work.node,
            plan=self._work.plan,
            ending=Ending(exit_code=None),
            outcome=outcome,
            printed=printed,
        )


def _failed(dead: Dead, place: tuple[int, int] | None = None) -> Outcome:
    records = None if place is None else Lease(place[0], place[1], place[1] + 1)
    return Outcome(state=TaskState.FAILED, cause=dead.cause, dead=records, attempts=dead.attempts)
