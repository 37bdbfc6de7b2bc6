"""Deploys the APIs of an API file, with the files of their project."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fabric_jobs import deployed, sizes
from fabric_jobs.apis import Api, ApiCode
from fabric_jobs.errors import (
    AlreadyExists,
    InvalidDefinition,
    InvalidInput,
    Problem,
    RecordTooLarge,
    WrongRequest,
)
from fabric_jobs.gateway import cortex
from fabric_jobs.gateway.form import Form, wrong
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.uploads import Upload, begun
from fabric_jobs.records import SavedDefinition
from fabric_jobs.state_dir import deployed_dir
from fabric_jobs.store import Tx, definitions
from fabric_jobs.store.definitions import NewDefinition, Programs

CONFIG, ARCHIVE = "config", "project.zip"
HINT = "Send the API file as the field 'config', and the zip archive of its project as 'project.zip'."
LONGEST_FILE_NAME = 1000
OTHER_KIND = "resources.cannot_change_kind_of_deployed_api"
SAME_ENDPOINT = "spec.duplicate_endpoint"


class DeployedApi(NamedTuple):
    """What came of one API."""

    saved: SavedDefinition
    message: str


class Deployment(NamedTuple):
    """The APIs of one file, ready to be saved."""

    project_id: str
    apis: tuple[Api, ...]
    source: str  # the directory of their files; empty: there are none
    username: str


async def deploy(call: Call, project_id: str, file: str) -> list[DeployedApi]:
    """Deploy all APIs of the file that a form has, or none.

    Raises InvalidDefinition with all that is wrong in the file, which problems call `file`; RecordTooLarge, InvalidInput for a
    form that is none, AlreadyExists and WrongRequest for an API that clashes with another one, PlaceUnavailable.
    """
    parts = call.parts
    if len(file) > LONGEST_FILE_NAME or not file.isprintable():
        raise InvalidInput(
            f"the name of the API file must be printable text of up to {LONGEST_FILE_NAME:,} characters."
        )
    async with _received(call) as (text, upload):
        apis, places = await asyncio.to_thread(_read, text, file)
        source = ""
        if upload is not None:
            root = deployed_dir(parts.settings.state_dir).absolute()
            limit = parts.settings.project_bytes
            source = str(await asyncio.to_thread(deployed.keep, upload.incoming.path, root, limit))
    await asyncio.to_thread(_check_files, apis, places, Path(source) if source else None, file)
    wanted = Deployment(project_id, apis, source, call.caller.username)
    return await asyncio.wrap_future(parts.store.write(lambda tx: [_save(tx, wanted, api) for api in apis]))


@asynccontextmanager
async def _received(call: Call) -> AsyncIterator[tuple[str, Upload | None]]:
    """Yield the text of the API file, and the archive, if there is one."""
    settings, config = call.parts.settings, bytearray()

    async def add_config(data: bytes) -> None:
        config.extend(data)
        if len(config) > settings.definition_bytes:
            raise RecordTooLarge(
                f"the API file is over the limit of {settings.definition_bytes:,} bytes for a definition.",
                hint="Change the limit with FABRIC_JOBS_DEFINITION_BYTES of the owner.",
            )

    refusal = partial(_too_large, settings.project_bytes)
    async with begun(call, settings.project_bytes + deployed.SLACK_BYTES, refusal) as upload:
        form = Form(call.headers.get("content-type", ""), {CONFIG: add_config, ARCHIVE: upload.add}, hint=HINT)
        await form.read(call.stream())
        await upload.end()
        if form.names.count(CONFIG) != 1 or form.names.count(ARCHIVE) > 1:
            raise wrong(f"it needs one field '{CONFIG}', and at most one '{ARCHIVE}'")
        try:
            text = config.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"the API file is not UTF-8 from byte {error.start:,}.", hint="Save it as UTF-8."
            ) from error
        yield text, upload if ARCHIVE in form.names else None


def _too_large(limit: int, _: int) -> RecordTooLarge:
    return RecordTooLarge(
        f"the project's archive is over the limit of {sizes.spelled(limit)}.",
        hint="Leave files out with .cortexignore, or raise FABRIC_JOBS_PROJECT_BYTES of the gateway.",
    )


Places = dict[str, tuple[int, int]]  # line and column of the path of each API's class


def _read(text: str, file: str) -> tuple[tuple[Api, ...], Places]:
    from fabric_jobs.documents import read  # late: an owner rarely reads YAML
    from fabric_jobs.documents.apis import apis_of

    document = read(text, file)
    apis, _ = apis_of(document)
    places = {
        f"{api.name}.{key}": document.node.locate(index, "handler" if api.is_batch else "definition", key)
        for index, api in enumerate(apis)
        for key in ("path", "python_path")
    }
    return apis, {key: (place.line, place.column) for key, place in places.items()}


def _check_files(apis: tuple[Api, ...], places: Places, source: Path | None, file: str) -> None:
    """Raise InvalidDefinition for classes whose files are not in the project."""
    problems = []
    for api in apis:
        if api.code is None:
            continue
        for key, message in _missing(api.code, source):
            line, column = places[f"{api.name}.{key}"]
            path = f"{api.name}.{'handler' if api.is_batch else 'definition'}.{key}"
            problems.append(Problem(file=file, line=line, column=column, path=path, message=message))
    if problems:
        raise InvalidDefinition(tuple(problems))


def _missing(code: ApiCode, source: Path | None) -> list[tuple[str, str]]:
    """Return what of a class is not in the project: key and message."""
    if source is None:
        return [("path", f"'{code.path}' is not there: the files of the project were not sent")]
    found = []
    if not _inside(source, code.path).is_file():
        found.append(("path", f"there is no file '{code.path}' in the project, beside the API file; is it left out?"))
    if code.python_path and not _inside(source, code.python_path).is_dir():
        found.append(("python_path", f"there is no directory '{code.python_path}' in the project"))
    return found


def _inside(source: Path, name: str) -> Path:
    """Return a path in the project; one that cannot exist if it leads out of it."""
    path = source / name
    return path if ".." not in path.parts and path.is_relative_to(source) else source / "\0"


def _save(tx: Tx, wanted: Deployment, api: Api) -> DeployedApi:
    from fabric_jobs.documents.api_entry import entry_of

    project_id = wanted.project_id
    before = definitions.find(tx, project_id, "skill", api.name)
    _check_clashes(tx, wanted, api, before)
    new = NewDefinition(
        project_id=project_id,
        kind="skill",
        name=api.name,
        body={"name": api.name, "api": entry_of(api)},
        programs=Programs(source=wanted.source),
        saved_by=wanted.username,
    )
    version = definitions.save(tx, new)
    saved = definitions.find(tx, project_id, "skill", api.name)
    assert saved is not None, "it was just saved"
    what = f"{api.name} ({api.kind})"
    if before is None:
        return DeployedApi(saved, f"created {what}")
    return DeployedApi(saved, f"{what} is up to date" if before.version == version else f"updated {what}")


def _check_clashes(tx: Tx, wanted: Deployment, api: Api, before: SavedDefinition | None) -> None:
    if before is not None and not cortex.is_api(before):
        raise AlreadyExists(
            f"'{api.name}' is the name of a skill that is no API.", hint="Choose another name for the API."
        )
    if before is not None and cortex.kind_of(before) != api.kind:
        raise WrongRequest(
            f"'{api.name}' is deployed as a {cortex.kind_of(before)}, and cannot become a {api.kind}.",
            kind=OTHER_KIND,
            hint=f"Delete it first: fabric-jobs jobs delete {api.name}",
        )
    for other in cortex.deployed(tx, wanted.project_id):
        if other.name != api.name and cortex.endpoint_of(other) == api.endpoint:
            raise WrongRequest(
                f"the endpoint '{api.endpoint}' of '{api.name}' is that of '{other.name}'.",
                kind=SAME_ENDPOINT,
                hint="Give one of them another 'networking.endpoint'.",
            )
