"""Projects, by the four GraphQL operations that Fabric's clients use (docs/reference/compatibility.md#projects)."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import Forbidden, InvalidInput, NotFound
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.names import check_new_name
from fabric_jobs.records import Project
from fabric_jobs.store import projects

LONGEST = 1000  # characters of a title or a description
# `{ projects {name} }`, `query { projectByName(name: "x") {name} }`, `mutation M($i: I!) { createProject(input: $i) {name} }`
ASKED = re.compile(r"[^{]*\{\s*(?P<name>\w+)\s*(\((?P<arguments>[^)]*)\))?\s*[{}]")
ARGUMENT = re.compile(r'(?P<name>\w+)\s*:\s*(?:\$(?P<variable>\w+)|(?P<text>"(?:[^"\\]|\\.)*"))')


async def ask_projects(call: Call) -> Response:
    """Answer one of the operations `projects`, `projectByName`, `createProject` and `deleteProject`; there is no other GraphQL.

    A project is answered with `name`, `title` and `description`, whatever the query selects. A personal token sees only its own
    project, and only the owner's user creates and deletes some. An error also has `errors: [{message}]`.
    """
    name, arguments = _operation(call.object)
    return Json({"data": {name: await OPERATION[name](call, arguments)}})


async def _projects(call: Call, arguments: dict[str, Any]) -> list[dict[str, str]]:
    found = projects.listed(call.parts.store.read)
    return [_shown(project) for project in found if call.caller.project in ("", project.project_id)]


async def _project(call: Call, arguments: dict[str, Any]) -> dict[str, str]:
    name = _text(arguments, "name")
    if call.caller.project not in ("", name):
        raise NotFound(f"there is no project '{name}'.", hint="A token sees only its own project.")
    return _shown(projects.check(call.parts.store.read, name))


async def _create(call: Call, arguments: dict[str, Any]) -> dict[str, str]:
    _check_owner(call)
    new = Project.new(
        check_new_name(_text(arguments, "name"), "project"),
        title=_text(arguments, "title"),
        description=_text(arguments, "description"),
        created_by=call.caller.username,
    )
    await asyncio.wrap_future(call.parts.store.write(lambda tx: projects.create(tx, new)))
    return _shown(new)


async def _delete(call: Call, arguments: dict[str, Any]) -> bool:
    _check_owner(call)
    name, parts = _text(arguments, "name"), call.parts
    if name == parts.settings.project_id:
        raise InvalidInput(f"project '{name}' is that of this workspace, and stays.")
    deleted = await asyncio.wrap_future(parts.store.write(lambda tx: projects.delete(tx, name)))
    parts.access.forget()
    return deleted


OPERATION = {"projects": _projects, "projectByName": _project, "createProject": _create, "deleteProject": _delete}


def _operation(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of a query's one operation; raise InvalidInput for anything else."""
    query, variables = body.get("query"), body.get("variables") or {}
    found = ASKED.match(query) if isinstance(query, str) else None
    name = found["name"] if found is not None else ""
    if found is None or name not in OPERATION or not isinstance(variables, dict):
        raise InvalidInput(
            "this is not one of the GraphQL operations that the gateway has.", hint=f"It has {', '.join(OPERATION)}."
        )
    arguments: dict[str, Any] = {}
    for argument in ARGUMENT.finditer(found["arguments"] or ""):
        value = variables.get(argument["variable"]) if argument["variable"] else _string(argument["text"])
        arguments |= value if isinstance(value, dict) else {argument["name"]: value}
    return name, arguments


def _string(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise InvalidInput(f"{text} is not a string.") from None


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if value is None and name != "name":
        return ""
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise InvalidInput(f"'{name}' of a project is a text of up to {LONGEST:,} characters.")
    return value


def _check_owner(call: Call) -> None:
    if not call.caller.is_owner:
        raise Forbidden("only the user whom this gateway runs as creates and deletes projects.")


def _shown(project: Project) -> dict[str, str]:
    return {"name": project.project_id, "title": project.title, "description": project.description}


OPERATIONS = (
    Operation(
        "POST",
        "/fabric/v4/graphql",
        ask_projects,
        body="GraphQuery",
        answer="GraphAnswer",
        errors=("404", "409"),
        role="read",
    ),
)
