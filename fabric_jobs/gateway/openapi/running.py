"""Activations, events, tasks, and what running jobs call."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import (
    ACTIVATION,
    LIMIT,
    NDJSON,
    PROJECT,
    SKIP,
    TASK,
    WAIT,
    Answer,
    Body,
    Operation,
    P,
    flag,
    in_header,
    in_path,
    in_query,
    listed,
    paths,
    ref,
    whole,
)

TIME = "milliseconds since 1970, or ISO 8601"
AFTER = whole("after", "The number of the last event that is known.", 0)
PAUSE = in_query("pause", "Gather news for so many seconds.", type="number", minimum=0, maximum=60, default=0)
MOMENT = [{"type": "integer", "minimum": 0, "maximum": 2**53}, {"type": "string", "format": "date-time"}]
TIMES = tuple(
    in_query(f"{edge}{side}", f"Only with {edge} {side.lower()} this: {TIME}.", anyOf=MOMENT)
    for edge in ("start", "end")
    for side in ("Before", "After")
)
STARTED = in_query("sort", "The order of their start.", enum=["asc", "desc", '{"start":1}', '{"start":-1}'])
POSITIONS = "^([0-9]+:[0-9]+(,[0-9]+:[0-9]+)*)?$"
CANCELLED = {
    "type": "object",
    "properties": {"success": {"const": True}, "cancelled": {"type": "boolean"}, "message": {"type": "string"}},
    "required": ["success", "cancelled", "message"],
}
TASK_LIST = listed("tasks", ref("Task"))
ACTIVATIONS: dict[str, Any] = {
    f"{P}/activations": paths(
        get=Operation(
            name="listActivations",
            meaning="List activations, the newest first.",
            tag="activations",
            parameters=(
                PROJECT,
                in_query("status", "Only with this status, in any case."),
                in_query("agentName", "Only of this agent."),
                in_query("skillName", "Only of this skill, invoked by itself."),
                in_query("correlationId", "Only with this one."),
                *TIMES,
                in_query(
                    "filter", "The same as the first four, as a JSON object.", enum=['{"status":"COMPLETE"}', "{}"]
                ),
                STARTED,
                LIMIT,
                SKIP,
            ),
            answer=listed("activations", ref("ActivationSummary")),
            errors=("501",),
        )
    ),
    f"{P}/activations/{{activation}}": paths(
        get=Operation(
            name="showActivation",
            meaning="Show the record of an activation.",
            tag="activations",
            parameters=(
                PROJECT,
                ACTIVATION,
                flag("verbose", "With progress and tasks."),
                flag("report", "Instead: when each skill ran."),
            ),
            answer=Answer(schema={"anyOf": [ref("Activation"), ref("Report")]}),
            errors=("404",),
        )
    ),
    f"{P}/activations/{{activation}}/cancel": paths(
        post=Operation(
            name="cancelActivation",
            meaning="Ask for the end of an activation.",
            tag="activations",
            parameters=(PROJECT, ACTIVATION),
            answer=Answer(schema=CANCELLED),
            errors=("404",),
        )
    ),
    f"{P}/activations/{{activation}}/follow": paths(
        get=Operation(
            name="followActivation",
            meaning="Events after a number, the progress, and the record once it has ended.",
            tag="activations",
            parameters=(PROJECT, ACTIVATION, AFTER, WAIT, PAUSE),
            answer=Answer(schema=ref("News")),
            errors=("404",),
        )
    ),
    f"{P}/activations/{{activation}}/response": paths(
        get=Operation(
            name="showResponse",
            meaning="A page of the records of the response; an empty one is the end.",
            tag="activations",
            parameters=(
                PROJECT,
                ACTIVATION,
                SKIP,
                whole("limit", "At most so many.", 10_000, low=1, high=10_000),
            ),
            answer=Answer(schema={"type": "string"}, media_type=NDJSON),
            errors=("404",),
        )
    ),
    f"{P}/events": paths(
        get=Operation(
            name="listEvents",
            meaning="Events after a number; a stream of them when `Accept` is text/event-stream.",
            tag="activations",
            parameters=(
                PROJECT,
                AFTER,
                WAIT,
                in_query("activationId", "Only of this activation."),
                in_header("Last-Event-ID", "Of a stream that is opened again; wins over `after`."),
            ),
            answer=Answer(
                schema=listed("events", ref("Event")).schema,
                others={"text/event-stream": {"description": "Server-sent events; `data` of each is an event."}},
            ),
            errors=("404",),
        )
    ),
}
TASKS: dict[str, Any] = {
    f"{P}/tasks": paths(
        get=Operation(
            name="listTasks",
            meaning="List tasks, the newest first.",
            tag="tasks",
            parameters=(
                PROJECT,
                in_query("activationId", "Only of this activation."),
                in_query("skillName", "Only of this skill."),
                in_query("actionName", "Only of this action."),
                in_query("agentName", "Only of activations of this agent."),
                in_query("state", "Only in this state, in any case."),
                in_query("filter", "The same as the others, as a JSON object.", enum=['{"state":"COMPLETE"}', "{}"]),
                STARTED,
                LIMIT,
                SKIP,
            ),
            answer=TASK_LIST,
            errors=("501",),
        )
    ),
    f"{P}/tasks/{{task}}": paths(
        get=Operation(
            name="showTask",
            meaning="Show a task with its attempts.",
            tag="tasks",
            parameters=(PROJECT, TASK),
            answer=Answer(
                schema={
                    "type": "object",
                    "properties": {"success": {"const": True}, "task": ref("Task")},
                    "required": ["success", "task"],
                }
            ),
            errors=("404", "501"),
        ),
        delete=Operation(
            name="deleteTask",
            meaning="The same as cancel: what is known of a task stays, with its logs.",
            tag="tasks",
            parameters=(PROJECT, TASK),
            answer=Answer(schema=CANCELLED),
            errors=("404",),
        ),
    ),
    f"{P}/tasks/{{task}}/cancel": paths(
        post=Operation(
            name="cancelTask",
            meaning="Ask for the end of one task; the rest of its activation goes on.",
            tag="tasks",
            parameters=(PROJECT, TASK),
            answer=Answer(schema=CANCELLED),
            errors=("404",),
        )
    ),
}
ATTEMPT = in_path("attempt", "Task and attempt, as in the variable FABRIC_JOBS_ATTEMPT.", pattern="^[^/]+$")
JOBS: dict[str, Any] = {
    "/internal/messages/{activation}/{channel}/{output}": paths(
        post=Operation(
            name="sendMessage",
            meaning="Store one record for an output; answered once it is on the disk.",
            tag="jobs",
            parameters=(
                in_path("activation", "That of the message.", pattern="^[^/]+$"),
                in_path("channel", "`channelId` of the message.", pattern="^[^/]+$"),
                in_path("output", "The name of an output.", pattern="^[^/]+$"),
                in_header("Idempotency-Key", "A record that comes twice with one key is stored once."),
            ),
            body=Body(schema={"description": "Any JSON value of at most 16 MiB."}),
            answer=Answer(schema={"type": "object", "properties": {"success": {"const": True}}}),
            errors=("409",),
            security="task",
        )
    ),
    "/internal/attempts/{attempt}/commit": paths(
        post=Operation(
            name="commit",
            meaning="Store what an attempt sent and acknowledges, in one transaction.",
            tag="jobs",
            parameters=(ATTEMPT,),
            body=Body(schema={"type": "string"}, media_type=NDJSON),
            answer=Answer(schema={"type": "object"}),
            errors=("409",),
            security="task",
        )
    ),
    "/internal/attempts/{attempt}/pull": paths(
        get=Operation(
            name="pull",
            meaning="Records of whichever input has some.",
            tag="jobs",
            parameters=(
                ATTEMPT,
                in_query(
                    "at",
                    "channel:offset,… : where to read on in each.",
                    type="string",
                    pattern=POSITIONS,
                ),
                in_query("acknowledge", "`end`: acknowledgements come with the exit."),
            ),
            answer=Answer(
                schema={"type": "string"},
                media_type=NDJSON,
                headers=(("x-fabric-channel", "Whose records."), ("x-fabric-first", "The offset of the first.")),
            ),
            more={"204": Answer(schema=None, meaning="Nothing came; with the header x-fabric-end nothing can.")},
            errors=("409",),
            security="task",
        )
    ),
}
PATHS: dict[str, Any] = {**ACTIVATIONS, **TASKS, **JOBS}
