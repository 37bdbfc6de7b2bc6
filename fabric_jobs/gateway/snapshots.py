"""Snapshots of agents: make, list, show; they are invoked by their ids (docs/howto/snapshots.md)."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.definitions import AGENT, registered
from fabric_jobs.gateway.describing import OUTPUT, kubernetes, openapi, shown_as
from fabric_jobs.gateway.json_response import Json, object_of
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, flag
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import definitions, snapshots
from fabric_jobs.store.snapshots import AgentSnapshot
from fabric_jobs.store.sql import Sql

ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
TITLE_LENGTH = 1000
DEPS = flag("deps", "With the documents of its skills.")


async def create_snapshot(call: Call) -> Response:
    """Freeze an agent and its skills in their newest versions.

    The snapshot is invoked by its id, in place of the agent's name. The files of skills are not copied.
    """
    await registered(call)
    parts, name = call.parts, call.path_params["name"]
    is_empty = call.headers.get("content-length", "0") == "0" and "transfer-encoding" not in call.headers
    body = {} if is_empty else await object_of(call, parts.settings.definition_bytes)
    given = _text(body, "snapshotId", 64)
    if given and not ID.fullmatch(given):
        raise InvalidInput(
            "'snapshotId' is 8 to 64 letters, digits, '-' and '_'.", hint="Leave it out to get a new one."
        )
    if _text(body, "agentName", TITLE_LENGTH) not in ("", name):
        raise InvalidInput("'agentName' is not the agent of the path.", hint="Leave it out.")
    pins = await asyncio.to_thread(parts.engine.plans.pins, parts.store.read, call.project, "agent", name)
    new = AgentSnapshot(
        snapshot_id=given or secrets.token_hex(12),
        project_id=call.project,
        agent_name=name,
        title=_text(body, "title", TITLE_LENGTH),
        pins=pins,
        created_by=call.caller.username,
    )
    made = await asyncio.wrap_future(parts.store.write(lambda tx: snapshots.create(tx, new)))
    return Json(
        {"success": True, **_summary(made), "message": f"snapshot {made.snapshot_id} of agent '{name}' is made."}
    )


async def list_snapshots(call: Call) -> Response:
    """List the snapshots of an agent, the newest first."""
    sql, name = call.parts.store.read, call.path_params["name"]
    found = snapshots.of_agent(sql, call.project, name)
    if not found and definitions.find(sql, call.project, "agent", name) is None:
        raise NotFound(f"there is no agent '{name}'.", hint="List them with `fabric-jobs agents list`.")
    return Json({"success": True, "snapshots": [_summary(snapshot) for snapshot in found]})


async def show_snapshot(call: Call) -> Response:
    """Show a snapshot with the document of its agent, as what would run, or as the interface that it has."""
    sql, snapshot_id = call.parts.store.read, call.path_params["snapshot"]
    snapshot = snapshots.find(sql, call.project, snapshot_id)
    if snapshot is None:
        raise _no_such(snapshot_id)
    agent = _pinned(sql, snapshot, "agent", snapshot.agent_name)
    versions = snapshot.pins["skills"]
    shown: dict[str, Any] = {**_summary(snapshot), "agent": agent.body}
    if call.of(DEPS):
        shown["skills"] = [_pinned(sql, snapshot, "skill", name).body for name in versions]
    ways = {
        "k8s": lambda: kubernetes(call.parts, agent, versions),
        "openapi": lambda: openapi(agent, snapshot_id),
    }
    return await shown_as(call.of(OUTPUT), {"success": True, **shown}, ways)


async def delete_snapshot(call: Call) -> Response:
    """Delete a snapshot; activations that it started go on."""
    project_id, snapshot_id = call.project, call.path_params["snapshot"]
    store = call.parts.store
    if not await asyncio.wrap_future(store.write(lambda tx: snapshots.delete(tx, project_id, snapshot_id))):
        raise _no_such(snapshot_id)
    return Json({"success": True, "message": f"snapshot {snapshot_id} is deleted."})


def _no_such(snapshot_id: str) -> NotFound:
    hint = "List them with `fabric-jobs agents list-snapshots AGENT`."
    return NotFound(f"there is no snapshot '{snapshot_id}'.", hint=hint)


def frozen(sql: Sql, project_id: str, name: str) -> AgentSnapshot | None:
    """Return the snapshot that an invocation names in place of an agent; an agent of that name wins."""
    snapshot = snapshots.find(sql, project_id, name)
    return None if snapshot is None or definitions.find(sql, project_id, "agent", name) is not None else snapshot


def _pinned(sql: Sql, snapshot: AgentSnapshot, kind: str, name: str) -> SavedDefinition:
    pins = snapshot.pins
    version = pins["agent"]["version"] if kind == "agent" else pins["skills"][name]
    saved = definitions.find(sql, snapshot.project_id, kind, name, version)
    assert saved is not None, "a pinned version is never deleted"
    return saved


def _summary(snapshot: AgentSnapshot) -> dict[str, Any]:
    return {
        "snapshotId": snapshot.snapshot_id,
        "title": snapshot.title,
        "agentName": snapshot.agent_name,
        "agentVersion": snapshot.pins["agent"]["version"],
        "skillVersions": snapshot.pins["skills"],
        "createdAt": milliseconds(snapshot.created_at),
        "createdBy": snapshot.created_by,
    }


def _text(body: dict[str, Any], key: str, longest: int) -> str:
    value = body.get(key)
    if value is not None and not (isinstance(value, str) and len(value) <= longest):
        raise InvalidInput(f"'{key}' is a text of up to {longest:,} characters.")
    return value or ""


ALL, ONE = AGENT + "/snapshots", P + "/snapshots/{snapshot}"
OPERATIONS = (
    Operation(
        "POST",
        ALL,
        create_snapshot,
        body="SnapshotWanted",
        is_read=False,
        answer="SnapshotMade",
        errors=("409",),
        role="admin",
    ),
    Operation("GET", ALL, list_snapshots, answer="Snapshots", role="read"),
    Operation(
        "GET",
        ONE,
        show_snapshot,
        parameters=(DEPS, OUTPUT),
        answer=("Snapshot", "Yaml", "Kubernetes", "Interface"),
        role="read",
    ),
    Operation("DELETE", ONE, delete_snapshot, answer="Done", role="admin"),
)
