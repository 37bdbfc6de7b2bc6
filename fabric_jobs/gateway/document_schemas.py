"""The JSON Schemas of documents that a project keeps by name, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import COUNT, MILLISECONDS, TEXT, good, listed, record, ref, said
from fabric_jobs.names import DEFINED_NAME

KINDS = ("connection", "type", "model", "experiment", "action")
NAME = {"type": "string", "pattern": f"^({DEFINED_NAME.pattern})$"}
RUN_ID = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?"
MAYBE_TEXT = {"type": ["string", "null"]}
MAYBE_LIST = {"type": ["array", "null"]}
MAYBE_OBJECT = {"type": ["object", "null"]}
TRUTH = {"anyOf": [{"type": ["boolean", "null"]}, {"enum": ["true", "false"]}]}
VERSION = {"type": "integer", "minimum": 1}
MADE = {"_version": VERSION, "createdAt": MILLISECONDS, "createdBy": TEXT, "updatedAt": MILLISECONDS}
NAMED_ITEMS = {"type": ["array", "null"], "items": record({"name": TEXT})}
TITLES = {"title": MAYBE_TEXT, "description": MAYBE_TEXT}
ANY_VALUES = {"type": "object", "description": "Any JSON values by name."}
GROUPS = {"params": MAYBE_OBJECT, "metrics": MAYBE_OBJECT, "meta": MAYBE_OBJECT}
ROW = record({"name": TEXT, **MADE}, title={}, description={}, tags={})
TYPE = record({"name": NAME}, parameters=NAMED_ITEMS, **TITLES)
TTL = {"type": "number", "exclusiveMinimum": 0, "maximum": 366 * 86_400, "description": "Seconds."}
SESSION = {
    "sessionId": TEXT,
    "ttl": TTL,
    "description": TEXT,
    "createdAt": MILLISECONDS,
    "createdBy": TEXT,
    "updatedAt": MILLISECONDS,
    "expiresAt": MILLISECONDS,
}
DOCUMENTS: dict[str, Any] = {
    "Connection": record(
        {"name": NAME, "connectionType": TEXT},
        allowRead=TRUTH,
        allowWrite=TRUTH,
        params=NAMED_ITEMS,
        **TITLES,
    ),
    "NewTypes": {
        "anyOf": [TYPE, record({"types": {"type": "array", "items": TYPE, "minItems": 1, "maxItems": 1_000}})]
    },
    "Model": record({"name": NAME}, status=MAYBE_TEXT, tags=MAYBE_LIST, **TITLES),
    "Experiment": record({"name": NAME}, modelId=MAYBE_TEXT, tags=MAYBE_LIST, meta=MAYBE_OBJECT, **TITLES),
    "StandaloneAction": record(
        {"name": NAME},
        type={"enum": ["job", "daemon", None]},
        image=MAYBE_TEXT,
        docker={"description": "The same as `image`."},
        command={
            "description": "A list, or the JSON text of one.",
            "anyOf": [{"type": "array", "items": TEXT}, {"type": "null"}, {"enum": ['["python", "main.py"]', ""]}],
            "minItems": 1,
        },
        port={"description": "Of a daemon; ignored on a job."},
    ),
    "DocumentSaved": good(version=VERSION, message=TEXT),
    "SavedDocument": {
        "description": "The document with its version and times.",
        **record({"name": TEXT, "_projectId": TEXT, **MADE}),
    },
    "ActionConfig": good(dockerPrivateRegistryUrl=TEXT),
    "ConnectionTypes": good(connectionTypes={"type": "array", "items": record({"name": TEXT, "title": TEXT})}),
    "OneAction": good(action=ref("SavedDocument")),
    "DocumentRow": ROW,
    "Connections": listed("connections", "DocumentRow"),
    "Types": listed("types", "DocumentRow"),
    "Models": listed("models", "DocumentRow"),
    "Experiments": listed("experiments", "DocumentRow"),
    "Actions": listed("actions", "DocumentRow"),
    **{f"{kind.capitalize()}Versions": listed(kind, "DocumentRow") for kind in KINDS},
    "Run": record(
        {},
        runId={"type": "string", "pattern": f"^({RUN_ID})$", "description": "Made if it is not given."},
        startTime={"description": "Seconds since 1970."},
        endTime={"description": "The same."},
        took={"description": "Seconds."},
        **GROUPS,
    ),
    "SavedRun": record(
        {
            "runId": TEXT,
            "experimentName": TEXT,
            "_projectId": TEXT,
            "_createdAt": said("string", "ISO 8601."),
            "_updatedAt": said("string", "ISO 8601."),
            "params": {},
            "metrics": {},
            "meta": {},
            "artifacts": said("object", "Content keys by name."),
        }
    ),
    "Runs": listed("runs", "SavedRun"),
    "RunsDeleted": good(message=TEXT, deleted=COUNT),
    "RunValue": record({"value": {"description": "Any JSON value."}}),
    "NewSession": record({}, ttl={"anyOf": [TTL, {"type": "null"}]}, description=MAYBE_TEXT, state=MAYBE_OBJECT),
    "SessionStarted": good(sessionId=TEXT, ttl=TTL),
    "SessionState": record({"state": ANY_VALUES}),
    "SessionSaved": good(sessionId=TEXT, message=TEXT),
    "SessionRow": record(SESSION),
    "Sessions": listed("sessions", "SessionRow"),
    "Session": record({"state": ANY_VALUES}, **SESSION),
}
