"""Ends tasks: a program's output becomes a payload, or the reason of a failure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fabric_jobs.engine.outcome import Outcome, verdict_of
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed, exception_in, said_by_worker
from fabric_jobs.engine.settle import settle
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.names import task_name
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Tx, activations, channels, commits, dead_letters, leases, tasks
from fabric_jobs.store.dead_letters import NewDeadLetter
from fabric_jobs.store.sent import ALL, Sent
from fabric_jobs.store.tasks import Ending


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Everything that the transaction at the end of a task needs."""

    activation: Activation
    task: Task
    node: Node
    plan: Plan
    ending: Ending
    outcome: Outcome
    payload: bytes | None = None  # NDJSON: goes to the node's output when the task sent nothing itself
    printed: Printed = NOTHING_PRINTED
    hint: str = ""  # what to do about it


def ending_of(ended: AttemptExit) -> Ending:
    """Return how an attempt ended, as the store keeps it."""
    return Ending(exit_code=ended.code, reason=ended.reason)


def complete(tx: Tx, finish: Finish) -> Snapshot | None:
    """End a task COMPLETE: store its outputs, acknowledge its input, and carry out what follows.

    Returns the snapshot afterwards, if one was taken.
    Raises ReplayDiffers when the attempt left out what the one before it had sent.
    """
    task, activation_id = finish.task, finish.activation.activation_id
    if not task.rejected:
        commits.check_repeated(task)
    if not tasks.end(tx, task, TaskState.COMPLETE, finish.ending):
        return None
    commits.release_held(tx, task)
    now = tasks.find(tx, task.task_id)
    if finish.payload is not None and now is not None and now.sent == 0:
        parents, count = ALL if task.receives == "stream" else "", finish.payload.count(b"\n")
        sent = Sent(output=finish.node.output, count=count, bytes=finish.payload, parents=parents)
        commits.publish(tx, task, sent)
    _acknowledge(tx, finish)
    return settle(tx, activation_id, finish.plan)


def fail(tx: Tx, finish: Finish) -> None:
    """End a task other than COMPLETE. Its record becomes a dead letter and the rest goes on, or the activation ends too."""
    task, outcome = finish.task, finish.outcome
    if not tasks.end(tx, task, outcome.state, finish.ending, cause=outcome.cause):
        return
    if finish.node.action.api is not None:
        verdict = verdict_of(outcome.state, finish.ending.reason)
        activations.note_verdict(tx, finish.activation.activation_id, verdict)
    if activations.is_pending(tx, finish.activation.activation_id):
        if outcome.dead is None or not channels.is_there(tx, outcome.dead.channel_id, outcome.dead.first):
            what = "was cancelled" if outcome.state is TaskState.CANCELLED else "failed"
            said = said_by_worker(finish.printed.lines) if finish.node.action.api is not None else ""
            cause = f"skill '{task.skill_name}' {what}: {outcome.cause}{f': {said}' if said else ''}"
            activations.end(tx, finish.activation, ActivationState.ERROR, cause=cause, error=_error(tx, finish))
        else:
            keep_dead(tx, finish)
    _acknowledge(tx, finish)
    settle(tx, finish.activation.activation_id, finish.plan)


def again(tx: Tx, finish: Finish) -> None:
    """Requeue a task: after a record that became a dead letter, with half of its batch, or as it was."""
    outcome = finish.outcome
    if not tasks.requeue(tx, finish.task, finish.ending, outcome.again, cause=outcome.cause):
        return
    if finish.node.action.api is not None and finish.node.is_stream:
        _lose_batches(tx, finish)
    if outcome.halves:
        task = finish.task
        name = task_name(task.project_id, task.skill_name, task.action_name)
        tasks.halve(tx, task, name, outcome.attempts)
    if outcome.dead is not None:
        keep_dead(tx, finish)
        commits.pass_record(tx, finish.task, outcome.dead.channel_id, outcome.dead.first)


def _lose_batches(tx: Tx, finish: Finish) -> None:
    """Give back the batches of a worker of an API."""
    from fabric_jobs.engine.workers import rules_of  # late: most owners have no APIs
    from fabric_jobs.store import batches

    rules = rules_of(tx, finish.node, finish.activation.activation_id)
    batches.lose(tx, finish.task, finish.outcome.cause, rules)


def keep_dead(tx: Tx, finish: Finish) -> None:
    """Keep the records that used up their attempts; for a cancelled task as with `onError: continue`."""
    task, dead = finish.task, finish.outcome.dead
    assert dead is not None
    error = {**_error(tx, finish), "reason": _said(finish)}
    record = {key: value for key, value in (error["record"] or {}).items() if key != "count"}
    letters = [
        NewDeadLetter(
            project_id=task.project_id,
            activation_id=finish.activation.activation_id,
            channel_id=dead.channel_id,
            record_offset=offset,
            task_id=task.task_id,
            skill_name=task.skill_name,
            error={**error, "record": {**record, "offset": offset}},
            on_error="complete" if finish.node.action.on_error == "complete" else "continue",
            attempts=finish.outcome.attempts,
        )
        for offset in range(dead.first, dead.first + dead.size)
    ]
    dead_letters.keep(tx, *letters)


def _said(finish: Finish) -> str:
    """Return why a record is dead: the exception that ended its program, else the cause of the failure."""
    cause = finish.outcome.cause
    if cause != f"exit code {finish.ending.exit_code}":
        return cause
    return finish.task.raised or exception_in(finish.printed.lines) or cause


def _acknowledge(tx: Tx, finish: Finish) -> None:
    task = finish.task
    if task.receives != "stream":
        leases.finish_all(tx, task.task_id)
    elif finish.outcome.state is TaskState.COMPLETE:
        _leave_stream(tx, task)


def _leave_stream(tx: Tx, task: Task) -> None:
    """Give back what a worker of a stream has not finished; the input closes with the last of its workers.

    The record in hand is finished, since its outputs are stored.
    """
    now = tasks.find(tx, task.task_id)
    if now is not None and now.hand is not None:
        channel_id, offset = json.loads(now.hand)
        leases.finish(tx, task.task_id, channel_id, offset, offset + 1)
    leases.give_back(tx, task.task_id)
    if not any(other.node == task.node for other in tasks.live(tx, str(task.activation_id))):
        for channel in channels.inbound(tx, str(task.activation_id), task.node):
            leases.close(tx, channel.channel_id)


def _error(tx: Tx, finish: Finish) -> dict[str, Any]:
    task, printed = finish.task, finish.printed
    logged = _whose_log(tx, task)
    return {
        "skill": task.skill_name,
        "action": task.action_name,
        "task": logged and logged.name,
        "attempt": logged and logged.attempt,
        "record": _record(tx, finish),
        "exitCode": finish.ending.exit_code,
        "reason": finish.outcome.cause,
        "lastLines": list(printed.lines),
        **({"stream": printed.stream, "logOffset": printed.offset} if printed.stream else {}),
        **({"hint": finish.hint} if finish.hint else {}),
        **({"details": json.loads(task.rejected)} if task.rejected not in ("", "{}") else {}),
    }


def _whose_log(tx: Tx, task: Task) -> Task | None:
    """Return the task whose log tells more: for calls that of the daemon, or None for an external API."""
    return task if task.kind != "calls" else tasks.newest_daemon(tx, task)


def _record(tx: Tx, finish: Finish) -> dict[str, Any] | None:
    """Return the record that a task was handling: exact for a message task, the first unfinished one for a stream."""
    task, plan = finish.task, finish.plan
    inbound = {channel.channel_id: channel for channel in channels.inbound(tx, str(task.activation_id), task.node)}
    dead = finish.outcome.dead
    exact = json.loads(task.left_at or task.hand or "null") if dead is None else (dead.channel_id, dead.first)
    if task.channel_id is not None:
        exact = (task.channel_id, task.record_offset)
    if exact is not None:
        channel_id, offset, *step = exact
        more = {"orLater": True} if step else {"count": task.records} if task.receives == "batch" else {}
        return {"channel": channel_id, "offset": offset, **more, "mapping": str(plan.wires[inbound[channel_id].wire])}
    unfinished = [channel for channel in inbound.values() if channel.acked < channel.next_offset]
    if len(unfinished) != 1:
        return None
    channel = unfinished[0]
    wire = plan.wires[channel.wire]
    return {"channel": channel.channel_id, "offset": channel.acked, "orLater": True, "mapping": str(wire)}
