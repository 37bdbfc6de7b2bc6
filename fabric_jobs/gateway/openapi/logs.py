"""What programs printed."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import (
    NAME,
    PROJECT,
    TASK,
    TEXT,
    WAIT,
    Answer,
    Operation,
    P,
    flag,
    in_path,
    in_query,
    paths,
    ref,
    whole,
)

BYTES = "application/octet-stream"
EVENTS = "text/event-stream"
STREAM = in_query("stream", "Only this one.", enum=["stdout", "stderr"])
ATTEMPT = in_query("attempt", "Its number; the last, when it is not given.", type="integer", minimum=0, maximum=2**53)
PATHS: dict[str, Any] = {
    f"{P}/tasks/{{task}}/logs": paths(
        get=Operation(
            name="showLogs",
            meaning="The log of an attempt: merged, one stream of it as text from a byte on, or live.",
            tag="tasks",
            parameters=(
                PROJECT,
                TASK,
                STREAM,
                whole("offset", "The first byte, of one stream.", 0),
                ATTEMPT,
                flag("follow", "As server-sent events until the task has ended."),
            ),
            answer=Answer(
                schema=ref("Log"),
                others={
                    TEXT: {"type": "string"},
                    EVENTS: {"description": 'Server-sent events; `data` of each is {"log": …}.'},
                },
                headers=(
                    ("x-fabric-state", "Of one stream: the state of the task."),
                    ("x-fabric-attempt", "Of one stream: the attempt whose log it is."),
                    ("x-fabric-attempts", "Of one stream: how many attempts there have been."),
                ),
            ),
            errors=("404", "501"),
        )
    ),
    f"{P}/tasks/{{task}}/logs/page": paths(
        get=Operation(
            name="showLogPage",
            meaning="A page of a log with the times at which it was seen: a line of JSON, then bytes.",
            tag="tasks",
            parameters=(
                PROJECT,
                TASK,
                in_query(
                    "cursor",
                    "That of the page before.",
                    type="string",
                    pattern="^([0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18})?$",
                ),
                ATTEMPT,
                STREAM,
                in_query("since", "Milliseconds since 1970.", type="number", minimum=0, maximum=2**53, default=0),
                flag("whole", "No line without its end, while there may be more."),
                WAIT,
            ),
            answer=Answer(schema={"type": "string"}, media_type=BYTES),
            errors=("404",),
        )
    ),
    f"{P}/skills/{{name}}/action/{{action}}/logs": paths(
        get=Operation(
            name="showSkillLogs",
            meaning="The log of the newest task of an action.",
            tag="tasks",
            parameters=(
                PROJECT,
                NAME,
                in_path("action", "The name of an action."),
                flag("raw", "The whole log, the bytes as they came."),
            ),
            answer=Answer(schema=ref("Log"), others={TEXT: {"type": "string"}}),
            errors=("404",),
        )
    ),
}
