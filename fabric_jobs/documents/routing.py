"""The routing of a skill's input: which action gets a message."""

from __future__ import annotations

from fabric_jobs.definitions import Routing, Rule, Target
from fabric_jobs.documents.calls import BATCH_FIELD, CONCURRENCY, ON_ERROR, RETRIES_FIELD
from fabric_jobs.documents.fields import NULL, TEXT, Field, Kind, Shape, choice, listed, only
from fabric_jobs.documents.reader import Reader

# docs/reference/compatibility.md#runtimes
JOBS, DAEMONS, EXTERNAL_API = RUNTIMES = ("cortex/jobs", "cortex/daemons", "cortex/external-api")
SELECTORS = ("property", "field")
NOWHERE = Target(action="", runtime=JOBS, output="")

CALLS = (
    RETRIES_FIELD._replace(of=EXTERNAL_API, since="0.5.0"),
    ON_ERROR._replace(of=EXTERNAL_API, since="0.5.0"),
    Field(
        "concurrency",
        CONCURRENCY,
        "How many calls an external API gets at a time from one activation.",
        default=Target("", "", "").concurrency,
        of=EXTERNAL_API,
        since="0.5.0",
    ),
    BATCH_FIELD._replace(of=EXTERNAL_API),
)
NO_ACTION = {"properties": {"action": {"anyOf": [NULL, {"const": ""}]}}}
AN_ACTION = {
    "required": ["action"],
    "properties": {"action": {"type": "string", "minLength": 1}, **{field.key: NULL for field in CALLS}},
}
TARGET_RULES = {
    "allOf": [{"if": {"properties": {"runtime": {"const": EXTERNAL_API}}}, "then": NO_ACTION, "else": AN_ACTION}]
}
TARGET = Shape(
    "target",
    "Where a message goes.",
    Field("action", TEXT, "The action of this skill that runs; none for `cortex/external-api`."),
    Field(
        "runtime",
        choice(*RUNTIMES),
        "What kind of action runs: a job that ends, a daemon that listens, or a call of the property `url`.",
        default=JOBS,
        required=True,
        missing=f"write one of {', '.join(RUNTIMES)}",
    ),
    Field(
        "output",
        TEXT,
        "The output that the response goes to, unless the action names another.",
        required=True,
        missing="name the output that the response goes to",
    ),
    *CALLS,
    rules=TARGET_RULES,
)
RULE = Shape(
    "rule",
    "A target and the value that takes it.",
    Field(
        "match",
        Kind({"type": ["string", "number", "boolean"]}, "text"),
        "The value that takes this rule.",
        required=True,
    ),
    *TARGET.fields,
    rules=TARGET_RULES,
)
ROUTING = Shape(
    "routing",
    "Which action gets a message. It has exactly one of 'all', 'property' and 'field'.",
    Field("all", Kind(TARGET, "target"), "Every message goes here."),
    Field("property", TEXT, "Route by the value of this property of the skill."),
    Field("field", TEXT, "Route by the value of this field of the payload."),
    Field("default", Kind(TARGET, "target"), "Where a message goes that no rule matches."),
    Field("rules", listed(RULE), "The rules, tried in order."),
    rules={
        "oneOf": [
            only("all", *SELECTORS, "default", "rules"),
            only("property", "all", "field", needs=("default",)),
            only("field", "all", "property", needs=("default",)),
        ]
    },
)


def read_routing(reader: Reader) -> Routing:
    """Return the routing that `reader` is at. The reader of the skill checks the names in it."""
    if not reader.is_mapping(ROUTING.keys):
        return Routing(kind="all", default=NOWHERE)
    kinds = [key for key in ("all", *SELECTORS) if reader.has(key)]
    if len(kinds) != 1:
        reader.error("a routing must have exactly one of the keys 'all', 'property' and 'field'")
        return Routing(kind="all", default=NOWHERE)
    return _read_all(reader) if kinds == ["all"] else _read_rules(reader, kinds[0])


def _read_all(reader: Reader) -> Routing:
    for key in ("default", "rules"):
        if reader.has(key):
            reader.at_key(f"'{key}' belongs to 'property' or 'field', not to 'all'", key)
    return Routing(kind="all", default=_target(reader.inner("all"), TARGET))


def _read_rules(reader: Reader, kind: str) -> Routing:
    default = reader.require("default", "name the target of messages that no rule matches")
    rules = tuple(_rule(rule) for rule in reader.items("rules"))
    return Routing(kind=kind, selector=reader.text(kind), default=_target(default, TARGET), rules=rules)


def _rule(reader: Reader) -> Rule:
    target = _target(reader, RULE)
    if isinstance(reader.node.value, dict):
        reader.require("match", "write the value that selects this rule")
    return Rule(match=_match(reader), target=target)


def _target(reader: Reader | None, shape: Shape) -> Target:
    values = shape.values(reader) if reader else None
    if reader is None or values is None:
        return NOWHERE
    target = Target(**values)
    if target.runtime == EXTERNAL_API and target.action:
        reader.at_key(f"{EXTERNAL_API} calls the property 'url' and runs no action; remove this key", "action")
    for field in CALLS if target.runtime != EXTERNAL_API else ():
        if reader.has(field.key):
            reader.at_key(
                f"'{field.key}' is only for {EXTERNAL_API} here; write it under the action, below 'actions'", field.key
            )
    if target.runtime != EXTERNAL_API and not target.action:
        reader.error(f"the key 'action' is missing: {target.runtime} runs an action of this skill")
    return target


def target_readers(reader: Reader) -> tuple[Reader, ...]:
    """Return the readers of a routing's targets, in the order of `Routing.targets()`."""
    default = reader.inner("all") or reader.inner("default")
    return (default, *reader.items("rules")) if default else ()


def _match(reader: Reader) -> str:
    """Return the value that a rule compares with; warn of a number like 1.10, whose text would change."""
    text = reader.loose_text("match")
    node = reader.node.child("match")
    if node is not None and isinstance(node.value, float) and node.written not in ("", text):
        message = f'{node.written} is the number {text} here; put it in quotes to keep the text: "{node.written}"'
        reader.warn(message, "match")
    return text
