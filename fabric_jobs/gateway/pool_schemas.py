"""The JSON Schemas of what pods of pools send and get, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import TEXT, YES_OR_NO, record, said

NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$"}
CALLER = {
    "pod": {**NAME, "description": "The name of the caller's Job."},
    "instance": {**NAME, "description": "A name that differs for each process."},
}
POOLS: dict[str, Any] = {
    "PoolCall": record(
        {
            **CALLER,
            "attempt": {"anyOf": [NAME, {"const": ""}], "description": "What it runs; empty: nothing."},
            "grace": {**said(["number", "null"], "The seconds that it was given to end."), "minimum": 0},
        }
    ),
    "PoolOrder": record({}, order={"type": "object"}, stop=TEXT, grace={"type": "number"}),
    "PoolEnd": record(
        {**CALLER, "attempt": NAME, "code": {"type": "integer", "minimum": 0, "maximum": 255}},
        oom={**YES_OR_NO, "description": "Whether it needed more memory than its limit."},
    ),
    "PoolRefusal": record({**CALLER, "why": TEXT}),
}
