"""One action of a skill: what runs, and how."""

from __future__ import annotations

import json
import re
from typing import Any

from fabric_jobs.definitions import Action, Resources, Retries
from fabric_jobs.documents.environment import read_environment
from fabric_jobs.documents.reader import Reader

JOB, DAEMON = TYPES = ("job", "daemon")
RECEIVES = ("message", "stream")
MESSAGES = ("argv", "file")
RESPONSES = ("combined", "stdout", "json")
ON_ERROR = ("fail", "continue", "complete")
JOB_KEYS = ("jobTimeout", "timeout", "receives", "message", "response", "workers", "warm", "preload")
DAEMON_KEYS = ("port", "scaleCount", "concurrency")
ACTION_KEYS = (
    *("name", "type", "description", "image", "command", "python", "environmentVariables", "podSpec", "k8sResources"),
    *("retries", "onError", "resources", *JOB_KEYS, *DAEMON_KEYS),
)
RETRY_KEYS = ("limit", "backoff_seconds", "max_backoff_seconds")
RESOURCE_KEYS = ("cpu", "memory", "gpu")
WARM_KEYS = ("preload",)
POD_SPEC_KEYS = ("path", "value")
CPU = re.compile(r"[0-9]+(\.[0-9]+)?|[0-9]+m")
MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
PYTHON = re.compile(r"[0-9]+(\.[0-9]+)?|[^\s0-9][^\0\n]*")
PORT = re.compile(r"[0-9]{1,5}")
LONGEST_SECONDS = 366 * 86_400  # a year; more is a slip of the keyboard


def read_action(reader: Reader) -> Action | None:
    """Return the action that `reader` is at; None when it is no mapping."""
    if not reader.is_mapping(ACTION_KEYS):
        return None
    action = Action(
        name=reader.name("action"),
        type=reader.choice("type", TYPES, JOB),
        description=reader.text("description"),
        image=reader.text("image"),
        command=_command(reader),
        python=_python(reader),
        port=_port(reader),
        scale_count=reader.whole("scaleCount", 1, low=0, high=1000),
        timeout=_timeout(reader),
        environment=read_environment(reader),
        pod_spec=_pod_spec(reader),
        k8s_resources=_k8s_resources(reader),
        receives=reader.choice("receives", RECEIVES, "message"),
        message=reader.choice("message", MESSAGES, "argv"),
        response=reader.choice("response", RESPONSES, "combined"),
        workers=reader.whole("workers", None, low=1, high=1000),
        retries=_retries(reader),
        on_error=reader.choice("onError", ON_ERROR, "fail"),
        resources=_resources(reader),
        concurrency=reader.whole("concurrency", 1, low=1, high=10_000),
        warm=_warm(reader),
    )
    _check_keys_fit(reader, action)
    return action


def _check_keys_fit(reader: Reader, action: Action) -> None:
    wrong, other = (DAEMON_KEYS, DAEMON) if action.type == JOB else (JOB_KEYS, JOB)
    for key in wrong:
        if reader.has(key) and key == "scaleCount":
            reader.at_key("'scaleCount' has no effect on a job, which ends", key, level="warning")
        elif reader.has(key):
            reader.at_key(f"'{key}' is for an action of type {other}, and this one is a {action.type}; remove it", key)
    if action.receives == "stream" and reader.has("workers"):
        reader.at_key(
            "a stream is read by one task, so it has no workers; remove this key or 'receives: stream'", "workers"
        )
    if action.receives == "stream" and reader.has("message"):
        reader.at_key(
            "'message' has no effect here: a stream has no payload in its message", "message", level="warning"
        )
    if reader.has("preload") and action.type == JOB:
        reader.at_key("'preload' has no effect here; write it below 'warm'", "preload", level="warning")


def _warm(reader: Reader) -> tuple[str, ...] | None:
    """Return the modules that warm starts import ahead; None: the action starts cold."""
    inner = reader.inner("warm")
    if inner is None or not isinstance(inner.node.value, dict):
        return () if reader.flag("warm") else None
    if not inner.is_mapping(WARM_KEYS):
        return None
    modules = _texts(inner, "preload")
    for index, module in enumerate(modules):
        if not MODULE.fullmatch(module):
            inner.error(f"'{module}' is not the name of a Python module", "preload", index)
    return tuple(dict.fromkeys(modules))


def _texts(reader: Reader, key: str) -> tuple[str, ...]:
    items = reader.items(key)
    for item in items:
        if not isinstance(item.node.value, str):
            item.error("each item has to be text; put it in quotes")
    return tuple(item.node.value for item in items if isinstance(item.node.value, str))


def _command(reader: Reader) -> tuple[str, ...]:
    inner = reader.inner("command")
    if inner is not None and isinstance(inner.node.value, str):
        inner.error(
            'the command is a list: one item for the program and one for each argument, like ["python", "main.py"]'
        )
        return ()
    if inner is not None and inner.node.value == []:
        inner.error("the command is empty; remove this key, or name the program")
    return _texts(reader, "command")


def _python(reader: Reader) -> str:
    inner = reader.inner("python")
    if inner is None or not isinstance(inner.node.value, str):
        return reader.text("python")  # which takes no numbers: 3.10 and 3.1 are one
    return reader.matches("python", PYTHON, 'a Python; write a version like "3.12", the name of a program, or a path')


def _port(reader: Reader) -> str:
    text = reader.matches("port", PORT, "a port; write a number from 1 to 65535")
    if text and not 1 <= int(text) <= 65_535:
        reader.error(f"{text} is not a port; write a number from 1 to 65535", "port")
    return text


def _timeout(reader: Reader) -> float | None:
    seconds = {key: reader.number(key, None, low=0.001, high=LONGEST_SECONDS) for key in ("timeout", "jobTimeout")}
    both = [value for value in seconds.values() if value is not None]
    if len(set(both)) > 1:
        reader.at_key("'timeout' and 'jobTimeout' mean the same and differ here; remove one", "jobTimeout")
    return both[0] if both else None


def _retries(reader: Reader) -> Retries:
    inner = reader.inner("retries")
    if inner is None or not inner.is_mapping(RETRY_KEYS):
        return Retries()
    first = inner.number("backoff_seconds", 1.0, low=0, high=86_400)
    return Retries(
        limit=inner.whole("limit", 0, low=0, high=1000),
        backoff_seconds=first,
        max_backoff_seconds=inner.number("max_backoff_seconds", max(60.0, first), low=first, high=86_400),
    )


def _resources(reader: Reader) -> Resources:
    inner = reader.inner("resources")
    if inner is None or not inner.is_mapping(RESOURCE_KEYS):
        return Resources()
    return Resources(
        cpu=inner.matches("cpu", CPU, "an amount of processors; write it like 2, 0.5 or 500m"),
        memory=inner.matches("memory", MEMORY, "an amount of memory; write it like 512Mi or 2Gi"),
        gpu=inner.whole("gpu", 0, low=0, high=1000),
    )


def _pod_spec(reader: Reader) -> tuple[dict[str, Any], ...]:
    patches = [patch for patch in reader.items("podSpec") if patch.is_mapping(POD_SPEC_KEYS)]
    for patch in patches:
        if patch.require("path", "write where in the pod the value goes, like /nodeSelector"):
            path = patch.text("path")
            if path and not path.startswith("/"):
                patch.error(f"'{path}' is not a JSON pointer; it starts with '/', like /containers/0/resources", "path")
        if "value" not in (key for key, _ in patch.entries()):
            patch.error("the key 'value' is missing: write what is put there")
    return tuple(patch.node.plain() for patch in patches)


def _k8s_resources(reader: Reader) -> tuple[str, ...]:
    texts = _texts(reader, "k8sResources")
    for index, text in enumerate(texts):
        if not _is_json_object(text):
            reader.error(
                "each item is a Kubernetes object as JSON text, and this is not a JSON object", "k8sResources", index
            )
    return texts


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
