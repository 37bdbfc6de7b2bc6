"""Compiles plans, which say which node consumes what, from the definitions that an activation pins.

A node is one input of one skill reference; a wire is one mapping between two nodes. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from fabric_jobs import conditions
from fabric_jobs.api_actions import for_api
from fabric_jobs.conditions import Condition
from fabric_jobs.definitions import Action, Agent, Batch, Port, Routing, Skill, SkillReference, Target
from fabric_jobs.definitions import Mapping as AgentMapping
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.names import nearest

SECRET = "#SECURE."  # begins the value of a property that is a secret; its name follows
# Headers that are about the caller's connection to the gateway: its token, its host, its framing.
NEVER_PASSED = frozenset(
    {"authorization", "connection", "content-length", "host", "keep-alive", "proxy-authorization", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
SOURCE = ""  # the caller as a sender; the response as a consumer
JOIN = "!join"  # suffix of a join's key; names cannot contain `!`
EXTERNAL = Action(name="external-api", type="external-api")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One input of one skill reference, with the action for its messages; field routing makes one node per action."""

    key: str  # <refId>.<input>, plus #<n> for further actions of a field routing
    ref_id: str
    skill_name: str
    input: str
    action: Action
    output: str  # where the response goes by default
    outputs: tuple[str, ...] = ()  # of the skill; a program can send to no other
    properties: Mapping[str, Any] = field(default_factory=dict)  # except those of the invocation

    @property
    def is_stream(self) -> bool:
        """Whether one task reads the whole input."""
        return self.action.type == "job" and self.action.receives == "stream"

    @property
    def workers(self) -> int:
        """How many tasks read a stream."""
        return self.action.workers or 1

    @property
    def is_shared(self) -> bool:
        """Whether the readers of a stream take shares of it, rather than one reader all of it."""
        return self.workers > 1 or self.action.api is not None

    @property
    def batch(self) -> Batch | None:
        """How records are put together for a task; None: each task gets one."""
        return self.action.batch if self.action.receives == "batch" else None

    @property
    def is_called(self) -> bool:
        """Whether each record is an HTTP call, to a daemon or to an external API."""
        return self.action.type != "job"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One mapping: the records of an output of `source` go to `target`, or into the agent's output."""

    source: str  # the key of a node or of a join, or SOURCE
    output: str  # the output of the source; empty for SOURCE and for a join
    target: str  # the key of a node or of a join, or SOURCE for the response
    response: str = ""  # the agent's output that it leads to
    conditions: tuple[Condition, ...] = ()  # a record must meet all of them
    cyclic: bool = False  # it is part of a cycle

    def __str__(self) -> str:
        source = self.source.partition(".")[0]  # the refId
        begin = f"{source}.{self.output}" if source else "input"
        if self.source.endswith(JOIN):
            begin = "join"
        end = self.target.partition(".")[0]
        return f"{begin} → {'join of ' if self.target.endswith(JOIN) else ''}{end or self.response or 'the response'}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The nodes and wires reachable from one service of an agent, or one input of a skill."""

    nodes: Mapping[str, Node]
    wires: tuple[Wire, ...]
    response: str  # the agent's output that answers
    headers: tuple[str, ...] = ()  # of the invocation, to be passed on (allowedHeaders)

    @property
    def joins(self) -> tuple[str, ...]:
        """Return the keys of the joins: each waits until its input is complete, and then sends one array."""
        return tuple(dict.fromkeys(wire.target for wire in self.wires if wire.target.endswith(JOIN)))

    @property
    def is_of_api(self) -> bool:
        """Whether a node is a Batch or Task API."""
        return any(node.action.api is not None for node in self.nodes.values())

    def first(self) -> list[str]:
        """Return the keys of the nodes that receive the caller's record."""
        return [wire.target for wire in self.wires if wire.source == SOURCE and wire.target in self.nodes]

    def beginning_at(self, node: str) -> Plan:
        """Return the part of the plan for a record that the caller sends directly to `node`."""
        below = self.downstream([node])
        wires = [wire for wire in self.wires if wire.source in below]
        return Plan(
            nodes={key: found for key, found in self.nodes.items() if key in below},
            wires=(Wire(source=SOURCE, output="", target=node), *wires),
            response=self.response,
        )

    def downstream(self, nodes: Iterable[str]) -> set[str]:
        """Return `nodes` and every node reachable from them."""
        found: set[str] = set()
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if node in found:
                continue
            found.add(node)
            pending += [wire.target for wire in self.wires if wire.source == node and wire.target != SOURCE]
        return found


def sending_id(activation_id: str, node: str) -> str:
    """Return the opaque `channelId` in a node's messages, under which its outputs are sent."""
    return blake2b(f"{activation_id}\0{node}".encode(), digest_size=12).hexdigest()


def compile_skill(skill: Skill, input_name: str, properties: Mapping[str, Any]) -> Plan:
    """Return the plan of a skill invoked by itself: all its outputs go to the response.

    Raises NotFound when the skill has no such input, InvalidInput when this version cannot run it.
    """
    reference = SkillReference(skill_name=skill.name, ref_id=skill.name)
    entries = _entries(reference, skill, input_name, properties)
    wires = [Wire(source=SOURCE, output="", target=node.key, conditions=asked) for node, asked in entries]
    for node, _ in entries:
        outputs = [output.name for output in skill.outputs] or [node.output]
        wires += [Wire(source=node.key, output=output, target=SOURCE, response="output") for output in outputs]
    headers = _allowed_headers(skill.defaults())
    nodes = {node.key: node for node, _ in entries}
    return Plan(nodes=nodes, wires=tuple(wires), response="output", headers=headers)


def compile_agent(agent: Agent, skills: Mapping[str, Skill], service: str, properties: Mapping[str, Any]) -> Plan:
    """Return the plan of one service of an agent; `skills` holds every skill that the agent names, by name.

    Raises NotFound when the agent has no such service, a mapping names a port that a skill does not have, or a skill
    is missing; InvalidInput when this version cannot run it.
    """
    entry = agent.input(service)
    if entry is None:
        raise NotFound(
            f"agent '{agent.name}' has no service '{service}'.",
            hint=nearest(service, [port.name for port in agent.inputs]),
        )
    merged = {**agent.properties, **properties}
    compiler = _AgentCompiler(agent, skills, merged)
    wires = compiler.reach(entry.signal_id)
    headers = _allowed_headers(agent.properties)
    plan = Plan(nodes=compiler.nodes, wires=tuple(wires), response=entry.output, headers=headers)
    return replace(plan, wires=_with_cycles(agent, plan))


def _allowed_headers(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the headers that a definition passes on, once each; those of one connection are never among them."""
    names = {name.lower(): name for name in header_names(properties)}
    return tuple(name for lower, name in names.items() if lower not in NEVER_PASSED)


def header_names(properties: Mapping[str, Any]) -> list[str]:
    """Return the names in the property `allowedHeaders`: a comma-joined text, or a list."""
    given = properties.get("allowedHeaders") or ""
    words = given if isinstance(given, list) else str(given).split(",")
    return [name for name in (str(word).strip() for word in words) if name]


def _with_cycles(agent: Agent, plan: Plan) -> tuple[Wire, ...]:
    """Return the wires, with those of cycles marked; refuse a cycle that would wait for its own end."""
    below = {key: plan.downstream([key]) for key in (*plan.nodes, *plan.joins)}
    wires = tuple(
        replace(wire, cyclic=wire.source in below.get(wire.target, ())) if wire.source else wire for wire in plan.wires
    )
    for wire in wires:
        node = plan.nodes.get(wire.target)
        if wire.cyclic and (node is None or node.is_stream):
            what = "a join" if node is None else f"'{node.ref_id}', which reads a stream"
            raise InvalidInput(
                f"agent '{agent.name}': the mapping {wire} closes a cycle through {what}, which would never end.",
                hint="Remove it from the cycle, or let the skill read single messages ('receives: message').",
            )
    return wires


class _AgentCompiler:
    """Follows the mappings from one service."""

    def __init__(self, agent: Agent, skills: Mapping[str, Skill], properties: Mapping[str, Any]) -> None:
        self.agent = agent
        self.skills = skills
        self.properties = properties
        self.nodes: dict[str, Node] = {}
        self._entries: dict[str, list[tuple[Node, tuple[Condition, ...]]]] = {}
        self._joins: dict[str, tuple[int, AgentMapping]] = {}  # key -> the first mapping into it

    def reach(self, signal_id: str) -> list[Wire]:
        """Return the wires that a service's records can take, in the order of the agent's mappings."""
        taken: dict[tuple[int, int], Wire] = {}
        pending: list[str] = [SOURCE]
        seen: set[str] = set()
        while pending:
            source = pending.pop(0)
            if source in seen:
                continue
            seen.add(source)
            for place, wire in self._wires_from(source, signal_id):
                taken[place] = wire
                if wire.target != SOURCE:
                    pending.append(wire.target)
        return [taken[place] for place in sorted(taken)]

    def _wires_from(self, source: str, signal_id: str) -> list[tuple[tuple[int, int], Wire]]:
        if source in self._joins:
            index, mapping = self._joins[source]
            return self._placed(index, 1, self._wires(source, "", mapping.target, ()))
        found = []
        for index, mapping in enumerate(self.agent.mappings):
            output = self._output_of(mapping.source, source, signal_id)
            if output is None:
                continue
            asked = () if mapping.when is None else (mapping.when,)
            if mapping.join:
                key = self._join(index, mapping)
                wires = [Wire(source=source, output=output, target=key, conditions=asked)]
            else:
                wires = self._wires(source, output, mapping.target, asked)
            # The nodes of a field routing share their outgoing mappings: keep them in order.
            first = 1000 * (1 + list(self.nodes).index(source)) if source else 0
            found += self._placed(index, first, wires)
        return found

    def _placed(self, index: int, first: int, wires: list[Wire]) -> list[tuple[tuple[int, int], Wire]]:
        return [((index, first + number), wire) for number, wire in enumerate(wires)]

    def _join(self, index: int, mapping: AgentMapping) -> str:
        target = mapping.target
        port = self._targets(target)[0][0].input if target.kind == "skill" else ""
        key = f"{target.ref}.{port}{JOIN}"
        first = self._joins.get(key, (index, mapping))
        self._joins[key] = min(first, (index, mapping), key=lambda entry: entry[0])
        return key

    def _output_of(self, port: Port, source: str, signal_id: str) -> str | None:
        """Return the output of `source` that a mapping takes; None when it begins elsewhere."""
        if source == SOURCE:
            return "" if port.kind == "input" and port.ref == signal_id else None
        node = self.nodes[source]
        if port.kind != "skill" or port.ref != node.ref_id:
            return None
        skill = self.skills[node.skill_name]
        output = skill.wired_output(port.port)
        if port.port and output is None:
            raise NotFound(
                f"agent '{self.agent.name}': skill '{skill.name}' has no output '{port.port}'.",
                hint=nearest(port.port, [output.name for output in skill.outputs]),
            )
        return output.name if output is not None and port.port else node.output

    def _wires(self, source: str, output: str, target: Port, asked: tuple[Condition, ...]) -> list[Wire]:
        if target.kind == "output":
            name = next((port.name for port in self.agent.outputs if port.signal_id == target.ref), target.ref)
            return [Wire(source=source, output=output, target=SOURCE, response=name, conditions=asked)]
        return [
            Wire(source=source, output=output, target=node.key, conditions=(*asked, *more))
            for node, more in self._targets(target)
        ]

    def _targets(self, port: Port) -> list[tuple[Node, tuple[Condition, ...]]]:
        reference = self.agent.reference(port.ref)
        if reference is None:
            raise NotFound(
                f"agent '{self.agent.name}' has no skill reference '{port.ref}'.",
                hint=nearest(port.ref, [reference.ref_id for reference in self.agent.skills]),
            )
        skill = self.skills.get(reference.skill_name)
        if skill is None:
            raise NotFound(
                f"agent '{self.agent.name}' uses skill '{reference.skill_name}', which does not exist.",
                hint=nearest(reference.skill_name, self.skills),
            )
        found = skill.wired_input(port.port) if port.port else next(iter(skill.inputs), None)
        input_name = found.name if found else port.port
        key = f"{reference.ref_id}.{input_name}"
        if key not in self._entries:
            self._entries[key] = _entries(reference, skill, input_name, self.properties)
            self.nodes |= {node.key: node for node, _ in self._entries[key]}
        return self._entries[key]


def _entries(
    reference: SkillReference, skill: Skill, input_name: str, properties: Mapping[str, Any]
) -> list[tuple[Node, tuple[Condition, ...]]]:
    """Return the nodes of an input, each with the conditions for its records; several only for field routing."""
    merged = {**skill.defaults(), **reference.properties, **properties}
    _check_properties(skill, merged)
    found = []
    for number, (target, asked) in enumerate(_targets_of(skill, input_name, merged)):
        node = Node(
            key=f"{reference.ref_id}.{input_name}" + (f"#{number}" if number else ""),
            ref_id=reference.ref_id,
            skill_name=skill.name,
            input=input_name,
            action=for_api(_action_of(skill, input_name, target), merged),
            output=target.output,
            outputs=tuple(output.name for output in skill.outputs),
            properties=merged,
        )
        found.append((node, asked))
    return found


def _action_of(skill: Skill, input_name: str, target: Target) -> Action:
    if target.runtime == "cortex/external-api":
        return replace(
            EXTERNAL,
            retries=target.retries,
            on_error=target.on_error,
            concurrency=target.concurrency,
            batch=target.batch,
        )
    action = skill.action(target.action)
    if action is None:
        raise InvalidInput(
            f"skill '{skill.name}': input '{input_name}' goes to '{target.action}', which is not an action of the skill.",
            hint="Add it to 'actions', or put its program next to skill.yaml; `fabric-jobs workspaces lint` shows the line.",
        )
    return action


def _check_properties(skill: Skill, properties: Mapping[str, Any]) -> None:
    for item in skill.properties:
        value = properties.get(item.name)
        if item.required and value is None:
            raise InvalidInput(
                f"skill '{skill.name}' requires the property '{item.name}', which has no value.",
                hint=f'Set it in the agent, or in the invocation: {{"payload": …, "properties": {{"{item.name}": …}}}}.',
            )
        valid = [conditions.text_of(known) for known in item.valid_values]  # callers may write numbers as text
        is_secret = isinstance(value, str) and value.startswith(SECRET)
        if valid and value is not None and not is_secret and conditions.text_of(value) not in valid:
            raise InvalidInput(
                f"skill '{skill.name}': the property '{item.name}' cannot be '{conditions.text_of(value)}'.",
                hint=f"Valid values: {', '.join(valid)}.",
            )


def _targets_of(
    skill: Skill, input_name: str, properties: Mapping[str, Any]
) -> list[tuple[Target, tuple[Condition, ...]]]:
    port = skill.input(input_name)
    if port is None:
        raise NotFound(
            f"skill '{skill.name}' has no input '{input_name}'.",
            hint=nearest(input_name, [item.name for item in skill.inputs]),
        )
    routing = port.routing
    if routing.kind == "property":
        value = conditions.text_of(properties.get(routing.selector, ""))
        return [(next((rule.target for rule in routing.rules if rule.match == value), routing.default), ())]
    if routing.kind == "field":
        return _by_field(routing)
    return [(routing.default, ())]


def _by_field(routing: Routing) -> list[tuple[Target, tuple[Condition, ...]]]:
    """Return the default, then the other targets, with their conditions; for equal values, the first rule counts."""
    targets: dict[str, Target] = {}
    for rule in routing.rules:
        targets.setdefault(rule.match, rule.target)
    elsewhere = [match for match, target in targets.items() if target != routing.default]
    asked = (conditions.by_field(routing.selector, elsewhere, inverse=True),) if elsewhere else ()
    found: list[tuple[Target, tuple[Condition, ...]]] = [(routing.default, asked)]
    for target in dict.fromkeys(targets[match] for match in elsewhere):
        matches = [match for match in elsewhere if targets[match] == target]
        found.append((target, (conditions.by_field(routing.selector, matches),)))
    return found
