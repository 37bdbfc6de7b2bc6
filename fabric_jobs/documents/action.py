"""One action of a skill: what runs, and how."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from fabric_jobs.definitions import Action, Batch, Resources
from fabric_jobs.documents.calls import BATCH_FIELD, CONCURRENCY, ON_ERROR, RETRIES_FIELD
from fabric_jobs.documents.environment import ENVIRONMENT
from fabric_jobs.documents.fields import (
    ANYTHING,
    FLAG,
    TEXT,
    Field,
    Kind,
    Shape,
    anchored,
    choice,
    matching,
    name,
    nulls,
    one,
    seconds,
    whole,
)
from fabric_jobs.documents.reader import Reader

JOB, DAEMON = TYPES = ("job", "daemon")
# Not compiled here: that would slow every start. `re` compiles a pattern at its first use.
CPU = r"[0-9]+(\.[0-9]+)?|[0-9]+m"
MEMORY = r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?"
MODULE = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
PYTHON = r"[0-9]+(\.[0-9]+)?|[^\s0-9][^\u0000\n]*"
PORT = r"[0-9]{1,5}"
SECONDS = (0.001, 366 * 86_400)  # up to a year; more is surely a typo


def _texts(reader: Reader, field: Field) -> tuple[str, ...]:
    items = reader.items(field.key)
    for item in items:
        if not isinstance(item.node.value, str):
            item.error("each item must be text; put it in quotes")
    return tuple(item.node.value for item in items if isinstance(item.node.value, str))


def _command(reader: Reader, field: Field) -> tuple[str, ...]:
    inner = reader.inner(field.key)
    if inner is not None and isinstance(inner.node.value, str):
        inner.error(
            'the command is a list: one item for the program and one for each argument, like ["python", "main.py"]'
        )
        return ()
    if inner is not None and inner.node.value == []:
        inner.error("the command is empty; remove this key, or name the program")
    return _texts(reader, field)


def _python(reader: Reader, field: Field) -> str:
    inner = reader.inner(field.key)
    if inner is None or not isinstance(inner.node.value, str):
        return reader.text(field.key)  # accepts no numbers, since 3.10 would equal 3.1
    return reader.matches(field.key, PYTHON, 'a Python; write a version like "3.12", the name of a program, or a path')


def _port(reader: Reader, field: Field) -> str:
    text = reader.matches(field.key, PORT, "a port; write a number from 1 to 65535")
    if text and not 1 <= int(text) <= 65_535:
        reader.error(f"{text} is not a port; write a number from 1 to 65535", field.key)
    return text


def _timeout(reader: Reader, _field: Field) -> float | None:
    low, high = SECONDS
    seconds = [reader.number(key, None, low=low, high=high) for key in ("timeout", "jobTimeout")]
    both = [value for value in seconds if value is not None]
    if len(set(both)) > 1:
        reader.at_key("'timeout' and 'jobTimeout' mean the same and differ here; remove one", "jobTimeout")
    return both[0] if both else None


def _pod_spec(reader: Reader, field: Field) -> tuple[dict[str, Any], ...]:
    patches = [patch for patch in reader.items(field.key) if patch.is_mapping(PATCH.keys)]
    for patch in patches:
        if patch.require("path", "write the place in the pod, like /nodeSelector"):
            path = patch.text("path")
            if path and not path.startswith("/"):
                patch.error(f"'{path}' is not a JSON pointer; it starts with '/', like /containers/0/resources", "path")
        if "value" not in (key for key, _ in patch.entries()):
            patch.error("the key 'value' is missing: write the value to add")
    return tuple(patch.node.plain() for patch in patches)


def _k8s_resources(reader: Reader, field: Field) -> tuple[str, ...]:
    texts = _texts(reader, field)
    for index, text in enumerate(texts):
        if not _is_json_object(text):
            reader.error(
                "each item must be a Kubernetes object as JSON text, and this is not a JSON object", field.key, index
            )
    return texts


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _modules(reader: Reader, field: Field) -> tuple[str, ...]:
    modules = _texts(reader, field)
    for index, module in enumerate(modules):
        if not re.fullmatch(MODULE, module):
            reader.error(f"'{module}' is not the name of a Python module", field.key, index)
    return tuple(dict.fromkeys(modules))


def _warm(reader: Reader, field: Field) -> tuple[str, ...] | None:
    """Return the modules that warm starts import ahead; None if the action starts cold."""
    inner = reader.inner(field.key)
    if inner is None or not isinstance(inner.node.value, dict):
        return () if reader.flag(field.key) else None
    values = WARM.values(inner)
    return values["preload"] if values else None


TEXTS = Kind({"type": "array", "items": {"type": "string"}}, "list of text", _texts)
COMMAND = TEXTS._replace(schema={**TEXTS.schema, "minItems": 1}, read=_command)
MODULES = Kind({"type": "array", "items": {"type": "string", "pattern": anchored(MODULE)}}, "list of text", _modules)
RESOURCES = Shape(
    "",
    "What one attempt may use.",
    Field(
        "cpu",
        matching(CPU, "an amount of processors; write it like 2, 0.5 or 500m"),
        "Processors: `2`, `0.5` or `500m`.",
    ),
    Field(
        "memory",
        matching(MEMORY, "an amount of memory; write it like 512Mi or 2Gi"),
        "Memory: `512Mi`, `2Gi`, or bytes.",
    ),
    Field("gpu", whole(0, 1000), "Graphics processors.", default=Resources.gpu),
    make=Resources,
)
PATCH = Shape(
    "",
    "One addition.",
    Field(
        "path",
        Kind({"type": "string", "pattern": "^(/.*)?$"}, "text"),
        "Where it goes: a JSON pointer from the PodSpec.",
        required=True,
    ),
    Field("value", ANYTHING, "What is put there.", required=True),
)
WARM = Shape("", "What is imported ahead.", Field("preload", MODULES, "The modules that it imports."))
WARM_KIND = Kind({"anyOf": [*FLAG.schema["anyOf"], WARM]}, "boolean or `{preload: [module…]}`", _warm)
FIELDS = (
    Field("name", name("action"), "The name of the action, and of its directory `actions/<name>`.", required=True),
    Field("type", choice(*TYPES), "A job ends; a daemon listens for calls.", default=Action.type),
    Field("description", TEXT, "What the action does."),
    Field("image", TEXT, "The name of the container image.", absent="the skill's name"),
    Field(
        "command",
        COMMAND,
        "The program and its arguments; replaces the ENTRYPOINT of the image. The message is appended.",
    ),
    Field(
        "python",
        Kind({"type": "string", "pattern": anchored(PYTHON)}, "text", _python),
        'The Python of this action where no image is used: a version like `"3.12"`, the name of a program, or a path.',
        since="0.1.0",
    ),
    Field(
        "port",
        Kind(
            {"type": ["string", "integer"], "pattern": anchored(PORT), "minimum": 1, "maximum": 65_535},
            "1 to 65535",
            _port,
        ),
        "The port that a daemon listens on, as a number or text.",
        of=DAEMON,
    ),
    Field(
        "scaleCount",
        whole(0, 1000),
        "How many copies of a daemon run on Kubernetes.",
        default=Action.scale_count,
        of=DAEMON,
    ),
    Field(
        "timeout",
        seconds(*SECONDS)._replace(read=_timeout),
        "Seconds until an attempt is stopped.",
        of=JOB,
        since="0.1.0",
    ),
    Field("jobTimeout", seconds(*SECONDS)._replace(read=None), "The same as `timeout`.", of=JOB),
    Field(
        "environmentVariables",
        ENVIRONMENT,
        'Environment variables: a mapping, or `"NAME"="value"` pairs joined by commas.',
        attribute="environment",
    ),
    Field(
        "podSpec",
        Kind({"type": "array", "items": PATCH}, "list of `{path, value}`", _pod_spec),
        "Additions to the pod on Kubernetes, as JSON patches of the operation add.",
    ),
    Field("k8sResources", TEXTS._replace(read=_k8s_resources), "More objects for Kubernetes, each as JSON text."),
    Field(
        "receives",
        choice("message", "batch", "stream"),
        "One task per message, one per batch of messages as a JSON array, or one that reads the whole stream of messages.",
        default=Action.receives,
        of=JOB,
        since="0.1.0",
    ),
    BATCH_FIELD,
    Field(
        "message",
        choice("argv", "file"),
        "Where a job finds its payload: in the command line, as long as it is short, or always in a file.",
        default=Action.message,
        of=JOB,
        since="0.3.0",
    ),
    Field(
        "response",
        choice("combined", "stdout", "json", "jsonl"),
        "What becomes the payload of the response: stdout and stderr, stdout alone, the JSON value on stdout, or a record "
        "for each of its lines.",
        default=Action.response,
        of=JOB,
        since="0.1.0",
    ),
    Field(
        "workers",
        whole(1, 1000),
        "How many messages, batches, or readers of one stream are at work at a time. 1 keeps messages in strict order.",
        absent="the number of CPUs; 1 for a stream",
        of=JOB,
        since="0.1.0",
    ),
    RETRIES_FIELD,
    ON_ERROR,
    Field("resources", one(RESOURCES, Resources()), "What one attempt may use, in containers.", since="0.1.0"),
    Field(
        "concurrency",
        CONCURRENCY,
        "How many calls a daemon gets at a time, from all activations together.",
        default=Action.concurrency,
        of=DAEMON,
        since="0.1.0",
    ),
    Field(
        "warm",
        WARM_KIND,
        "Attempts of a Python program are forked from a process that has imported its packages.",
        default=False,
        of=JOB,
        since="0.4.0",
    ),
    Field("preload", ANYTHING._replace(read=None), "No effect here; write it below `warm`.", of=JOB, since="0.1.0"),
)
JOB_KEYS, DAEMON_KEYS = (tuple(field.key for field in FIELDS if field.of == kind) for kind in TYPES)
HARMLESS = "scaleCount"  # ignored on a job
ACTION = Shape(
    "action",
    "One program of the skill.",
    *FIELDS,
    rules={
        "allOf": [
            {
                "if": {"properties": {"type": {"const": DAEMON}}, "required": ["type"]},
                "then": nulls(*JOB_KEYS),
                "else": nulls(*(key for key in DAEMON_KEYS if key != HARMLESS)),
            },
            {
                "if": {
                    "properties": {"type": {"const": JOB}, "receives": {"enum": ["message", "stream", None]}},
                },
                "then": nulls("batch"),
            },
        ]
    },
)


def read_action(reader: Reader) -> Action | None:
    """Return the action that `reader` is at; None if it is not a mapping."""
    values = ACTION.values(reader)
    if values is None:
        return None
    action = Action(**values)
    _check_keys_fit(reader, action)
    return replace(action, batch=Batch()) if action.receives == "batch" and action.batch is None else action


def _check_keys_fit(reader: Reader, action: Action) -> None:
    wrong, other = (DAEMON_KEYS, DAEMON) if action.type == JOB else (JOB_KEYS, JOB)
    for key in wrong:
        if reader.has(key) and key == HARMLESS:
            reader.at_key(f"'{HARMLESS}' has no effect on a job, which ends", key, level="warning")
        elif reader.has(key):
            reader.at_key(
                f"'{key}' is only for an action of type {other}, and this one is a {action.type}; remove it", key
            )
    if action.type == JOB and action.receives != "batch" and reader.has("batch"):
        reader.at_key("'batch' is only for a job that receives batches; write 'receives: batch', or remove it", "batch")
    if action.receives == "stream" and reader.has("message"):
        reader.at_key(
            "'message' has no effect here: a stream has no payload in its message", "message", level="warning"
        )
    if reader.has("preload") and action.type == JOB:
        reader.at_key("'preload' has no effect here; write it below 'warm'", "preload", level="warning")
