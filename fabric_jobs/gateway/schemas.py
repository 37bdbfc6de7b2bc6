"""The shapes of what goes in and out, which operations name; read for the documentation only."""

from __future__ import annotations

import json
from typing import Any

from fabric_jobs import shipped
from fabric_jobs.states import ActivationState, TaskState

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
MILLISECONDS = {"type": "integer", "description": "Milliseconds since 1970."}
MAYBE_MILLISECONDS = {"type": ["integer", "null"], "description": "Milliseconds since 1970."}
ACTIVATION_STATE = {"enum": [state.value for state in ActivationState]}
NOTE = {"type": "string", "description": "What keeps a program from running yet; empty once it runs."}
REMARKS = {"type": "array", "description": "What the place does not carry out.", "items": TEXT}
TASK_STATE = {"enum": [state.value for state in TaskState]}


SUCCESS = {"const": True}
PAYLOAD = {"description": "Any JSON value of at most 16 MiB."}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _good(**keys: Any) -> dict[str, Any]:
    """Return the schema of a good answer."""
    return record({"success": SUCCESS, **keys})


def _listed(name: str, schema: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a good answer that is a list."""
    return _good(**{name: {"type": "array", "items": ref(schema)}}, **more)


def _embedded(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a definition and its parts, as schemas of this document."""
    title = kind.capitalize()
    text = shipped.schema_file(kind).read_text(encoding="utf-8").replace("#/$defs/", f"#/components/schemas/{title}.")
    whole = json.loads(text)
    parts = {f"{title}.{name}": part for name, part in whole.pop("$defs").items()}
    whole.pop("$schema")
    return {title: whole, **parts}


YES_OR_NO = {"type": "boolean"}
COUNTS = {"type": "object", "additionalProperties": COUNT}
STATE: dict[str, Any] = {
    "Size": _good(
        database=record({"bytes": COUNT, "free": COUNT, "wal": COUNT}),
        attempts=record({"bytes": COUNT, "leftovers": COUNT}),
        bytes=COUNT,
        used=COUNT,
        counts=COUNTS,
        activations={"type": "array", "items": ref("Share")},
    ),
    "Share": record(
        {
            "activationId": TEXT,
            "name": TEXT,
            "status": ACTIVATION_STATE,
            "bytes": COUNT,
            "database": COUNT,
            "attempts": COUNT,
        }
    ),
    "Check": _good(healthy=YES_OR_NO, violations={"type": "array", "items": TEXT}, counts=COUNTS),
    "Prunable": record(
        {"activationId": TEXT, "name": TEXT, "status": ACTIVATION_STATE, "end": MILLISECONDS, "bytes": COUNT}
    ),
    "Prunables": _listed("activations", "Prunable"),
    "Prune": record(
        {}, activations={"type": "array", "items": TEXT}, deadLetters={"type": "boolean", "default": False}
    ),
    "Pruned": _good(seen=COUNT, count=COUNT, finished=YES_OR_NO),
    "Retired": _good(ending=YES_OR_NO),
    "Compacted": _good(compacted=YES_OR_NO, reason=TEXT),
    "BackupWanted": record(
        {"destination": {"type": "string", "minLength": 1, "description": "An absolute path."}},
        logs={"type": "boolean", "default": True},
    ),
    "Backup": _good(
        destination=TEXT,
        ended=YES_OR_NO,
        pages=record({"copied": COUNT, "all": COUNT}),
        files=COUNT,
        bytes=COUNT,
        error={"type": ["object", "null"]},
    ),
}
LISTS: dict[str, Any] = {
    "Skills": _listed("skills", "Summary"),
    "SkillVersions": _listed("skill", "Summary"),
    "Agents": _listed("agents", "Summary"),
    "AgentVersions": _listed("agent", "Summary"),
    "Activations": _listed("activations", "ActivationSummary"),
    "Events": _listed("events", "Event"),
    "Tasks": _listed("tasks", "Task"),
    "DeadLetters": _listed("deadLetters", "DeadLetter", count=COUNT),
    "Retrying": _listed("activations", "Retried"),
}
SCHEMAS: dict[str, Any] = {
    "Error": record(
        {"success": {"const": False}, "message": TEXT},
        error={"type": "string", "description": "The class of the error."},
        hint={"type": "string", "description": "What to do next."},
        details={
            "type": "array",
            "description": "All problems of a document, as {path, message}; or what uses a thing, as {name, type}.",
            "items": {"type": "object"},
        },
    ),
    "Success": record({}, success=SUCCESS),
    "Done": _good(message=TEXT),
    "Saved": _good(version={"type": "integer", "minimum": 1}, message=TEXT),
    "Started": _good(activationId=TEXT),
    "Cancelled": _good(cancelled=YES_OR_NO, message=TEXT),
    "OneTask": _good(task=ref("Task")),
    "OneDeadLetter": _good(deadLetter=ref("DeadLetter")),
    "Edit": record({"payload": PAYLOAD}),
    "Dropped": _good(dropped=YES_OR_NO, message=TEXT),
    "Record": PAYLOAD,
    **_embedded("skill"),
    **_embedded("agent"),
    "SavedSkill": record({"name": TEXT, "_version": COUNT, "updatedAt": MILLISECONDS}),
    "SavedAgent": record({"name": TEXT, "_version": COUNT, "updatedAt": MILLISECONDS}),
    "Summary": record({"name": TEXT, "title": TEXT, "description": TEXT, "updatedAt": MILLISECONDS, "_version": COUNT}),
    "Invocation": record(
        {"payload": PAYLOAD},
        properties={"type": ["object", "null"], "description": "Values of properties, which win over all others."},
        activationId={
            "type": ["string", "null"],
            "pattern": "^([A-Za-z0-9_-]{8,64})?$",
            "description": "An invocation that comes twice with one id starts one activation.",
        },
        correlationId={"type": ["string", "null"]},
        sessionId={"type": ["string", "null"]},
    ),
    "ActivationSummary": record(
        {
            "activationId": TEXT,
            "status": ACTIVATION_STATE,
            "start": MILLISECONDS,
            "end": MAYBE_MILLISECONDS,
            "cause": TEXT,
        },
        agentName=TEXT,
        skillName=TEXT,
    ),
    "Activation": record(
        {
            "success": SUCCESS,
            "activationId": TEXT,
            "requestId": TEXT,
            "correlationId": TEXT,
            "sessionId": TEXT,
            "projectId": TEXT,
            "username": TEXT,
            "payload": {},
            "properties": {"type": "object"},
            "headers": {"type": "object"},
            "start": MILLISECONDS,
            "end": MAYBE_MILLISECONDS,
            "status": ACTIVATION_STATE,
            "response": {"description": "One record, a list of them, null, or {count, href}."},
        },
        agentName=TEXT,
        serviceName=TEXT,
        skillName=TEXT,
        inputName=TEXT,
        cause=TEXT,
        error={"type": "object"},
        deadLetters={"type": "integer", "minimum": 1, "description": "So many records used up their attempts."},
        executor={"type": "string", "description": "Where it runs; absent where that is `local`."},
        retryOf={"type": "string", "description": "The activation whose dead letters this one tries again."},
        progress={"type": "array", "items": ref("Progress")},
        tasks={"type": "array", "items": ref("Task")},
    ),
    "Report": record(
        {
            "success": SUCCESS,
            "activationId": TEXT,
            "status": ACTIVATION_STATE,
            "elapsed": COUNT,
            "start": MILLISECONDS,
            "end": MAYBE_MILLISECONDS,
            "transits": {"type": "array", "items": ref("Transit")},
        }
    ),
    "Transit": record(
        {
            "name": TEXT,
            "title": TEXT,
            "type": {"enum": ["skill", "output"]},
            "status": ACTIVATION_STATE,
            "elapsed": {"type": ["integer", "null"]},
            "start": MAYBE_MILLISECONDS,
            "end": MAYBE_MILLISECONDS,
        }
    ),
    "Progress": record(
        {
            "skill": TEXT,
            "node": TEXT,
            "in": COUNT,
            "waiting": COUNT,
            "out": COUNT,
            "failed": {"type": "integer", "minimum": 0, "description": "Records that used up their attempts."},
            "tasks": {"type": "object", "additionalProperties": COUNT},
            "note": NOTE,
            "remarks": REMARKS,
        }
    ),
    "Event": record({"number": COUNT, "kind": TEXT, "at": MILLISECONDS, "activationId": {"type": ["string", "null"]}}),
    "News": record(
        {
            "events": {"type": "array", "items": ref("Event")},
            "progress": {"type": "array", "items": ref("Progress")},
        },
        activation=ref("Activation"),
    ),
    "Task": record(
        {
            "name": TEXT,
            "activationId": {"type": ["string", "null"]},
            "skillName": TEXT,
            "actionName": TEXT,
            "state": TASK_STATE,
            "attempt": COUNT,
            "startTime": MAYBE_MILLISECONDS,
            "endTime": MAYBE_MILLISECONDS,
        },
        agentName=TEXT,
        node=TEXT,
        receives={"enum": ["message", "stream"]},
        exitCode={"type": ["integer", "null"]},
        cause=TEXT,
        sent=COUNT,
        record={"type": ["object", "null"]},
        username=TEXT,
        note=NOTE,
        remarks=REMARKS,
        attempts={"type": "array", "items": ref("Attempt")},
    ),
    "Attempt": record(
        {"attempt": COUNT, "executor": TEXT, "start": MILLISECONDS, "end": MAYBE_MILLISECONDS},
        exitCode={"type": ["integer", "null"]},
        reason=TEXT,
    ),
    "Log": _good(logs=TEXT, truncated=YES_OR_NO),
    "DeadLetter": record(
        {
            "id": {"type": "integer", "minimum": 1},
            "activationId": TEXT,
            "skillName": TEXT,
            "record": {"type": ["object", "null"]},
            "task": {"type": ["string", "null"]},
            "attempts": COUNT,
            "onError": {"enum": ["continue", "complete"]},
            "at": MILLISECONDS,
            "cause": TEXT,
            "error": {"type": "object"},
            "retriedAs": {"type": ["string", "null"], "description": "The activation that tries it again."},
        },
        payload={},
    ),
    "Retry": record(
        {
            "ids": {
                "type": "array",
                "description": "Numbers of dead letters.",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 10_000,
            },
            "requestId": {
                "type": "string",
                "minLength": 8,
                "description": "Made anew for each request; one that comes twice starts its activations once.",
            },
        }
    ),
    "Retried": record({"activationId": TEXT, "deadLetters": {"type": "array", "items": COUNT}}),
    "Trace": record(
        {
            "success": SUCCESS,
            "activationId": TEXT,
            "direction": {"enum": ["back", "forward"]},
            "records": {"type": "array", "items": ref("Stop")},
        }
    ),
    "Stop": record(
        {
            "channel": COUNT,
            "mapping": TEXT,
            "count": COUNT,
            "offsets": {
                "type": "array",
                "description": "Ranges, [first, next): at most 1,000 of them.",
                "items": {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2},
            },
            "tasks": {"type": "array", "description": "That made them: at most 10.", "items": TEXT},
        },
        truncated={"const": True},
        payload={"description": "Of one record alone, when it is still kept."},
    ),
    **LISTS,
    **STATE,
    "Ready": record({"status": TEXT, "checks": {"type": "object", "additionalProperties": TEXT}}),
    "Info": record(
        {
            "serverTs": MILLISECONDS,
            "version": TEXT,
            "healths": {"type": "array"},
            "deployType": TEXT,
            "endpoints": {"type": "string", "description": "JSON in a text."},
        }
    ),
    "Compatibility": record({"semver": TEXT}),
    "Healthy": {"type": "object"},
    "Empty": {"type": "object"},
    "OpenApi": {"type": "object"},
}
# Those that are no JSON: media type, and what it is.
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Text": ("text/plain", TEXT),
    "Yaml": ("application/yaml", TEXT),
    "Records": ("application/x-ndjson", TEXT),
    "Commit": ("application/x-ndjson", TEXT),
    "LogPage": ("application/octet-stream", TEXT),
    "LogStream": ("text/event-stream", {"description": 'Server-sent events; `data` of each is {"log": …}.'}),
    "EventStream": ("text/event-stream", {"description": "Server-sent events; `data` of each is an event."}),
}
EXAMPLES: dict[str, Any] = {
    "Skill": {
        "camel": "1.0.0",
        "name": "word-count",
        "inputs": [
            {
                "name": "request",
                "routing": {"all": {"action": "word-count", "runtime": "cortex/jobs", "output": "response"}},
            }
        ],
        "outputs": [{"name": "response"}],
        "actions": [{"name": "word-count", "type": "job", "image": "word-count", "response": "stdout"}],
    },
    "Agent": {
        "camel": "1.0.0",
        "name": "words",
        "skills": [{"skillName": "word-count"}],
        "mappings": [{"from": "input", "to": "word-count"}, {"from": "word-count", "to": "output"}],
    },
    "Invocation": {"payload": {"text": "to be or not"}},
    "Retry": {"ids": [1, 2], "requestId": "made-anew-each-time"},
    "Prune": {"activations": ["0123456789abcdef01234567"]},
    "BackupWanted": {"destination": "/backups/monday.tar.gz"},
}
