"""An API file, such as cortex.yaml → the Batch and Task APIs in it. Both shapes: containers (`pod`), or a class.

docs/reference/api-yaml.md has the keys.
"""

from __future__ import annotations

import re
from typing import Any

from fabric_jobs.apis import BATCH, TASK, Api, ApiCode, Compute
from fabric_jobs.definitions import Skill
from fabric_jobs.documents import api_code, api_containers
from fabric_jobs.documents.action import TEXTS
from fabric_jobs.documents.api_containers import POD, Pod
from fabric_jobs.documents.api_skill import api_skill
from fabric_jobs.documents.fields import NULL, Field, Kind, Shape, anchored, only
from fabric_jobs.documents.nodes import Document, Node, from_json
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.errors import Problem
from fabric_jobs.names import DNS_NAME, LONGEST_API_NAME

LONGEST_ENDPOINT = 1000
ENDPOINT = r"(?!.*//)(?!(.*/)?\.\.?(/|$))(?=.*[A-Za-z0-9_.-])[A-Za-z0-9_./-]+"
OTHER_KINDS = ("RealtimeAPI", "AsyncAPI", "SyncAPI", "TrafficSplitter")
BODIES = ("pod", "handler", "definition")
FOREIGN = {"handler": BATCH, "definition": TASK}  # the kind that a body is for
FIXED = "is for APIs that answer requests: each submission of a job says how many workers it has. Remove it"
NODE_GROUPS = "'node_groups' has no effect: fabric-jobs does not know groups of nodes"


def _name(reader: Reader, _field: Field) -> str:
    name = api_containers.dns_name(reader, "an API", LONGEST_API_NAME)
    if name.startswith("b-"):
        reader.error(f"'{name}' is not a valid name of an API: 'b-' at its start is reserved", "name")
    return name


def _kind(reader: Reader, field: Field) -> str:
    kind = reader.text(field.key)
    if kind in OTHER_KINDS:
        reader.error(f"'{kind}' is not supported: fabric-jobs runs jobs, of the kinds {BATCH} and {TASK}", field.key)
        return ""
    return reader.choice(field.key, (BATCH, TASK), "")


def _endpoint(reader: Reader, _field: Field) -> str:
    """Return the endpoint with a slash before it and none behind it; empty if none is given."""
    inner = reader.inner("networking")
    given = inner.inner("endpoint") if inner is not None and inner.is_mapping(NETWORKING.keys) else None
    if inner is None or given is None:
        return ""
    path = inner.text("endpoint")
    if isinstance(given.node.value, str) and not re.fullmatch(ENDPOINT, path):
        rule = "it may have letters, digits, '-', '_', '.' and single slashes, and needs more than slashes and dots"
        given.error(f"'{path}' is not a valid endpoint: {rule}")
    elif len(path) > LONGEST_ENDPOINT:
        given.error(f"the endpoint has {len(path):,} characters; at most {LONGEST_ENDPOINT:,} are allowed")
    return f"/{path.strip('/')}" if path.strip("/") else ""


NETWORKING = Shape(
    "networking",
    "Where the API is reached.",
    Field(
        "endpoint",
        Kind({"type": "string", "pattern": anchored(ENDPOINT), "maxLength": LONGEST_ENDPOINT}, "text"),
        "The path at the gateway to which jobs are submitted. No two APIs have the same.",
        absent="`/` and the name",
    ),
)
API = Shape(
    "api",
    "A Batch API or a Task API.",
    Field(
        "name",
        Kind({"type": "string", "pattern": f"^(?!b-){DNS_NAME}$", "maxLength": LONGEST_API_NAME}, "name", _name),
        "The name of the API: small letters, digits and `-`, at most 42, and not `b-` at its start.",
        required=True,
        missing="name the API",
    ),
    Field(
        "kind",
        Kind({"enum": [BATCH, TASK]}, f"`{BATCH}` or `{TASK}`", _kind),
        "A Batch API splits the items of a job into batches; a job of a Task API is one run.",
        required=True,
        missing=f"write {BATCH} or {TASK}",
    ),
    Field("pod", Kind(POD, "mapping"), "The containers of one worker. Either this or a class."),
    Field(
        "handler", Kind(api_code.HANDLER, "mapping"), "The class `Handler` of a worker. Either this or `pod`.", of=BATCH
    ),
    Field(
        "definition",
        Kind(api_code.DEFINITION, "mapping"),
        "The class `Task` of a worker. Either this or `pod`.",
        of=TASK,
    ),
    Field(
        "compute",
        Kind(api_code.CODE_COMPUTE, "mapping"),
        "What a worker with a class may use. Containers have their own.",
    ),
    Field("node_groups", TEXTS, "Groups of nodes, of an API with containers. No effect here."),
    Field(
        "networking",
        Kind(NETWORKING, "mapping", _endpoint),
        "Where the API is reached.",
        attribute="endpoint",
    ),
    rules={
        "anyOf": [
            only("pod", "handler", "definition", "compute"),
            only("handler", "pod", "definition", "node_groups"),
            only("definition", "pod", "handler", "node_groups"),
        ],
        "if": {"properties": {"kind": {"const": TASK}}},
        "then": {"properties": {"handler": NULL, "pod": {"anyOf": [NULL, api_containers.no_batches()]}}},
        "else": {"properties": {"definition": NULL}},
    },
    refused={
        "predictor": "'predictor' is the older form: write 'handler', call the class Handler, and its method handle_batch",
        "autoscaling": f"'autoscaling' {FIXED}",
        "update_strategy": f"'update_strategy' {FIXED}",
    },
)


def apis_of(document: Document) -> tuple[tuple[Api, ...], tuple[Problem, ...]]:
    """Return the APIs of a parsed file, in its order, and warnings."""
    reader = Reader.of(document)
    items = entries(reader)
    distinct(items, [_text(item, "name") for item in items], "API")
    found = read_all(items, read_api)
    _check_endpoints(items, found)
    return found, reader.finish()


def entries(reader: Reader) -> tuple[Reader, ...]:
    """Return the reader of each entry of the API file that `reader` is at; note a problem if there is none."""
    if reader.node.value and isinstance(reader.node.value, list):
        return reader.listed()
    why = "an API file is a list of APIs" if reader.node.value else "the file has no API"
    reader.error(f"{why}; begin each with '- name: …'")
    return ()


def api_from_json(value: Any) -> Api:
    """Return the API of a JSON value: one entry of an API file."""
    reader = Reader.of(from_json(value))
    found = read_api(reader)
    reader.finish()
    assert found is not None, "what is not a mapping was reported"
    return found


def bodies_of(document: Document) -> tuple[Document, ...]:
    """Return each API of a parsed file as the document that is saved, `{name, api}`; problems keep their places in the file.

    Raise InvalidDefinition if the file has no API.
    """
    reader = Reader.of(document)
    items = entries(reader)
    if not items:
        reader.finish()
    return tuple(document._replace(node=_body(item.node)) for item in items)


def _body(entry: Node) -> Node:
    name = entry.child("name") or Node(value=None, place=entry.place)
    return Node(value={"name": name, "api": entry}, place=entry.place, keys=entry.keys)


def read_api_skill(reader: Reader) -> Skill:
    """Return the skill that runs the API of a saved document, `{name, api}`, that `reader` is at."""
    reader.is_mapping(("name", "api"))
    inner = reader.require("api", "write an entry of an API file")
    found = read_api(inner) if inner is not None else None
    if found is None:
        return Skill(name="")
    if reader.text("name") != found.name:
        reader.error(f"the name differs from that of the API, '{found.name}'", "name")
    return api_skill(found)


def read_api(reader: Reader) -> Api | None:
    """Return the API that `reader` is at; None if it is not a mapping. If a problem was noted, it must not be used."""
    values = API.values(reader)
    if values is None:
        return None
    name, kind = values["name"], values["kind"]
    _check_bodies(reader, kind)
    pod, code = _pod(reader, kind), _code(reader)
    compute, groups = Compute(), values["node_groups"]
    if (inner := reader.inner("compute")) is not None:
        compute, groups = api_code.read_compute(inner)
    if groups:
        reader.warn(NODE_GROUPS, *(("node_groups",) if reader.has("node_groups") else ("compute", "node_groups")))
    return Api(
        name=name,
        kind=kind,
        endpoint=values["endpoint"] or f"/{name}",
        code=code,
        compute=compute,
        node_groups=groups,
        **(pod._asdict() if pod is not None else {}),
    )


def _check_bodies(reader: Reader, kind: str) -> None:
    """Note a body that is absent, not for this kind of API, or one too many; and keys that belong to another one."""
    given = [key for key in BODIES if reader.has(key)]
    of_kind = "definition" if kind == TASK else "handler"
    if not given and not reader.has("predictor"):
        reader.error(f"the key 'pod' is missing: list the containers of a worker there, or name a class in '{of_kind}'")
    for key in given:
        if kind and FOREIGN.get(key, kind) != kind:
            reader.at_key(f"'{key}' is for a {FOREIGN[key]}; for a {kind} write '{of_kind}'", key)
    for key in given[1:]:
        reader.at_key(f"an API has either '{given[0]}' or '{key}', not both", key)
    if "pod" in given and reader.has("compute"):
        reader.at_key("'compute' is for a class; write it below each container", "compute")
    if given and "pod" not in given and reader.has("node_groups"):
        reader.at_key("with a class, write 'node_groups' below 'compute'", "node_groups")


def _pod(reader: Reader, kind: str) -> Pod | None:
    inner = reader.inner("pod")
    if inner is None:
        return None
    if kind == TASK:
        for where, key in api_containers.of_a_batch_api(inner):
            where.at_key(f"'{key}' is for a {BATCH}: nothing is sent to the containers of a {TASK}. Remove it", key)
    return api_containers.read_pod(inner)


def _code(reader: Reader) -> ApiCode | None:
    for key, shape in (("handler", api_code.HANDLER), ("definition", api_code.DEFINITION)):
        if (inner := reader.inner(key)) is not None:
            return api_code.read_code(shape, inner)
    return None


def _check_endpoints(items: tuple[Reader, ...], found: tuple[Api, ...]) -> None:
    first: dict[str, str] = {}
    for item in items:
        name = _text(item, "name")
        api = next((api for api in found if api.name == name), None)
        if api is None or not name:
            continue
        other = first.setdefault(api.endpoint, name)
        if other != name:
            item.error(
                f"the endpoint '{api.endpoint}' is also that of '{other}'; give one of them another",
                "networking",
                "endpoint",
            )


def _text(reader: Reader, key: str) -> str:
    node = reader.node.child(key)
    return node.value if node is not None and isinstance(node.value, str) else ""
