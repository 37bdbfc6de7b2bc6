"""Carries out decisions: makes tasks, posts wishes for attempts, ends tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from fabric_jobs.engine import finish as ends
from fabric_jobs.engine.create import Advanced, advance, create_tasks
from fabric_jobs.engine.decide import (
    AskWhetherItRuns,
    AwaitSlot,
    CallRecords,
    CancelActivation,
    CreateTasks,
    Decision,
    EndCalls,
    FinishTask,
    LaunchAttempt,
    LookAgain,
    StartTask,
    StopAttempt,
)
from fabric_jobs.engine.finish import Finish
from fabric_jobs.engine.lanes import Work
from fabric_jobs.engine.misplaced import hint as misplaced
from fabric_jobs.engine.outcome import Ended, Outcome, deadline_of, outcome, refused
from fabric_jobs.engine.output import NOTHING, Output
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.printed import NOTHING_PRINTED
from fabric_jobs.engine.slots import Slots
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.engine.trims import Trims
from fabric_jobs.engine.works import Works
from fabric_jobs.errors import InvalidInput, ReplayDiffers
from fabric_jobs.executors.base import STOPPED, AttemptExit
from fabric_jobs.records import Activation, Task
from fabric_jobs.settings import Settings
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, Tx, activations, channels, leases, tasks

if TYPE_CHECKING:
    from fabric_jobs.engine.calls import Calls


class Dispatcher:
    """Carries out decisions in the engine's thread. All of it is idempotent."""

    def __init__(
        self, store: Store, places: Places, settings: Settings, works: Works, calls: Callable[[], Calls]
    ) -> None:
        self._store = store
        self._places = places
        self._settings = settings
        self._works = works
        self._calls = calls
        self.slots = Slots()
        self.trims = Trims(store, places.executors, settings.kept_tasks)

    def carry_out(self, snapshot: Snapshot, decision: Decision) -> float | None:
        """Do it; return when to look at the activation again, by the monotonic clock; None when something else wakes the engine."""
        match decision:
            case CreateTasks():
                created = self._store.write(lambda tx: create_tasks(tx, snapshot, decision)).result()
                return self._launch_all(snapshot, created)
            case StartTask(task=task):
                place = snapshot.activation.executor
                begun = self._store.write(lambda tx: tasks.start(tx, task, place)).result()
                return self._launch_all(snapshot, [begun] if begun is not None else [])
            case LaunchAttempt(task=task):
                return self._launch(snapshot, task, self._handle(task))
            case StopAttempt(task=task):
                work, place, handle = self._work(snapshot, task), snapshot.activation.executor, self._handle(task)
                self._places.stop(work, place, handle, self._settings.grace_seconds)
            case AskWhetherItRuns(task=task):
                self._places.ask(self._work(snapshot, task), snapshot.activation.executor, self._handle(task))
            case FinishTask(task=task, exit=ended):
                output = self._places.output(task)
                return self._launch_all(snapshot, self._finish(snapshot, task, ended, output))
            case CallRecords(task=calling, node=node):
                self._calls().see_to(snapshot.activation, snapshot.plan, node, calling)
            case EndCalls(task=task):
                self._calls().stop(task)
                cancelled = Outcome(state=TaskState.CANCELLED, cause=task.cause)
                self._end(snapshot, task, cancelled, AttemptExit(None, STOPPED), NOTHING)
            case CancelActivation():
                self._store.write(lambda tx: _cancel(tx, snapshot.activation, decision)).result()
            case LookAgain(at=at):
                return at
            case AwaitSlot():
                pass  # the engine has noted it
        return None

    def _launch_all(self, snapshot: Snapshot, started: Iterable[Task]) -> float | None:
        """Post wishes for new attempts; return the earliest of their deadlines."""
        moments = [self._launch(snapshot, task, "") for task in started]
        return min((at for at in moments if at is not None), default=None)

    def _launch(self, snapshot: Snapshot, task: Task, handle: str) -> float | None:
        """Post a wish to start an attempt, or to look at one that has a handle; return its deadline."""
        work, place = self._work(snapshot, task), snapshot.activation.executor
        if handle:
            self._places.look(work, place, handle)
        else:
            self._places.start(work, place)
        return deadline_of(task, snapshot.plan.nodes[task.node].action)

    def _work(self, snapshot: Snapshot, task: Task) -> Work:
        return self._works.of(snapshot.activation, task, snapshot.plan.nodes[task.node])

    def _handle(self, task: Task) -> str:
        """Return the handle of a task's current attempt; empty when no place is known to have accepted it."""
        known = self._places.handle(task)
        if known:
            return known
        attempt = tasks.attempt(self._store.read, task.task_id, task.attempt)
        return attempt.handle or "" if attempt is not None else ""

    def _finish(self, snapshot: Snapshot, task: Task, ended: AttemptExit, output: Output) -> list[Task]:
        """End a task; return the tasks that started as a result."""
        action = snapshot.plan.nodes[task.node].action
        progress = self._store.handed_out.progress(task.task_id, task.attempt, self._there(snapshot, task))
        facts = Ended(exit=ended, now=snapshot.now, lost_limit=self._settings.lost_limit, progress=progress)
        if action.api is not None and action.api.is_batch:
            facts = self._of_worker(snapshot, task, facts)
        decided = outcome(task, action, facts)
        if decided.state is TaskState.COMPLETE and output.refusal and not (task.sent or task.rejected):
            decided = refused(task, action, output.refusal)
        return self._end(snapshot, task, decided, ended, output)

    def _of_worker(self, snapshot: Snapshot, task: Task, facts: Ended) -> Ended:
        """Return the facts of an API's worker; of its progress, that of the whole node."""
        from fabric_jobs.engine import workers  # late: most owners have no APIs
        from fabric_jobs.store import batches

        sql = self._store.read
        inbound = channels.inbound(sql, snapshot.activation.activation_id, task.node)
        counts = batches.counts_of(sql, snapshot.activation.activation_id, task.node)
        return replace(
            facts,
            progress={0: (counts.succeeded, counts.dead)},
            is_over=workers.is_over(sql, task, inbound),
            was_ready=batches.was_ready(sql, task),
        )

    def _there(self, snapshot: Snapshot, task: Task) -> dict[int, tuple[int, int]]:
        """Return where the unfinished records that a task reads begin and end, by channel."""
        inbound = snapshot.inbound(snapshot.plan.nodes[task.node])
        if not task.worker:
            return {channel.channel_id: (channel.acked, channel.next_offset) for channel in inbound}
        found: dict[int, tuple[int, int]] = {}
        for lease in leases.held(self._store.read, task.task_id):
            first, below = found.get(lease.channel_id, (lease.first, 0))
            found[lease.channel_id] = (min(first, lease.first), max(below, lease.below or 0))
        return found

    def _end(self, snapshot: Snapshot, task: Task, decided: Outcome, ended: AttemptExit, output: Output) -> list[Task]:
        node = snapshot.plan.nodes[task.node]
        failed = decided.state is not TaskState.COMPLETE
        printed = output.printed if failed else NOTHING_PRINTED
        wanted = Finish(
            activation=snapshot.activation,
            task=task,
            node=node,
            plan=snapshot.plan,
            ending=ends.ending_of(ended),
            outcome=decided,
            payload=None if failed else output.payload,
            printed=printed,
            hint=misplaced(printed.lines, lambda: self._works.workspace_of(snapshot.activation, task, node)),
        )
        try:
            return self._write_end(wanted)
        except (
            ReplayDiffers,
            InvalidInput,
        ) as error:  # InvalidInput: its output cannot be passed on, as in an endless cycle
            return self._write_end(replace(wanted, outcome=refused(task, node.action, error.message)))

    def _write_end(self, wanted: Finish) -> list[Task]:
        """Store the end of a task and what follows from it; return the tasks that were started."""
        activation_id = wanted.activation.activation_id

        def operation(tx: Tx) -> Advanced:
            if wanted.outcome.state is not TaskState.COMPLETE:
                again = wanted.outcome.state is TaskState.QUEUED
                (ends.again if again else ends.fail)(tx, wanted)
                return Advanced()  # what follows is looked at
            seen = ends.complete(tx, wanted)
            advanced = advance(tx, activation_id, wanted.plan, self._settings, seen=seen)
            if advanced.is_all:
                tx.effects.seen(activation_id)
            return advanced

        advanced = self._store.write(operation).result()
        self._places.forget(wanted.task)
        if wanted.outcome.state is TaskState.COMPLETE:
            self.trims.note(wanted.task)
        self.slots.freed = True
        self.slots.note(activation_id, wanted.activation.executor, waits=advanced.waits)
        return list(advanced.started)


def _cancel(tx: Tx, activation: Activation, decision: CancelActivation) -> None:
    if activations.end(tx, activation, ActivationState.CANCELLED, cause=decision.cause or activation.cause):
        activations.note_verdict(tx, activation.activation_id, decision.verdict)
