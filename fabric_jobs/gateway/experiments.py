"""Runs of experiments: create, list, show, change, delete; one value of a run at a time."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.documents import MANY, find, no_such
from fabric_jobs.gateway.json_response import Json, compact
from fabric_jobs.gateway.kinds import EXPERIMENT, MODEL
from fabric_jobs.gateway.listing import by, page_of, where
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import SKIP, P
from fabric_jobs.store import Tx, documents
from fabric_jobs.store.documents import DocumentKey, NewDocument, SavedDocument

RUN = "run"
RUN_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?")
GROUPS = ("params", "metrics", "meta", "artifacts")  # mappings in a run
WHERE = where('A [JSON object](#filter-and-sort) such as `{"metrics.accuracy": {"$gt": 0.9}}`.', '{"runId":"run_01"}')
SORT = by("runId", "startTime", "endTime", "took", "_createdAt", "_updatedAt", "experimentName")


async def list_runs(call: Call) -> Response:
    """List the runs of an experiment, the last changed first."""
    return _listed(call, _runs(call, find(call, EXPERIMENT).name))


async def list_model_runs(call: Call) -> Response:
    """List the runs of all experiments of a model, the last changed first."""
    model, sql = find(call, MODEL), call.parts.store.read
    found = [
        run
        for experiment in documents.newest(sql, call.project, EXPERIMENT.name)
        if experiment.body.get("modelId") == model.name
        for run in _runs(call, experiment.name)
    ]
    return _listed(call, found)


async def create_run(call: Call) -> Response:
    """Create a run; `runId` is made if none is given, and a run with that id is changed."""
    body, run_id = _changes(call.object), call.object.get("runId", secrets.token_hex(4))
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise InvalidInput(
            "'runId' must be 1 to 128 letters, digits, '_', '-' and '.', and begin and end with a letter or digit."
        )
    return Json({"success": True, **_shown(await _change(call, run_id, lambda run: {**run, **body}, creates=True))})


async def show_run(call: Call) -> Response:
    """Show a run."""
    return Json(_shown(find_run(call)))


async def update_run(call: Call) -> Response:
    """Change a run; keys that are left out keep their value."""
    return await _update(call)


async def save_run(call: Call) -> Response:
    """The same as PUT."""
    return await _update(call)


async def update_run_value(call: Call) -> Response:
    """Set one param, metric or meta value of a run; two at once change only their own."""
    if "value" not in call.object:
        raise InvalidInput("there is no 'value' in the body.", hint='Give an object such as {"value": 0.93}.')
    group, key, value = call.path_params["group"], call.path_params["value"], call.object["value"]
    await _change(call, call.path_params["run"], lambda run: {**run, group: {**(run.get(group) or {}), key: value}})
    return Json({"success": True, "message": f"{group} '{key}' is set."})


async def delete_run(call: Call) -> Response:
    """Delete a run with its artifacts."""
    key = run_key(call)
    if not await asyncio.wrap_future(call.parts.store.write(lambda tx: documents.delete_run(tx, key))):
        raise no_run(call)
    return Json({"success": True, "message": f"run '{key.name}' is deleted."})


async def delete_runs(call: Call) -> Response:
    """Delete the runs that match a filter, all of them without one; with their artifacts."""
    experiment, wanted = find(call, EXPERIMENT).name, call.of(WHERE)

    def delete(tx: Tx) -> int:
        found = [_shown(run) for run in documents.newest(tx, call.project, RUN, experiment)]
        keys = [DocumentKey(call.project, RUN, run["runId"], experiment) for run in page_of(found, wanted, [])]
        return sum(documents.delete_run(tx, key) for key in keys)

    count = await asyncio.wrap_future(call.parts.store.write(delete))
    return Json({"success": True, "message": "Runs deleted", "deleted": count})


def find_run(call: Call) -> SavedDocument:
    """Return the run of a path; raise NotFound."""
    found = documents.find(call.parts.store.read, run_key(call))
    if found is None:
        raise no_run(call)
    return found


async def _update(call: Call) -> Response:
    body = _changes(call.object)
    run = await _change(call, call.path_params["run"], lambda run: {**run, **body})
    return Json({"success": True, **_shown(run)})


async def _change(
    call: Call, run_id: str, change: Callable[[dict[str, Any]], dict[str, Any]], *, creates: bool = False
) -> SavedDocument:
    """Change a run in one transaction; raise NotFound if there is none or, with `creates`, no experiment."""
    key, limit = DocumentKey(call.project, RUN, run_id, call.path_params["name"]), call.parts.settings.definition_bytes

    def write(tx: Tx) -> SavedDocument | None:
        before = documents.find(tx, key)
        if before is None and not (
            creates and documents.find(tx, DocumentKey(call.project, EXPERIMENT.name, key.parent))
        ):
            return None
        body = change({} if before is None else before.body)
        if len(compact(body)) > limit:
            raise RecordTooLarge(f"the run would be over the limit of {limit:,} bytes; keep large values as artifacts.")
        documents.save(tx, NewDocument(key=key, body=body, has_history=False, created_by=call.caller.username))
        return documents.find(tx, key)

    changed = await asyncio.wrap_future(call.parts.store.write(write))
    if changed is None:
        raise no_run(call)
    return changed


def _changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body changes in a run; raise InvalidInput if a group of values is not a mapping."""
    for group in GROUPS:
        if not isinstance(body.get(group), (dict, type(None))):
            raise InvalidInput(f"'{group}' of a run must be a mapping.")
    fixed = ("runId", "experimentName", "artifacts", "success")
    return {key: value for key, value in body.items() if key not in fixed and not key.startswith("_")}


def _runs(call: Call, experiment: str) -> list[SavedDocument]:
    found = documents.newest(call.parts.store.read, call.project, RUN, experiment)
    return sorted(found, key=lambda run: run.saved_at, reverse=True)


def _listed(call: Call, runs: list[SavedDocument]) -> Response:
    """Answer with the runs that a call asks for. A sort needs each of its keys in every run."""
    order = call.of(SORT)
    rows = [{**dict.fromkeys(key for key, _ in order), **_shown(run)} for run in runs]
    found, skip, limit = page_of(rows, call.of(WHERE), order), call.of(SKIP), call.of(MANY)
    return Json({"success": True, "runs": found[skip : None if limit is None else skip + limit]})


def _shown(run: SavedDocument) -> dict[str, Any]:
    return {
        "_projectId": run.project_id,
        "runId": run.name,
        "experimentName": run.parent,
        **{group: {} for group in GROUPS},
        **run.body,
        "_createdAt": _iso(run.created_at),
        "_updatedAt": _iso(run.saved_at),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_key(call: Call) -> DocumentKey:
    """Return what names the run of a path."""
    return DocumentKey(call.project, RUN, call.path_params.get("run", ""), call.path_params["name"])


def no_run(call: Call) -> NotFound:
    """Return the error for a run that does not exist, or whose experiment does not."""
    find(call, EXPERIMENT)
    return no_such(call.parts.store.read, run_key(call))


class _Group(StringConvertor):
    regex = "params|metrics|meta"


register_url_convertor("group", _Group())
RUNS, ONE_RUN = P + "/experiments/{name:path}/runs", P + "/experiments/{name:path}/runs/{run}"
LISTED = (WHERE, SORT, MANY, SKIP)
OPERATIONS = (
    Operation("PUT", ONE_RUN + "/{group:group}/{value}", update_run_value, body="RunValue", answer="Done", role="run"),
    Operation(
        "GET",
        P + "/models/{name:path}/experiments/runs",
        list_model_runs,
        parameters=LISTED,
        answer="Runs",
        errors=("501",),
    ),
    Operation("GET", RUNS, list_runs, parameters=LISTED, answer="Runs", errors=("501",)),
    Operation("POST", RUNS, create_run, body="Run", answer="SavedRun", errors=("404",), role="run"),
    Operation("DELETE", RUNS, delete_runs, parameters=(WHERE,), answer="RunsDeleted", errors=("501",), role="run"),
    Operation("GET", ONE_RUN, show_run, answer="SavedRun"),
    Operation("PUT", ONE_RUN, update_run, body="Run", answer="SavedRun", role="run"),
    Operation("POST", ONE_RUN, save_run, body="Run", answer="SavedRun", role="run"),
    Operation("DELETE", ONE_RUN, delete_run, answer="Done", role="run"),
)
