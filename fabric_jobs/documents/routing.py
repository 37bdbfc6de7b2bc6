"""The routing of a skill's input: which action gets a message."""

from __future__ import annotations

from fabric_jobs.definitions import Routing, Rule, Target
from fabric_jobs.documents.reader import Reader

# docs/reference/compatibility.md#runtimes
JOBS, DAEMONS, EXTERNAL_API = RUNTIMES = ("cortex/jobs", "cortex/daemons", "cortex/external-api")
SELECTORS = ("property", "field")
TARGET_KEYS = ("action", "runtime", "output")
RULE_KEYS = ("match", *TARGET_KEYS)
ROUTING_KEYS = ("all", *SELECTORS, "default", "rules")

NOWHERE = Target(action="", runtime=JOBS, output="")


def read_routing(reader: Reader) -> Routing:
    """Return the routing that `reader` is at. What it names (actions, outputs, a property) is checked by the skill."""
    if not reader.is_mapping(ROUTING_KEYS):
        return Routing(kind="all", default=NOWHERE)
    kinds = [key for key in ("all", *SELECTORS) if reader.has(key)]
    if len(kinds) != 1:
        reader.error("a routing has exactly one of the keys 'all', 'property' and 'field'")
        return Routing(kind="all", default=NOWHERE)
    return _read_all(reader) if kinds == ["all"] else _read_rules(reader, kinds[0])


def _read_all(reader: Reader) -> Routing:
    for key in ("default", "rules"):
        if reader.has(key):
            reader.at_key(f"'{key}' goes with 'property' or 'field', not with 'all'", key)
    return Routing(kind="all", default=_target(reader.inner("all"), TARGET_KEYS))


def _read_rules(reader: Reader, kind: str) -> Routing:
    default = reader.require("default", "say which action gets a message that no rule matches")
    rules = tuple(_rule(rule) for rule in reader.items("rules"))
    return Routing(kind=kind, selector=reader.text(kind), default=_target(default, TARGET_KEYS), rules=rules)


def _rule(reader: Reader) -> Rule:
    target = _target(reader, RULE_KEYS)
    if isinstance(reader.node.value, dict):
        reader.require("match", "say which value takes this rule")
    return Rule(match=_match(reader), target=target)


def _target(reader: Reader | None, keys: tuple[str, ...]) -> Target:
    if reader is None or not reader.is_mapping(keys):
        return NOWHERE
    reader.require("runtime", f"write one of {', '.join(RUNTIMES)}")
    reader.require("output", "name the output that the response goes to")
    target = Target(
        action=reader.text("action"),
        runtime=reader.choice("runtime", RUNTIMES, JOBS),
        output=reader.text("output"),
    )
    if target.runtime == EXTERNAL_API and target.action:
        reader.at_key(f"{EXTERNAL_API} calls the property 'url' and runs no action; remove this key", "action")
    if target.runtime != EXTERNAL_API and not target.action:
        reader.error(f"the key 'action' is missing: {target.runtime} runs an action of this skill")
    return target


def target_readers(reader: Reader) -> tuple[Reader, ...]:
    """Return the readers of a routing's targets, in the order of `Routing.targets()`."""
    default = reader.inner("all") or reader.inner("default")
    return (default, *reader.items("rules")) if default else ()


def _match(reader: Reader) -> str:
    """Return what a rule compares with; warn of a number whose text is another one, such as 1.10."""
    text = reader.loose_text("match")
    node = reader.node.child("match")
    if node is not None and isinstance(node.value, float) and node.written not in ("", text):
        message = f'{node.written} is the number {text} here; put it in quotes if that is not meant: "{node.written}"'
        reader.warn(message, "match")
    return text
