"""Plans: which node consumes what, compiled from the definitions that an activation pins.

A node is one input of one skill reference; a wire is one mapping between two of them. All of it is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from fabric_jobs.definitions import Action, Agent, Port, Skill, SkillReference, Target
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.names import nearest

SECRET = "#SECURE."
SOURCE = ""  # stands for the caller as a sender, and for the response as a consumer


@dataclass(frozen=True, kw_only=True)
class Node:
    """One input of one skill reference, with the action that its messages go to."""

    key: str  # <refId>.<input>
    ref_id: str
    skill_name: str
    input: str
    action: Action
    output: str  # where the response goes unless the action says otherwise
    outputs: tuple[str, ...] = ()  # what the skill has; nothing else can be sent to
    properties: Mapping[str, Any] = field(default_factory=dict)  # without those of the invocation

    @property
    def is_stream(self) -> bool:
        """Whether one task reads all of the input."""
        return self.action.receives == "stream"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One mapping: the records of an output of `source` go to the node `target`, or into the agent's output."""

    source: str  # a node's key, or SOURCE
    output: str  # the output of the source; empty for SOURCE
    target: str  # a node's key, or SOURCE: it is part of the response
    response: str = ""  # the agent's output that it leads to

    def __str__(self) -> str:
        source = self.source.partition(".")[0]  # the refId
        begin = f"{source}.{self.output}" if source else "input"
        return f"{begin} → {self.target.partition('.')[0] or self.response}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is reachable from one service of an agent, or from one input of a skill."""

    nodes: Mapping[str, Node]
    wires: tuple[Wire, ...]
    response: str  # the agent's output that answers

    def downstream(self, nodes: Iterable[str]) -> set[str]:
        """Return `nodes` and every node that can be reached from them."""
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
    """Return the opaque `channelId` that a node's messages carry for what it sends."""
    return blake2b(f"{activation_id}\0{node}".encode(), digest_size=12).hexdigest()


def compile_skill(skill: Skill, input_name: str, properties: Mapping[str, Any]) -> Plan:
    """Return the plan of a skill that is invoked by itself: all its outputs are the response.

    Raises NotFound when the skill has no such input, InvalidInput when this version cannot run it.
    """
    reference = SkillReference(skill_name=skill.name, ref_id=skill.name)
    node = _node(reference, skill, input_name, properties)
    outputs = [output.name for output in skill.outputs] or [node.output]
    wires = [Wire(source=SOURCE, output="", target=node.key)]
    wires += [Wire(source=node.key, output=output, target=SOURCE, response="output") for output in outputs]
    return Plan(nodes={node.key: node}, wires=tuple(wires), response="output")


def compile_agent(agent: Agent, skills: Mapping[str, Skill], service: str, properties: Mapping[str, Any]) -> Plan:
    """Return the plan of one service of an agent; `skills` holds every skill that the agent names, by name.

    Raises NotFound when the agent has no such service, a mapping names a port that a skill has not, or a skill is
    missing; InvalidInput when this version cannot run it.
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
    return Plan(nodes=compiler.nodes, wires=tuple(wires), response=entry.output)


class _AgentCompiler:
    """Follows the mappings from one service."""

    def __init__(self, agent: Agent, skills: Mapping[str, Skill], properties: Mapping[str, Any]) -> None:
        self.agent = agent
        self.skills = skills
        self.properties = properties
        self.nodes: dict[str, Node] = {}

    def reach(self, signal_id: str) -> list[Wire]:
        """Return the wires that records of a service can take, in the order of the agent's mappings."""
        taken: dict[int, Wire] = {}
        pending: list[str] = [SOURCE]
        seen: set[str] = set()
        while pending:
            source = pending.pop(0)
            if source in seen:
                continue
            seen.add(source)
            for index, wire in self._wires_from(source, signal_id):
                taken[index] = wire
                if wire.target != SOURCE:
                    pending.append(wire.target)
        return [taken[index] for index in sorted(taken)]

    def _wires_from(self, source: str, signal_id: str) -> list[tuple[int, Wire]]:
        found = []
        for index, mapping in enumerate(self.agent.mappings):
            output = self._output_of(mapping.source, source, signal_id)
            if output is None:
                continue
            if mapping.when is not None or mapping.join:
                what = "when" if mapping.when is not None else "join"
                raise InvalidInput(
                    f"agent '{self.agent.name}': the mapping {mapping.source} → {mapping.target} has '{what}', "
                    "which this version does not carry out.",
                    hint=f"Remove '{what}' from the mapping.",
                )
            found.append((index, self._wire(source, output, mapping.target)))
        return found

    def _output_of(self, port: Port, source: str, signal_id: str) -> str | None:
        """Return the output that a mapping takes of `source`; None when it begins elsewhere."""
        if source == SOURCE:
            return "" if port.kind == "input" and port.ref == signal_id else None
        node = self.nodes[source]
        if port.kind != "skill" or port.ref != node.ref_id:
            return None
        skill = self.skills[node.skill_name]
        if port.port and skill.output(port.port) is None:
            raise NotFound(
                f"agent '{self.agent.name}': skill '{skill.name}' has no output '{port.port}'.",
                hint=nearest(port.port, [output.name for output in skill.outputs]),
            )
        return port.port or node.output

    def _wire(self, source: str, output: str, target: Port) -> Wire:
        if target.kind == "output":
            name = next((port.name for port in self.agent.outputs if port.signal_id == target.ref), target.ref)
            return Wire(source=source, output=output, target=SOURCE, response=name)
        return Wire(source=source, output=output, target=self._target(target).key)

    def _target(self, port: Port) -> Node:
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
        input_name = port.port or (skill.inputs[0].name if skill.inputs else "")
        key = f"{reference.ref_id}.{input_name}"
        if key not in self.nodes:
            self.nodes[key] = _node(reference, skill, input_name, self.properties)
        return self.nodes[key]


def _node(reference: SkillReference, skill: Skill, input_name: str, properties: Mapping[str, Any]) -> Node:
    merged = {**skill.defaults(), **reference.properties, **properties}
    _check_properties(skill, merged)
    target = _target_of(skill, input_name, merged)
    action = skill.action(target.action)
    if target.runtime != "cortex/jobs" or action is None or action.type != "job":
        raise InvalidInput(
            f"skill '{skill.name}': input '{input_name}' goes to '{target.action}' in {target.runtime}; "
            "this version runs actions of type job.",
            hint="Route the input to a job action of the skill.",
        )
    if action.on_error != "fail":
        raise InvalidInput(
            f"skill '{skill.name}': action '{action.name}' has 'onError: {action.on_error}'; this version carries out 'fail'.",
            hint="Remove 'onError', or set it to 'fail'.",
        )
    return Node(
        key=f"{reference.ref_id}.{input_name}",
        ref_id=reference.ref_id,
        skill_name=skill.name,
        input=input_name,
        action=action,
        output=target.output,
        outputs=tuple(output.name for output in skill.outputs),
        properties=merged,
    )


def _check_properties(skill: Skill, properties: Mapping[str, Any]) -> None:
    for item in skill.properties:
        if item.required and properties.get(item.name) is None:
            raise InvalidInput(
                f"skill '{skill.name}' requires the property '{item.name}', and nobody gives it a value.",
                hint=f'Give it in the agent, or when you invoke: {{"payload": …, "properties": {{"{item.name}": …}}}}.',
            )
    for name, value in properties.items():
        if isinstance(value, str) and value.startswith(SECRET):
            raise InvalidInput(
                f"skill '{skill.name}': the property '{name}' is the secret '{value}'; this version keeps no secrets.",
                hint="Give the property a value of its own for now.",
            )


def _target_of(skill: Skill, input_name: str, properties: Mapping[str, Any]) -> Target:
    port = skill.input(input_name)
    if port is None:
        raise NotFound(
            f"skill '{skill.name}' has no input '{input_name}'.",
            hint=nearest(input_name, [item.name for item in skill.inputs]),
        )
    routing = port.routing
    if routing.kind == "property":
        value = str(properties.get(routing.selector, ""))
        return next((rule.target for rule in routing.rules if rule.match == value), routing.default)
    if routing.kind == "field" and len({target.action for target in routing.targets()}) > 1:
        raise InvalidInput(
            f"skill '{skill.name}': input '{input_name}' routes by the field '{routing.selector}', "
            "which this version does not carry out.",
            hint="Route by 'all' or by 'property'.",
        )
    return routing.default
