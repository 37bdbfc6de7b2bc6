"""One mapping of an agent: the two ports that it joins, each in the long form or as a string."""

from __future__ import annotations

from typing import NamedTuple

from fabric_jobs import conditions
from fabric_jobs.definitions import Agent, Mapping, Port
from fabric_jobs.documents.fields import TEXT, Field, Kind, Shape, choice, only
from fabric_jobs.documents.reader import Reader
from fabric_jobs.names import nearest


class Side(NamedTuple):
    """What one end of a mapping may be."""

    key: str  # from | to
    signal: str  # the kind of the agent's ports that is allowed here
    other: str  # the kind that is not
    by_id: Shape
    by_port: Shape


def _side(key: str, signal: str, other: str, *, port: str, default: str) -> Side:
    by_id = Shape(
        "",
        f"An {signal} of the agent.",
        Field(
            "signalId", TEXT, f"The signalId of the {signal}.", required=True, missing=f"name an {signal} of this agent"
        ),
    )
    ref_id = Field("refId", TEXT, "The refId of the skill.", required=True)
    by_port = Shape("", "A skill of the agent.", ref_id, Field(port, TEXT, f"The {port} of the skill.", absent=default))
    return Side(key, signal, other, by_id, by_port)


def _end(side: Side, sentence: str) -> Field:
    long = Shape(
        "",
        "The long form; exactly one of the two keys.",
        Field(side.signal, Kind(side.by_id, "mapping"), side.by_id.sentence),
        Field("skill", Kind(side.by_port, "mapping"), side.by_port.sentence),
        rules={"oneOf": [only(side.signal, "skill"), only("skill", side.signal)]},
    )
    return Field(side.key, Kind({"anyOf": [{"type": "string"}, long]}, "text or mapping"), sentence, required=True)


FROM = _side("from", "input", "output", port="output", default="the one that its routing names")
TO = _side("to", "output", "input", port="input", default="its first one")
MAPPING = Shape(
    "mapping",
    "One wire.",
    _end(FROM, "The start: a string (a refId, `refId.port`, or the agent's input), or the long form."),
    _end(TO, "The end: a string (a refId, `refId.port`, or the agent's output), or the long form."),
    Field("join", choice("all"), "Wait until everything upstream has ended and deliver one array.", since="0.1.0"),
    Field("rules", Kind({"type": "array"}, "list"), "Rules of Fabric's console, without effect."),
    Field(
        "when",
        Kind({"type": "object", "minProperties": 1}, "mapping"),
        "A condition on the payload: a mapping from its fields to the values that they must have.",
        since="0.1.0",
    ),
)


def read_mapping(reader: Reader, agent: Agent) -> Mapping | None:
    """Return the mapping that `reader` is at, its names resolved in `agent`, whose `mappings` may still be missing."""
    if not reader.is_mapping(MAPPING.keys):
        return None
    source, target = _port(reader, FROM, agent), _port(reader, TO, agent)
    join = reader.choice("join", ("all",), "") == "all"
    if reader.items("rules"):
        reader.at_key(
            "the rules of a mapping have no effect, because their meaning was never published; write 'when' instead",
            "rules",
            level="warning",
        )
    condition = reader.inner("when")
    if condition is not None:
        _check_condition(condition)
    if source is None or target is None:
        return None
    if source.kind == "input" and target.kind == "output":
        reader.warn("this leads from an input of the agent straight to an output; no skill runs")
    return Mapping(source=source, target=target, when=condition.node.plain() if condition else None, join=join)


def _check_condition(reader: Reader) -> None:
    if not isinstance(reader.node.value, dict) or not reader.node.value:
        reader.error("a condition must be a mapping from fields of the payload to values")
        return
    for field, message in conditions.problems(reader.node.plain()):
        reader.error(message, field)


def _port(reader: Reader, side: Side, agent: Agent) -> Port | None:
    inner = reader.require(side.key, f"name an {side.signal} of the agent or a skill")
    if inner is None:
        return None
    if isinstance(inner.node.value, str):
        return _short(inner, side, agent, inner.node.value)
    if not inner.is_mapping({"input", "output", "skill"}):
        return None
    if inner.has(side.other):
        inner.at_key(_wrong_way(side), side.other)
        return None
    if inner.has("skill") == inner.has(side.signal):
        inner.error(f"this needs exactly one of the keys '{side.signal}' and 'skill'")
        return None
    skill = inner.inner("skill")
    return _skill(skill, side, agent) if skill else _signal(inner, side, agent)


def _wrong_way(side: Side) -> str:
    return f"'{side.key}' cannot be an {side.other} of the agent; it is an {side.signal} of the agent or a skill"


def _skill(reader: Reader, side: Side, agent: Agent) -> Port | None:
    if not reader.is_mapping(side.by_port.keys) or reader.require("refId", "name a skill of this agent") is None:
        return None
    ref_id = reader.text("refId")
    known = [reference.ref_id for reference in agent.skills]
    if ref_id not in known:
        reader.error(f"'{ref_id}' is not a refId of this agent. {nearest(ref_id, known)}".rstrip(), "refId")
    return Port(kind="skill", ref=ref_id, port=reader.text(side.by_port.fields[1].key))


def _signal(reader: Reader, side: Side, agent: Agent) -> Port | None:
    inner = reader.inner(side.signal)
    if inner is None or not side.by_id.read(inner) or not inner.has("signalId"):
        return None
    text = inner.text("signalId")
    signals = _signals(agent, side.signal)
    if text not in signals:
        inner.error(f"'{text}' is not a signalId of an {side.signal}. {nearest(text, signals)}".rstrip(), "signalId")
    return Port(kind=side.signal, ref=signals.get(text, text))


def _signals(agent: Agent, kind: str) -> dict[str, str]:
    """Return signalIds by the words that mean them: themselves, and the names of their ports."""
    ports = agent.inputs if kind == "input" else agent.outputs
    return {port.name: port.signal_id for port in ports} | {port.signal_id: port.signal_id for port in ports}


def _short(reader: Reader, side: Side, agent: Agent, text: str) -> Port | None:
    """Return the port that a string names: an agent's port, a refId, or a refId and a port of its skill."""
    signals = _signals(agent, side.signal)
    found = [Port(kind=side.signal, ref=signals[text])] if text in signals else []
    for reference in agent.skills:
        ref_id = reference.ref_id
        if text == ref_id or text.startswith(f"{ref_id}."):
            found.append(Port(kind="skill", ref=ref_id, port=text[len(ref_id) + 1 :]))
    if len(found) == 1:
        return found[0]
    if found:
        meanings = " or ".join(_meaning(port) for port in found)
        reader.error(f"'{text}' can be {meanings}; write the long form, like {{skill: {{refId: …}}}}")
    elif text in _signals(agent, side.other):
        reader.error(_wrong_way(side))
    else:
        known = [*signals, *(reference.ref_id for reference in agent.skills)]
        reader.error(f"'{text}' is neither an {side.signal} nor a refId of this agent. {nearest(text, known)}".rstrip())
    return None


def _meaning(port: Port) -> str:
    if port.kind != "skill":
        return f"the {port.kind} '{port.ref}' of the agent"
    return f"'{port.port}' of the skill '{port.ref}'" if port.port else f"the skill '{port.ref}'"
