"""Makes values for tests, with defaults for all that the test does not set. Rows come from real stores, never from mocks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fabric_jobs.definitions import Action, Agent, AgentInput, AgentOutput, Mapping, Port, Skill, SkillReference
from fabric_jobs.documents import skill_from_json
from fabric_jobs.engine.invoke import Beginning, Invocation, invoke
from fabric_jobs.engine.plans import Plans
from fabric_jobs.jobs import Job
from fabric_jobs.records import Activation, Attempt, Channel, Task
from fabric_jobs.routing import SOURCE, Node, Plan, Wire, sending_id
from fabric_jobs.schedules.schedule import Schedule
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, Tx, activations, channels, definitions, leases, tasks
from fabric_jobs.store.activations import NewActivation
from fabric_jobs.store.channels import NewChannel, Sender
from fabric_jobs.store.definitions import NewDefinition
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.tasks import NewTask

PROJECT = "local"


# Values


def activation(**changes: Any) -> Activation:
    """Return a PENDING activation."""
    values: dict[str, Any] = {
        "activation_id": "a1",
        "project_id": PROJECT,
        "kind": "agent",
        "name": "chain",
        "entry": "start",
        "pins": {"agent": None, "skills": {}},
        "state": ActivationState.PENDING,
        "cancel_requested": False,
        "cause": "",
        "error": None,
        "session_id": "a1",
        "correlation_id": "a1",
        "username": "local",
        "workspace": "",
        "properties": {},
        "headers": {},
        "retry_of": None,
        "start_node": "",
        "executor": "fake",
        "started_at": 0.0,
        "ended_at": None,
    }
    return Activation(**{**values, **changes})


def channel(**changes: Any) -> Channel:
    """Return an open, empty channel."""
    values: dict[str, Any] = {
        "channel_id": 1,
        "project_id": PROJECT,
        "activation_id": "a1",
        "wire": 0,
        "sending_id": "s",
        "output": "out",
        "node": "b.in",
        "next_offset": 0,
        "size": 0,
        "acked": 0,
        "dispatched": 0,
        "conditions": "",
        "exempt": False,
        "dropped": 0,
        "ended": False,
        "closed": False,
    }
    return Channel(**{**values, **changes})


def task(**changes: Any) -> Task:
    """Return a message task, with an attempt unless it is QUEUED."""
    state = changes.get("state", TaskState.QUEUED)
    values: dict[str, Any] = {
        "task_id": 1,
        "project_id": PROJECT,
        "name": f"t{changes.get('task_id', 1)}",
        "activation_id": "a1",
        "node": "b.in",
        "skill_name": "b",
        "action_name": "b",
        "kind": "job",
        "receives": "message",
        "channel_id": 1,
        "record_offset": 0,
        "state": state,
        "attempt": 0 if state is TaskState.QUEUED else 1,
        "failures": 0,
        "lost": 0,
        "cancel_requested": False,
        "cause": "",
        "sequence": 0,
        "sent": 0,
        "hops": 1,
        "hand": None,
        "left_at": None,
        "failed_at": "",
        "careful": "{}",
        "sends": "{}",
        "repeated": "{}",
        "not_before_at": 0.0,
        "created_at": 0.0,
        "started_at": None if state is TaskState.QUEUED else 100.0,
        "ended_at": None,
        "exit_code": None,
    }
    return Task(**{**values, **changes})


def job(**changes: Any) -> Job:
    """Return a job of a Batch API."""
    values: dict[str, Any] = {
        "activation_id": "a1",
        "project_id": PROJECT,
        "api_name": "api",
        "kind": "BatchAPI",
        "api_version": 1,
        "workers": 1,
        "batch_size": 1,
        "config": {},
        "timeout": None,
        "batch_timeout": None,
        "queue_arn": "",
        "max_receive_count": 1,
        "source": {},
        "position": None,
        "verdict": "",
        "submitted_at": 0.0,
    }
    return Job(**{**values, **changes})


def node(key: str, *, stream: bool = False, output: str = "out", **action: Any) -> Node:
    """Return the node `<refId>.<input>`; other keywords go to its action."""
    ref_id, _, port = key.partition(".")
    receives = action.pop("receives", "stream" if stream else "message")
    made = Action(name=ref_id, receives=receives, response="stdout", **action)
    return Node(key=key, ref_id=ref_id, skill_name=ref_id, input=port or "in", action=made, output=output)


def plan(*nodes: Node, wires: Iterable[tuple[str, str]] = ()) -> Plan:
    """Return a plan; a wire is `(source, target)` of nodes or SOURCE, over the output `out`."""
    made = tuple(
        Wire(
            source=source,
            output="" if source == SOURCE else "out",
            target=target,
            response="output" if target == SOURCE else "",
        )
        for source, target in wires
    )
    return Plan(nodes={item.key: item for item in nodes}, wires=made, response="output")


# Definitions


def skill_document(name: str, *, outputs: Iterable[str] = ("out",), **action: Any) -> dict[str, Any]:
    """Return the JSON of a skill with one input `in` and one action, routed to the first output."""
    names = list(outputs)
    return {
        "camel": "1.0.0",
        "name": name,
        "inputs": [
            {"name": "in", "routing": {"all": {"action": name, "runtime": "cortex/jobs", "output": names[0]}}},
        ],
        "outputs": [{"name": output} for output in names],
        "actions": [{"name": name, "type": "job", "command": ["true"], "response": "stdout", **action}],
    }


def skill(name: str, *, outputs: Iterable[str] = ("out",), **action: Any) -> Skill:
    """Return the skill of `skill_document`."""
    return skill_from_json(skill_document(name, outputs=outputs, **action))


def agent(skills: Iterable[str], wires: Iterable[tuple[str, str]], **changes: Any) -> Agent:
    """Return an agent with the service `start`; a wire's ends are `input`, `output` or `refId.port`."""

    def port(text: str) -> Port:
        if text in ("input", "output"):
            return Port(kind=text, ref=text)
        ref, _, name = text.partition(".")
        return Port(kind="skill", ref=ref, port=name)

    values: dict[str, Any] = {
        "name": "chain",
        "inputs": (AgentInput(name="start", signal_id="input", output="output"),),
        "outputs": (AgentOutput(name="output", signal_id="output"),),
        "skills": tuple(SkillReference(skill_name=name, ref_id=name) for name in skills),
        "mappings": tuple(Mapping(source=port(source), target=port(target)) for source, target in wires),
    }
    return Agent(**{**values, **changes})


def agent_document(skills: Iterable[str], wires: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the JSON of an agent with the service `start`; a wire's ends are `input`, `output` or `refId.port`."""
    return {
        "camel": "1.0.0",
        "name": "chain",
        "inputs": [{"name": "start", "signalId": "input", "output": "output"}],
        "outputs": [{"name": "output", "signalId": "output"}],
        "skills": [{"skillName": name, "refId": name} for name in skills],
        "mappings": [{"from": source, "to": target} for source, target in wires],
    }


# Rows of a real store


def save_skill(store: Store, document: dict[str, Any], source: Path | str = "/nowhere") -> None:
    """Save a skill whose files are in `source`."""
    programs = definitions.Programs(source=str(source))
    new = NewDefinition(project_id=PROJECT, kind="skill", name=document["name"], body=document, programs=programs)
    store.write(lambda tx: definitions.save(tx, new)).result()


def save_agent(store: Store, document: dict[str, Any]) -> None:
    """Save an agent."""
    new = NewDefinition(project_id=PROJECT, kind="agent", name=document["name"], body=document)
    store.write(lambda tx: definitions.save(tx, new)).result()


def invocation(kind: str, name: str, payload: object = None, **changes: Any) -> Invocation:
    """Return an invocation of a skill or an agent."""
    values: dict[str, Any] = {
        "project_id": PROJECT,
        "kind": kind,
        "name": name,
        "entry": "in" if kind == "skill" else "start",
        "payload": json.dumps(payload).encode(),
        "executor": "fake",
    }
    return Invocation(**{**values, **changes})


AT_ONCE = Beginning(
    allows=lambda tx: True, begin=lambda tx, activation_id, plan: None, check=lambda project_id, plan: None
)


def invoked(store: Store, kind: str, name: str, payload: object = None, **changes: Any) -> str:
    """Store an invocation without an engine; return the activation's id."""
    return invoke(store, Plans(), invocation(kind, name, payload, **changes), AT_ONCE).result().activation_id


def new_activation(activation_id: str = "a1", **changes: Any) -> NewActivation:
    """Return a new activation."""
    values: dict[str, Any] = {
        "activation_id": activation_id,
        "project_id": PROJECT,
        "kind": "agent",
        "name": "chain",
        "entry": "start",
        "pins": {"agent": None, "skills": {}},
        "payload": b"null",
        "session_id": activation_id,
        "correlation_id": activation_id,
        "username": "local",
    }
    return NewActivation(**{**values, **changes})


def add_activation(store: Store, activation_id: str = "a1", **changes: Any) -> str:
    """Store an activation, PENDING and without channels."""
    store.write(lambda tx: activations.create(tx, new_activation(activation_id, **changes))).result()
    return activation_id


def add_channel(
    store: Store, source: str, target: str, *, wire: int, output: str = "out", activation_id: str = "a1", **changes: Any
) -> int:
    """Store an empty channel between two nodes; return its id."""
    return store.write(
        lambda tx: channels.create(
            tx,
            NewChannel(
                project_id=PROJECT,
                activation_id=activation_id,
                wire=wire,
                sending_id=sending_id(activation_id, source),
                output=output,
                node=target,
                **changes,
            ),
        )
    ).result()


def append(
    store: Store, records: list[Any], *, activation_id: str = "a1", source: str = "a.in", output: str = "out"
) -> None:
    """Append records to the channels of an output, without a task."""
    sender = Sender(activation_id=activation_id, sending_id=sending_id(activation_id, source))
    sent = Sent(output=output, count=len(records), bytes=ndjson(records))
    store.write(lambda tx: channels.append(tx, sender, sent)).result()


def new_task(node: str = "b.in", name: str = "t", **changes: Any) -> NewTask:
    """Return a new task, by default a stream."""
    values: dict[str, Any] = {
        "project_id": PROJECT,
        "name": name,
        "activation_id": "a1",
        "node": node,
        "skill_name": node.partition(".")[0],
        "action_name": node.partition(".")[0],
        "receives": "stream",
    }
    return NewTask(**{**values, **changes})


def add_task(store: Store, node: str = "b.in", name: str = "t", **changes: Any) -> Task:
    """Store a task, QUEUED; a stream takes all that comes to its node."""

    def operation(tx: Tx) -> Task:
        made = tasks.find(tx, tasks.create(tx, new_task(node, name, **changes)))
        assert made is not None
        if made.receives == "stream" and not made.worker and made.activation_id is not None:
            for channel in channels.inbound(tx, made.activation_id, node):
                leases.take_all(tx, made.task_id, channel.channel_id)
        return made

    return store.write(operation).result()


def started(store: Store, queued: Task) -> Task:
    """Start the next attempt of a QUEUED task and hand it over; return the task, ACTIVE."""

    def operation(tx: Tx) -> Task:
        starting = tasks.start(tx, queued, "fake")
        assert starting is not None
        tasks.activate(tx, starting, starting.attempt_name)
        now = tasks.find(tx, starting.task_id)
        assert now is not None
        return now

    return store.write(operation).result()


def found(store: Store, task_id: int) -> Task:
    """Return a task as stored now."""
    now = tasks.find(store.read, task_id)
    assert now is not None
    return now


def attempt_of(store: Store, wanted: Task) -> Attempt:
    """Return the current attempt of a task."""
    now = tasks.attempt(store.read, wanted.task_id, wanted.attempt)
    assert now is not None
    return now


def records_of(store: Store, channel_id: int) -> list[Any]:
    """Return all records of a channel, read from SQLite."""
    lines: list[bytes] = []
    offset = 0
    while (segment := channels.read(store.read, channel_id, offset, max_bytes=1 << 20)) is not None:
        assert segment.first_offset == offset
        lines += segment.bytes.splitlines()
        offset = segment.end
    return [json.loads(line) for line in lines]


def ndjson(records: Iterable[object]) -> bytes:
    """Return records as NDJSON."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def schedule(**changes: Any) -> Schedule:
    """Return a schedule that is due at every full hour."""
    values: dict[str, Any] = {
        "schedule_id": 1,
        "project_id": PROJECT,
        "name": "nightly",
        "kind": "skill",
        "target": "a",
        "entry": "in",
        "cron": "0 * * * *",
        "timezone": "UTC",
        "overlap": "skip",
        "catchup": "latest",
        "catchup_seconds": 86_400.0,
        "jitter_seconds": 0.0,
        "properties": {},
        "executor": "",
        "username": "local",
        "session_id": "",
        "correlation_id": "",
        "paused": False,
        "note": "",
        "last_at": 0.0,
        "next_at": 3600.0,
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return Schedule(**{**values, **changes})
