"""The JSON Schemas of invocations and activations, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import (
    ACTIVATION_STATE,
    COUNT,
    MAYBE_MILLISECONDS,
    MILLISECONDS,
    PAYLOAD,
    SUCCESS,
    TEXT,
    count,
    good,
    record,
    ref,
    said,
)

WAITS_BEHIND = count(
    "How many activations have their turn before it, while it [waits for its own](settings.md#limits)."
)
INVOCATIONS: dict[str, Any] = {
    "Started": record(
        {"success": SUCCESS, "activationId": TEXT},
        attached={"const": True, "description": "The activation was there before."},
        waitsBehind=WAITS_BEHIND,
    ),
    "Invocation": record(
        {"payload": PAYLOAD},
        properties={"type": ["object", "null"], "description": "Values of properties, which win over all others."},
        activationId={
            "type": ["string", "null"],
            "pattern": "^[^/]*$",
            "maxLength": 250,
            "description": "Up to 250 bytes of printable text without `/`. Two invocations with one id start one activation, which "
            "has this id for good; 409 if they differ in target, payload or properties.",
        },
        key={
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 1024,
            "description": "Up to 1,024 bytes of any text that stand for this invocation in its project, so that it may be posted "
            "again: see `ifExists`. Also the header `Idempotency-Key`. 409 if they differ in target, payload or properties.",
        },
        ifExists={
            "enum": ["retry", "attach", "fail"],
            "description": "What to do about an activation with this `key`: `retry` (the default) answers with it while it is "
            "PENDING or when it is COMPLETE, and starts another one after ERROR or CANCELLED; `attach` always answers with it; "
            "`fail` is a 409. Of those that started after failures, the newest counts.",
        },
        callbackUrl=said(["string", "null"], "Where to [post the record](../howto/callbacks.md) at the end."),
        correlationId=said(["string", "null"], "Kept and shown; the activation's id by default."),
        sessionId=said(["string", "null"], "Kept and shown; the activation's id by default."),
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
        waitsBehind=WAITS_BEHIND,
    ),
    "Activation": record(
        {
            "success": {"const": True, "description": "The call was good. `status` says whether the activation was."},
            "activationId": said("string", "Its id."),
            "requestId": said("string", "The same as `activationId`."),
            "correlationId": said("string", "That of the invocation; `activationId` by default."),
            "sessionId": said("string", "That of the invocation; `activationId` by default."),
            "projectId": said("string", "The project of the path."),
            "username": TEXT,
            "payload": {"description": "That of the invocation."},
            "properties": said("object", "Those of the invocation."),
            "headers": said("object", "Those of the invocation that are passed on to programs."),
            "start": MILLISECONDS,
            "end": said(["integer", "null"], "Milliseconds since 1970; null while it runs."),
            "status": ACTIVATION_STATE,
            "response": {
                "description": "The record on the output that answers; a list when there are several; null when there is none; "
                "`{count, href}` above 1,000 records or 1 MiB. After a failure: what had arrived before."
            },
        },
        agentName=said("string", "What was invoked, if it is an agent."),
        serviceName=said("string", "The service of the agent."),
        skillName=said("string", "What was invoked, if it is a skill."),
        inputName=said("string", "The input of the skill."),
        waitsBehind=WAITS_BEHIND,
        key=said("string", "That of the invocation, if it had one."),
        executor=said("string", "Where it runs; absent where that is `local`."),
        cause=said("string", "Why it did not end COMPLETE."),
        deadLetters={"type": "integer", "minimum": 1, "description": "How many of its records are dead letters."},
        scheduledAt=said(
            "string", "The time that it is for, such as `2026-01-31T02:00:00Z`, if a schedule started it."
        ),
        retryOf=said("string", "The activation whose dead letters this one tries again."),
        error=said(
            "object",
            "After a failure: `{skill, action, task, attempt, record, exitCode, reason, lastLines}`, and `hint` if there is "
            "something to do about it. `record` is `{channel, offset, mapping}`; with `orLater` it is that record or one of the "
            "next. If the program printed something, there are `stream` and `logOffset`, the byte where the line of its "
            "[log](#logs) begins that says why. With dead letters under `onError: continue` it is the error of the first.",
        ),
        progress={"type": "array", "description": "Only with `verbose`: see below.", "items": ref("Progress")},
        tasks={"type": "array", "description": "Only with `verbose`.", "items": ref("Task")},
    ),
    "Report": good(
        activationId=TEXT,
        status=ACTIVATION_STATE,
        elapsed=COUNT,
        start=MILLISECONDS,
        end=MAYBE_MILLISECONDS,
        transits={"type": "array", "items": ref("Transit")},
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
}
