"""The JSON Schemas of APIs, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import COUNT, MILLISECONDS, TEXT, count, listed, record, ref, said
from fabric_jobs.gateway.shapes import good as _good

KIND = {"enum": ["BatchAPI", "TaskAPI"]}
ROW = {
    "name": TEXT,
    "kind": KIND,
    "version": COUNT,
    "endpoint": said("string", "The path to which jobs are submitted."),
    "url": said("string", "The same with the gateway's address."),
    "updatedAt": MILLISECONDS,
    "createdBy": TEXT,
}
RUNNING = count("Jobs that have not ended.")
SPEC = {"type": "object", "description": "The entry of the API file with all defaults, and the ids of the version."}
JOBS = {"type": "array", "items": {"type": "object"}}
API_SCHEMAS: dict[str, Any] = {
    "DeployedApis": listed("apis", "DeployedApi"),
    "DeployedApi": record({**ROW, "message": said("string", "What was done: created, updated, or nothing.")}),
    "Apis": listed("apis", "ApiRow"),
    "ApiRow": record({**ROW, "running": RUNNING}),
    "OneApi": _good(api=ref("ApiShown")),
    "ApiShown": record(
        {**ROW, "running": RUNNING, "spec": SPEC, "versions": {"type": "array", "items": ref("ApiVersion")}}
    ),
    "ApiVersion": record(ROW),
    "CortexDeployed": {"type": "array", "items": ref("CortexDeployment")},
    "CortexDeployment": record({"api": ref("CortexApi"), "message": TEXT, "error": said("string", "Always empty.")}),
    "CortexApis": {"type": "array", "items": ref("CortexApi")},
    "CortexApi": record(
        {"spec": SPEC, "metadata": {"type": "object"}, "endpoint": TEXT, "dashboard_url": TEXT},
        api_versions={"type": "array", "items": {"type": "object"}},
        batch_job_statuses=JOBS,
        task_job_statuses=JOBS,
    ),
    "CortexMessage": record({"message": TEXT}),
    "CortexLogs": record({"log_url": said("string", "Where the logs of all workers are, as NDJSON.")}),
    "CortexNothing": {"type": "object", "description": "`{}`"},
    "CortexCluster": record({"cluster_config": {"type": "object"}, "version": TEXT, "worker_node_infos": JOBS}),
}
# Bodies that are not JSON: media type and schema.
API_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ApiForm": (
        "multipart/form-data",
        record(
            {"config": {"type": "string", "description": "The API file, as UTF-8."}},
            **{
                "project.zip": {
                    "type": "string",
                    "contentMediaType": "application/zip",
                    "description": "The files of the project; classes need them.",
                }
            },
        ),
    ),
}
