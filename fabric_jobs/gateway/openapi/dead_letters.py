"""Dead letters, and the way of one record."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import (
    ACTIVATION,
    DONE,
    PROJECT,
    SKIP,
    Answer,
    Body,
    Operation,
    P,
    in_path,
    in_query,
    listed,
    paths,
    ref,
    whole,
)

LETTER = in_path("letter", "The number of a dead letter.", pattern="^[0-9]+$")
TOGETHER = whole("limit", "At most so many.", 100, low=1, high=10_000)
SHOWN = {
    "type": "object",
    "properties": {"success": {"const": True}, "deadLetter": ref("DeadLetter")},
    "required": ["success", "deadLetter"],
}
DROPPED = {
    "type": "object",
    "properties": {"success": {"const": True}, "dropped": {"type": "boolean"}, "message": {"type": "string"}},
    "required": ["success", "dropped", "message"],
}
PATHS: dict[str, Any] = {
    f"{P}/deadletters": paths(
        get=Operation(
            name="listDeadLetters",
            meaning="List dead letters, the oldest first.",
            tag="dead letters",
            parameters=(
                PROJECT,
                in_query("activationId", "Only of this activation."),
                in_query("skillName", "Only of this skill."),
                in_query("retried", "Only those that are tried again, or only the others.", type="boolean"),
                in_query("contains", "Only those whose cause has this text in it."),
                TOGETHER,
                SKIP,
            ),
            answer=listed("deadLetters", ref("DeadLetter"), "count"),
        )
    ),
    f"{P}/deadletters/retry": paths(
        post=Operation(
            name="retryDeadLetters",
            meaning="Start an activation for each activation and input that dead letters come from, to try them again.",
            tag="dead letters",
            parameters=(PROJECT,),
            body=Body(schema=ref("Retry"), example={"ids": [1, 2], "requestId": "made-anew-each-time"}),
            answer=listed("activations", ref("Retried")),
            errors=("404",),
        )
    ),
    f"{P}/deadletters/{{letter}}": paths(
        get=Operation(
            name="showDeadLetter",
            meaning="Show a dead letter with its payload.",
            tag="dead letters",
            parameters=(PROJECT, LETTER),
            answer=Answer(schema=SHOWN),
            errors=("404",),
        ),
        put=Operation(
            name="editDeadLetter",
            meaning="Give a dead letter another payload for its next try.",
            tag="dead letters",
            parameters=(PROJECT, LETTER),
            body=Body(
                schema={
                    "type": "object",
                    "properties": {"payload": {"description": "Any JSON value of at most 16 MiB."}},
                    "required": ["payload"],
                }
            ),
            answer=DONE,
            errors=("404",),
        ),
        delete=Operation(
            name="dropDeadLetter",
            meaning="Forget a dead letter for good; one that is gone already is no error.",
            tag="dead letters",
            parameters=(PROJECT, LETTER),
            answer=Answer(schema=DROPPED),
            errors=("404",),
        ),
    ),
    f"{P}/activations/{{activation}}/trace": paths(
        get=Operation(
            name="traceRecord",
            meaning="Show which records one record came from, or which it caused, the nearest first.",
            tag="activations",
            parameters=(
                PROJECT,
                ACTIVATION,
                in_query("direction", "Where to go.", enum=["back", "forward"], default="back"),
                whole("channel", "That of the record; 0 is the response, or forward the input.", 0),
                whole("offset", "That of the record in its channel.", 0),
            ),
            answer=Answer(schema=ref("Trace")),
            errors=("404",),
        )
    ),
}
