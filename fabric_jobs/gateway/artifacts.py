"""Artifacts of runs: files of any size, which are content under a key of their run."""

from __future__ import annotations

import asyncio

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from fabric_jobs.gateway.content import CONDITIONS, HEADERS, UNCHANGED, answer_content
from fabric_jobs.gateway.experiments import ONE_RUN, find_run, no_run, run_key
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.uploads import received
from fabric_jobs.names import content_key
from fabric_jobs.store import Tx, content, documents
from fabric_jobs.store.content import Content
from fabric_jobs.store.documents import NewDocument

CLOSE = {"connection": "close"}  # docs/reference/compatibility.md#artifacts


async def upload_artifact(call: Call) -> Response:
    """Store the body as an artifact of a run, with its content type; it replaces what was there.

    Its content key, `experiments/{name}/{run}/artifacts/{artifact}`, is among the `artifacts` of the run. The answer closes the
    connection.
    """
    find_run(call)  # before the body is read
    key, run = _content_key(call), run_key(call)
    parts, name = call.parts, call.path_params["artifact"]
    async with received(call) as upload:

        def store() -> Content | None:
            with parts.blobs.keeping(upload.incoming) as blob:

                def put(tx: Tx) -> Content | None:
                    saved = documents.find(tx, run)
                    if saved is None:
                        return None
                    body = {**saved.body, "artifacts": {**saved.body.get("artifacts", {}), name: key}}
                    documents.save(tx, NewDocument(key=run, body=body, has_history=False))
                    return content.put(tx, run.project_id, key, blob, upload.content_type)

                return parts.store.write(put).result()

        item = await asyncio.to_thread(store)
    if item is None:
        raise no_run(call)
    message = f"artifact '{name}' is stored."
    return Json(
        {"success": True, "message": message, "key": key, "sha256": item.sha256, "size": item.size}, headers=CLOSE
    )


async def download_artifact(call: Call) -> Response:
    """Answer with the bytes of an artifact; the content route of its key does the same."""
    find_run(call)
    return await answer_content(call, _content_key(call))


def _content_key(call: Call) -> str:
    found = call.path_params
    return content_key(f"experiments/{found['name']}/{found['run']}/artifacts/{found['artifact']}")


class _Artifact(PathConvertor):
    regex = r"[\s\S]+"  # line ends too, so that a name with one gets its own error


register_url_convertor("artifact", _Artifact())
CLOSED = {"connection": "`close`."}
ONE = ONE_RUN + "/artifacts/{artifact:artifact}"
OPERATIONS = (
    Operation("PUT", ONE, upload_artifact, body="Bytes", is_read=False, answer="Stored", headers=CLOSED, role="run"),
    Operation(
        "GET",
        ONE,
        download_artifact,
        parameters=CONDITIONS,
        answer="Bytes",
        others={"206": ("The bytes of the range.", "Bytes"), **UNCHANGED},
        headers=HEADERS,
        errors=("416", "500"),
    ),
)
