"""Checks an agent against its skills: mappings, dead ends, cycles."""

from __future__ import annotations

from collections.abc import Mapping

from fabric_jobs.definitions import Agent, Port, Skill
from fabric_jobs.definitions import Mapping as Wire
from fabric_jobs.names import nearest
from fabric_jobs.workspace.lint.checked import Checked
from fabric_jobs.workspace.lint.values import lint_references


def lint_agent(checked: Checked[Agent], agent: Agent, skills: Mapping[str, Skill | None]) -> None:
    """Note the problems of an agent whose file is valid.

    `skills` has every skill of the workspace by name; None for one whose own file is invalid.
    """
    for index, reference in enumerate(agent.skills):
        name = reference.skill_name
        if name not in skills:
            message = f"the workspace has no skill '{name}'. {nearest(name, skills)}".rstrip()
            checked.error(message, "skills", index, "skillName")
    used = {reference.ref_id: skills.get(reference.skill_name) for reference in agent.skills}
    for index, wire in enumerate(agent.mappings):
        _check_wire(checked, index, wire, used)
    lint_references(checked, agent, skills)
    _check_reached(checked, agent)
    _check_taken(checked, agent, used)
    _check_cycles(checked, agent, used)


def _check_wire(checked: Checked[Agent], index: int, wire: Wire, used: Mapping[str, Skill | None]) -> None:
    for key, port, kind in (("from", wire.source, "output"), ("to", wire.target, "input")):
        skill = used.get(port.ref) if port.kind == "skill" else None
        if skill is None:
            continue
        ports = skill.outputs if kind == "output" else skill.inputs
        names = [item.name for item in ports]
        steps = ("mappings", index, key, "skill", kind)
        if port.port and port.port not in names and len(names) == 1:
            checked.warn(
                f"the skill '{skill.name}' has no {kind} '{port.port}'; its only one, '{names[0]}', is used", *steps
            )
        elif port.port and port.port not in names:
            message = f"the skill '{skill.name}' has no {kind} '{port.port}'. {nearest(port.port, names)}".rstrip()
            checked.error(message, *steps)
        elif not names:
            checked.error(f"the skill '{skill.name}' has no {kind}", *steps)


def _check_reached(checked: Checked[Agent], agent: Agent) -> None:
    """Note inputs that lead nowhere, and skills and outputs that no input leads to."""
    inputs = {("input", port.signal_id) for port in agent.inputs}
    reached = _reachable(agent, inputs)
    sources = {_end(wire.source) for wire in agent.mappings}
    for index, port in enumerate(agent.inputs):
        if ("input", port.signal_id) not in sources:
            checked.warn(f"no mapping starts at the input '{port.name}'", "inputs", index, "name")
    for index, reference in enumerate(agent.skills):
        if ("skill", reference.ref_id) not in reached:
            checked.warn(f"'{reference.ref_id}' never runs: no mapping leads to it from an input", "skills", index)
    for index, output in enumerate(agent.outputs):
        if ("output", output.signal_id) not in reached:
            message = f"the output '{output.name}' never gets a record: no mapping leads to it from an input"
            checked.warn(message, "outputs", index, "name")


def _end(port: Port) -> tuple[str, str]:
    return port.kind, port.ref


def _reachable(agent: Agent, starts: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the ends that mappings lead to from `starts`, including `starts`."""
    reached: set[tuple[str, str]] = set()
    pending = list(starts)
    while pending:
        end = pending.pop()
        if end not in reached:
            reached.add(end)
            pending += [_end(wire.target) for wire in agent.mappings if _end(wire.source) == end]
    return reached


def _check_taken(checked: Checked[Agent], agent: Agent, used: Mapping[str, Skill | None]) -> None:
    """Note outputs of skills that no mapping takes."""
    for index, reference in enumerate(agent.skills):
        skill = used[reference.ref_id]
        if skill is None:
            continue
        taken = {wire.source.port for wire in agent.mappings if _end(wire.source) == ("skill", reference.ref_id)}
        taken |= {found.name for name in taken if name and (found := skill.wired_output(name))}
        if "" in taken:  # the default output: that of the message's routing
            taken |= {target.output for port in skill.inputs for target in port.routing.targets()}
        for output in skill.outputs:
            if output.name not in taken:
                message = f"no mapping takes '{reference.ref_id}.{output.name}'; what is sent there is dropped"
                checked.warn(message, "skills", index)


def _check_cycles(checked: Checked[Agent], agent: Agent, used: Mapping[str, Skill | None]) -> None:
    """Note mappings that wait forever for the end of their records, because they are part of a cycle."""
    for index, wire in enumerate(agent.mappings):
        if _end(wire.source) not in _reachable(agent, {_end(wire.target)}):
            continue
        if wire.join:
            checked.error("this join waits for its own end; remove it from the cycle", "mappings", index)
        elif _is_stream(used.get(wire.target.ref), wire.target.port):
            message = f"this closes a cycle through '{wire.target.ref}', which reads a stream that would never end"
            checked.error(f"{message}; remove a mapping, or use 'receives: message'", "mappings", index)


def _is_stream(skill: Skill | None, name: str) -> bool:
    if skill is None or not skill.inputs:
        return False
    port = skill.wired_input(name) if name else skill.inputs[0]
    actions = [skill.action(target.action) for target in port.routing.targets()] if port else []
    return any(action is not None and action.receives == "stream" for action in actions)
