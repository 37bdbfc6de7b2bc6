"""What the routes of Cortex Labs share: they have no project in their path, and find an API by its name or its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor

from fabric_jobs.apis import BATCH, TASK
from fabric_jobs.engine.job_document import api_id
from fabric_jobs.errors import NotFound, WrongRequest
from fabric_jobs.gateway.caller import over_tcp
from fabric_jobs.gateway.cortex_errors import NOT_DEPLOYED
from fabric_jobs.gateway.operation import Call
from fabric_jobs.names import nearest
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import definitions
from fabric_jobs.store.sql import Sql

LOCAL, ANYWHERE = "127.0.0.1", ("0.0.0.0", "::")  # addresses to listen on
OTHER_KIND = "resources.operation_is_only_supported_for_kind"
PREFIXES = {BATCH: "batch", TASK: "tasks"}  # of the direct paths
# The first parts of all other paths. An API whose endpoint begins with one is reached by its direct path.
TAKEN = (
    "batch",
    "tasks",
    "fabric",
    "internal",
    "px",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
    "deploy",
    "delete",
    "get",
    "refresh",
    "describe",
    "logs",
    "streamlogs",
    "info",
    "verifycortex",
)


class _Endpoint(StringConvertor):
    regex = rf"(?!({'|'.join(TAKEN)})(/|$)).+"


register_url_convertor("endpoint", _Endpoint())


def project_of(call: Call) -> str:
    """Return the project of a call: that of its token, which may be good for one only, else the gateway's."""
    return call.caller.project or call.parts.settings.project_id


def deployed(sql: Sql, project_id: str) -> list[SavedDefinition]:
    """Return the newest version of every deployed API, by name."""
    return [saved for saved in definitions.newest(sql, project_id, "skill") if is_api(saved)]


def is_api(saved: SavedDefinition) -> bool:
    """Return whether a saved skill is a deployed API."""
    return isinstance(saved.body, dict) and isinstance(saved.body.get("api"), dict)


def find_api(call: Call, name: str, kind: str = "") -> SavedDefinition:
    """Return the deployed API of a name; raise WrongRequest if there is none, or if it is not of this kind."""
    sql, project_id = call.parts.store.read, project_of(call)
    saved = definitions.find(sql, project_id, "skill", name)
    if saved is None or not is_api(saved):
        known = [each.name for each in deployed(sql, project_id)]
        hint = nearest(name, known) or "Deploy it first: fabric-jobs jobs deploy FILE"
        raise WrongRequest(f"the API '{name}' is not deployed.", kind=NOT_DEPLOYED, hint=hint)
    if kind and kind_of(saved) != kind:
        said = f"this is only supported for a {kind}, and '{name}' is a {kind_of(saved)}."
        path = f"/{PREFIXES[kind_of(saved)]}/{name}"
        raise WrongRequest(said, kind=OTHER_KIND, hint=f"Its path is {path}.")
    return saved


def find_endpoint(call: Call, path: str) -> SavedDefinition:
    """Return the API whose endpoint a path is, or begins with; the longest endpoint wins. Raises NotFound."""
    sql, project_id, asked = call.parts.store.read, project_of(call), f"/{path}/"
    by_name = definitions.find(sql, project_id, "skill", path)
    if by_name is not None and is_api(by_name) and f"{endpoint_of(by_name)}/" == asked:  # as most are
        return by_name
    found = [saved for saved in deployed(sql, project_id) if asked.startswith(f"{endpoint_of(saved)}/")]
    if not found:
        raise NotFound(f"no deployed API has the endpoint '/{path}'.", hint="List them with `fabric-jobs jobs apis`.")
    return max(found, key=lambda saved: len(endpoint_of(saved)))


def kind_of(saved: SavedDefinition) -> str:
    """Return the kind of an API: BatchAPI or TaskAPI."""
    return str(saved.body["api"].get("kind"))


def endpoint_of(saved: SavedDefinition) -> str:
    """Return the endpoint of an API as its file says it, with a slash at the beginning and none at the end."""
    networking: Mapping[str, Any] = saved.body["api"].get("networking") or {}
    return "/" + str(networking.get("endpoint") or saved.name).strip("/")


def url_of(call: Call, saved: SavedDefinition) -> str:
    """Return the URL of an API's endpoint, at the address that the caller has used."""
    path = endpoint_of(saved)
    if path.split("/")[1] in TAKEN:
        path = f"/{PREFIXES[kind_of(saved)]}/{saved.name}"
    return f"{base_of(call)}{path}"


def base_of(call: Call) -> str:
    """Return the URL of the gateway: the address that the caller has used; over the Unix socket, that for other programs."""
    settings = call.parts.settings
    if over_tcp(call):
        return f"{call.url.scheme}://{call.url.netloc}"
    if settings.advertise:
        return settings.advertise.rstrip("/")
    row = call.parts.store.read.one("setting", key="port")
    assert row is not None, "the owner has noted it"
    host = LOCAL if settings.host in ANYWHERE else settings.host
    return f"http://[{host}]:{row['value']}" if ":" in host else f"http://{host}:{row['value']}"


def spec_of(saved: SavedDefinition) -> dict[str, Any]:
    """Return the specification of a version of an API, as answers have it."""
    half = saved.hash[:32]
    return {
        **saved.body["api"],
        "id": api_id(saved),
        "spec_id": half,
        "pod_id": half,
        "last_updated": int(saved.saved_at),
    }
