"""Documents that a project keeps by name, such as connections and types: list, save, show, versions, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from fabric_jobs.documents.saved import an, check_saved
from fabric_jobs.errors import InUse, InvalidInput, NotFound
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.definitions import definition_of
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.kinds import (
    ACTION,
    ACTION_TYPE,
    COLUMNS,
    CONNECTION,
    EXPERIMENT,
    MODEL,
    MODEL_ID,
    TAGS,
    TYPE,
    DocumentKind,
)
from fabric_jobs.gateway.listing import by, page_of, where
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import SKIP, P, whole
from fabric_jobs.names import nearest
from fabric_jobs.store import Tx, documents
from fabric_jobs.store.documents import DocumentKey, NewDocument, SavedDocument
from fabric_jobs.store.sql import Sql

WHERE = where('A [JSON object](#filter-and-sort) such as `{"name": "orders"}`.', '{"name":"orders"}')
SORT = by("name", "title", "createdAt", "updatedAt", "_version")
MANY = whole("limit", "How many at most; all by default.", None, low=1)
OF_ANSWERS = ("createdAt", "createdBy", "success", "updatedAt", "updatedBy", "version")  # never stored
TOGETHER = 1_000  # types in one request
Verb = Callable[[Call, DocumentKind], Awaitable[Response]]


async def _list(call: Call, kind: DocumentKind) -> Response:
    saved = documents.newest(call.parts.store.read, call.project, kind.name)
    rows = [row(document, kind) for document in saved if _is_wanted(call, kind, document.body)]
    found, skip, limit = page_of(rows, call.of(WHERE), call.of(SORT)), call.of(SKIP), call.of(MANY)
    return Json({"success": True, kind.path: found[skip : None if limit is None else skip + limit]})


async def _save(call: Call, kind: DocumentKind) -> Response:
    body = await definition_of(call, kind.name, call.parts.settings.definition_bytes)
    given = body["types"] if kind is TYPE and "types" in body else [body]
    if kind is ACTION and call.of(ACTION_TYPE) and body.get("type") in (None, ""):
        given = [{**body, "type": call.of(ACTION_TYPE)}]
    if not isinstance(given, list) or not 0 < len(given) <= TOGETHER or not all(isinstance(one, dict) for one in given):
        raise InvalidInput(f"'types' must be a list of 1 to {TOGETHER:,} types.")
    wanted = await asyncio.to_thread(_checked, call, kind, given)
    found = await asyncio.wrap_future(call.parts.store.write(lambda tx: [_saved(tx, kind, new) for new in wanted]))
    last = found[-1]
    if kind is TYPE and "types" in body:
        names = ", ".join(f"'{document.name}'" for document in found)
        types = [row(document, kind) for document in found]
        return Json({"success": True, "version": last.version, "message": f"saved: {names}.", "types": types})
    answer = {"success": True, "version": last.version, "message": _said(last), **row(last, kind)}
    if kind is MODEL:
        answer |= {"created": last.version == 1, "modelId": last.name}
    return Json(answer)


async def _show(call: Call, kind: DocumentKind) -> Response:
    found = shown(find(call, kind))
    return Json({"success": True, "action": found} if kind is ACTION else found)


async def _show_versions(call: Call, kind: DocumentKind) -> Response:
    found = documents.versions(call.parts.store.read, documents.key_of(find(call, kind)))
    return Json({"success": True, kind.name: [row(document, kind) for document in found]})


async def _delete(call: Call, kind: DocumentKind) -> Response:
    key = DocumentKey(call.project, kind.name, call.path_params["name"])

    def delete(tx: Tx) -> bool:
        check_unused(tx, kind, key)
        if kind is EXPERIMENT:
            for run in documents.newest(tx, key.project_id, "run", key.name):
                documents.delete_run(tx, documents.key_of(run))
        return documents.delete(tx, key)

    if not await asyncio.wrap_future(call.parts.store.write(delete)):
        raise no_such(call.parts.store.read, key)
    return Json({"success": True, "message": f"{kind.name} '{key.name}' is deleted."})


async def update_model_status(call: Call) -> Response:
    """Publish a model, or take that back: its `status` is `published` or `unpublished`."""
    key, status = DocumentKey(call.project, MODEL.name, call.path_params["name"]), f"{call.path_params['status']}ed"

    def update(tx: Tx) -> bool:
        saved = documents.find(tx, key)
        if saved is not None:
            documents.save(tx, NewDocument(key=key, body={**saved.body, "status": status}))
        return saved is not None

    if not await asyncio.wrap_future(call.parts.store.write(update)):
        raise no_such(call.parts.store.read, key)
    return Json({"success": True, "message": f"model '{key.name}' is {status}."})


def find(call: Call, kind: DocumentKind) -> SavedDocument:
    """Return the document of a path; raise NotFound."""
    sql, key = call.parts.store.read, DocumentKey(call.project, kind.name, call.path_params["name"])
    saved = documents.find(sql, key)
    if saved is None:
        raise no_such(sql, key)
    return saved


def no_such(sql: Sql, key: DocumentKey) -> NotFound:
    """Return the error for a document that does not exist."""
    known = [item.name for item in documents.newest(sql, key.project_id, key.kind, key.parent)]
    return NotFound(f"there is no {key.kind} '{key.name}'.", hint=nearest(key.name, known))


def shown(saved: SavedDocument) -> dict[str, Any]:
    """Return a document as the API shows it."""
    return {
        **saved.body,
        "name": saved.name,
        "_version": saved.version,
        "_projectId": saved.project_id,
        "createdAt": milliseconds(saved.created_at),
        "createdBy": saved.created_by,
        "updatedAt": milliseconds(saved.saved_at),
    }


def row(saved: SavedDocument, kind: DocumentKind) -> dict[str, Any]:
    """Return a document as lists show it."""
    whole = shown(saved)
    return {key: whole.get(key) for key in (*COLUMNS, *kind.columns)}


def storable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without what only answers have, so that saving it as it was shown changes nothing."""
    return {key: value for key, value in body.items() if key not in OF_ANSWERS and not key.startswith("_")}


def check_unused(sql: Sql, kind: DocumentKind, key: DocumentKey) -> None:
    """Raise InUse if something needs a document."""
    users = tuple(kind.users(sql, key.project_id, key.name))
    if users:
        names, hint = ", ".join(name for _, name in users), "Delete or change its users first."
        raise InUse(f"{kind.name} '{key.name}' is in use by {names}.", users=users, hint=hint)


def _is_wanted(call: Call, kind: DocumentKind, body: Mapping[str, Any]) -> bool:
    if kind is EXPERIMENT:
        return call.of(MODEL_ID) in ("", body.get("modelId"))
    if kind is MODEL and call.of(TAGS):
        tags = body.get("tags") or ()
        labels = {str(tag.get("label") if isinstance(tag, dict) else tag) for tag in tags}
        return not labels.isdisjoint(call.of(TAGS).split(","))
    return True


def _checked(call: Call, kind: DocumentKind, given: list[dict[str, Any]]) -> list[NewDocument]:
    """Return the documents to save; raise InvalidDefinition for the first that is wrong."""
    bodies = [kind.prepared(storable(one)) for one in given]
    keys = [DocumentKey(call.project, kind.name, check_saved(kind.name, body)) for body in bodies]
    return [
        NewDocument(key=key, body=body, created_by=call.caller.username) for key, body in zip(keys, bodies, strict=True)
    ]


def _saved(tx: Tx, kind: DocumentKind, new: NewDocument) -> SavedDocument:
    before = documents.find(tx, new.key) if kind.merges else None
    documents.save(tx, new if before is None else replace(new, body={**before.body, **new.body}))
    saved = documents.find(tx, new.key)
    assert saved is not None, "it was saved in this transaction"
    return saved


def _said(saved: SavedDocument) -> str:
    return f"{saved.kind} '{saved.name}' is saved as version {saved.version}."


def _handler(verb: Verb, kind: DocumentKind, name: str, doc: str) -> Callable[[Call], Awaitable[Response]]:
    """Return the handler that a verb is for a kind, with the name and the words of the documentation."""

    async def handle(call: Call) -> Response:
        return await verb(call, kind)

    handle.__name__, handle.__doc__ = name, doc
    return handle


def _operations(kind: DocumentKind) -> tuple[Operation, ...]:
    """Return the operations that every kind has."""
    noun, a, several = kind.name, an(kind.name), kind.path
    every, one, plural = f"{P}/{several}", f"{P}/{several}/{{name:path}}", several.capitalize()
    parameters = (*kind.parameters, WHERE, SORT, MANY, SKIP)
    save = f"Save a version of {a}; an unchanged one keeps its number.\n\n{kind.saving}"
    delete = f"Delete {a}.\n\n{kind.deleting}"
    return (
        Operation(
            "GET",
            every,
            _handler(_list, kind, f"list_{several}", f"List the newest version of every {noun}."),
            parameters=parameters,
            answer=plural,
            errors=("501",),
        ),
        Operation(
            "POST",
            every,
            _handler(_save, kind, f"save_{noun}", save),
            parameters=kind.asked,
            body=kind.schema,
            is_read=False,
            answer="DocumentSaved",
            role=kind.role,
        ),
        Operation(
            "GET",
            f"{one}/versions",
            _handler(_show_versions, kind, f"list_{noun}_versions", f"List all versions of {a}, the newest first."),
            answer=f"{noun.capitalize()}Versions",
        ),
        Operation(
            "GET",
            one,
            _handler(_show, kind, f"show_{noun}", f"Show {a} as it was saved."),
            answer="OneAction" if kind is ACTION else "SavedDocument",
        ),
        Operation(
            "DELETE",
            one,
            _handler(_delete, kind, f"delete_{noun}", delete),
            answer="Done",
            errors=("403",),
            role=kind.role,
        ),
    )


class _Status(StringConvertor):
    regex = "(?:un)?publish"


register_url_convertor("status", _Status())
OPERATIONS = (
    Operation("POST", P + "/models/{name:path}/{status:status}", update_model_status, answer="Done", role=MODEL.role),
    *(operation for kind in (CONNECTION, TYPE, MODEL, EXPERIMENT, ACTION) for operation in _operations(kind)),
)
