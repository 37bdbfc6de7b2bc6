"""The OpenAPI 3.1 document of the gateway, made from its operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

import fabric_jobs
from fabric_jobs.gateway.content_schemas import KEY_PATTERN
from fabric_jobs.gateway.examples import EXAMPLES
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.parameters import P, Parameter
from fabric_jobs.gateway.schemas import SCHEMAS, TEXTS
from fabric_jobs.gateway.shapes import ref

JSON = "application/json"
DESCRIPTION = """Runs skills and agents, and tells how they go. Every call needs a bearer token: that of the owner's user, which
is in `owner.json` of the state directory, a JWT that a personal token has signed, or the token of a running job's message."""
TAGS = {
    "definitions": "Skills and agents, by version.",
    "activations": "Invocations, and what they answered.",
    "tasks": "The running instances of actions.",
    "documents": "What a project keeps by name: connections, types, models, sessions, experiments with runs, single actions.",
    "dead letters": "Records that used up their attempts.",
    "content": "Bytes of any length, by key.",
    "access": "Projects, and the personal tokens for each.",
    "secrets": "Values that are stored sealed, for properties and programs.",
    "operating": "Health, numbers, versions, and the state on the disk.",
    "batch and task APIs": "Jobs of Batch and Task APIs: by the routes of Cortex Labs, and by ours.",
    "jobs": "What running jobs call, with the token of their message.",
}
# The tag of a module's operations, if it is not the module's name.
TAG_OF = {
    "access_tokens": "access",
    "projects": "access",
    "callbacks": "activations",
    "actions": "documents",
    "apis": "batch and task APIs",
    "artifacts": "documents",
    "attempt_output": "jobs",
    "connections": "documents",
    "cortex_jobs": "batch and task APIs",
    "dead_letters": "dead letters",
    "dependencies": "definitions",
    "document": "operating",
    "events": "activations",
    "experiments": "documents",
    "health": "operating",
    "internal": "jobs",
    "invoke": "activations",
    "job_logs": "batch and task APIs",
    "jobs": "batch and task APIs",
    "logs": "tasks",
    "metrics": "operating",
    "operator": "batch and task APIs",
    "pools": "jobs",
    "snapshots": "definitions",
    "sessions": "documents",
    "state": "operating",
    "trace": "activations",
}
IN_PATH = {
    "action": "The name of an action.",
    "activation": "The id of an activation.",
    "api": "The name of an API.",
    "artifact": "The name of an artifact.",
    "attempt": "Task and attempt, as in the variable FABRIC_JOBS_ATTEMPT.",
    "channel": "`channelId` of the message.",
    "endpoint": "The path of an API, as `endpoint` of its file; by default its name.",
    "entry": "The name of an input of a skill, or of a service of an agent.",
    "job": "The id of a job.",
    "kind": "`Skill` or `Agent`.",
    "key": "The key, of at most 1,024 bytes; slashes in it may be escaped or not.",
    "group": "Which values of a run.",
    "letter": "The number of a dead letter.",
    "name": "The name; a slash in it may be escaped or not.",
    "output": "The name of an output.",
    "pool": "The name of a pool.",
    "secret": "The name of a secret; a slash in it may be escaped or not.",
    "project": "The project; `local` unless you know better.",
    "snapshot": "The id of a snapshot.",
    "run": "`runId` of a run.",
    "session": "`sessionId` of a session.",
    "status": "What to do with the model.",
    "task": "The name of a task.",
    "token": "The name of a personal token.",
    "value": "The name of a value of a run.",
    "version": "The `api_id` of a version.",
}
PATTERNS = {
    "artifact": KEY_PATTERN,
    "endpoint": r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$",
    "group": "^(params|metrics|meta)$",
    "key": KEY_PATTERN,
    "letter": "^[0-9]+$",
    "project": "",
    "secret": r"^[A-Za-z0-9_]+([./-][A-Za-z0-9_]+)*$",
    "status": "^(un)?publish$",
}
REASONS = {
    "400": "What was sent is wrong.",
    "401": "The token is missing, wrong, expired, or good for something else; the header `x-auth-error` says so too.",
    "403": "The token's role or project does not allow it, as the header `x-auth-error` says. Or something else needs what is to "
    "be deleted; `details` lists it, as `{name, type}`.",
    "404": "There is no such thing.",
    "405": "The path has no such method; `Allow` lists those that it has.",
    "408": "The request did not arrive in time; the connection is closed.",
    "409": "It is there already, or the attempt that called is over.",
    "413": "The body, or a record in it, is too large.",
    "416": "There are no such bytes; `content-range` says how many there are.",
    "422": "The record is rejected, and the activation ends with it.",
    "431": "Request line and headers are larger than 64 KiB.",
    "500": "An error of the gateway itself; its log says more.",
    "501": "Fabric has it, and this version does not.",
    "503": "The gateway is ending, has too many connections, or cannot use its disk now.",
}
COMMON = ("400", "405", "408", "431", "503")


def document(operations: Iterable[Operation], url: str = "/") -> dict[str, Any]:
    """Return the whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(path_of(operation), {})[operation.method.lower()] = _shown(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fabric_jobs gateway",
            "version": fabric_jobs.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": [{"user": []}],
        "tags": [{"name": name, "description": meaning} for name, meaning in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "user": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The token of the owner's user, of a personal token, or of a task.",
                },
                "task": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The token of a message, for its own task.",
                },
                "pool": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of a pool, for its own pods.",
                },
            },
        },
    }


def path_of(operation: Operation) -> str:
    """Return the path without what only the router needs."""
    return re.sub(r":\w+\}", "}", operation.path)


def module_of(operation: Operation) -> str:
    """Return the name of the module that an operation is in."""
    return operation.handler.__module__.rpartition(".")[2]


def summary_of(operation: Operation) -> tuple[str, str]:
    """Return the summary and the description of an operation, in Markdown."""
    first, _, rest = cleandoc(operation.handler.__doc__ or "").partition("\n")
    return first, " ".join(rest.split())


def schemas_of(operation: Operation) -> tuple[str, ...]:
    """Return the names of the schemas of a successful answer."""
    return (operation.answer,) if isinstance(operation.answer, str) else operation.answer


def _shown(operation: Operation) -> dict[str, Any]:
    module = module_of(operation)
    first, rest = map(_plain, summary_of(operation))
    if operation.caller == "user":
        rest = f"{rest} Least role: `{operation.needs}`.".strip()
    head, *others = operation.handler.__name__.split("_")
    found: dict[str, Any] = {
        "operationId": head + "".join(map(str.capitalize, others)),
        "summary": first,
        **({"description": rest} if rest else {}),
        "tags": [TAG_OF.get(module, module)],
    }
    parameters = [*_in_path(operation), *map(_asked, operation.parameters)]
    if parameters:
        found["parameters"] = parameters
    if operation.body:
        found["requestBody"] = {"required": operation.body != "Bytes", "content": _content(operation.body)}
        if operation.body in EXAMPLES:
            found["requestBody"]["content"][JSON]["example"] = EXAMPLES[operation.body]
    if operation.caller != "user":
        found["security"] = [] if operation.caller == "none" else [{operation.caller: []}]
    found["responses"] = _responses(operation)
    return found


def _plain(text: str) -> str:
    """Return a text without its links, which lead to other pages of the documentation."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)


def _in_path(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, kind in re.findall(r"\{(\w+)(:\w+)?\}", operation.path):
        pattern = PATTERNS.get(name, "" if kind else "^[^/]+$")
        schema = {"type": "string", "minLength": 1, **({"pattern": pattern} if pattern else {})}
        yield {"name": name, "in": "path", "required": True, "description": IN_PATH[name], "schema": schema}


def _asked(parameter: Parameter[Any]) -> dict[str, Any]:
    found = {"name": parameter.name, "in": parameter.place, "description": _plain(parameter.meaning)}
    return {**found, **({"allowEmptyValue": True} if parameter.place == "query" else {}), "schema": parameter.schema}


def _content(*names: str) -> dict[str, Any]:
    """Return bodies by media type; several with the same media type become `anyOf`."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        kind, schema = TEXTS.get(name) or (JSON, ref(name))
        kinds.setdefault(kind, []).append(schema)
    return {kind: {"schema": found[0] if len(found) == 1 else {"anyOf": found}} for kind, found in kinds.items()}


def _responses(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"200": {"description": "It went well.", "content": _content(*schemas_of(operation))}}
    if operation.headers:
        good["200"]["headers"] = {name: _header(meaning) for name, meaning in operation.headers.items()}
    for status, (meaning, *schemas) in operation.others.items():
        good[status] = {"description": meaning, **({"content": _content(*schemas)} if schemas else {})}
    statuses = {*COMMON, *operation.errors}
    if operation.caller != "none":
        statuses.add("401")
    if operation.caller == "user":
        statuses.add("403")
    if operation.caller == "user" and "{" in operation.path.removeprefix(P):
        statuses.add("404")
    if operation.body:
        statuses.add("413")
    if operation.not_yet:
        statuses.add("501")
    if operation.is_of_cortex:
        statuses -= {"404", "413"} - {*operation.errors}
    return good | {status: _error(status, operation) for status in sorted(statuses - good.keys())}


def _error(status: str, operation: Operation) -> dict[str, Any]:
    """Return the response of an error. The router and the server have errors of their own, which are not Cortex Labs'."""
    is_of_cortex = operation.is_of_cortex and status in ("400", "401", "403", "404")
    schemas = ("CortexError", "Error") if is_of_cortex else ("Error",)
    texts = ("Text",) if status == "400" and "Text" in schemas_of(operation) and is_of_cortex else ()
    found: dict[str, Any] = {"description": REASONS[status], "content": _content(*schemas, *texts)}
    if status in ("401", "403"):
        found["headers"] = {"x-auth-error": _header("The same in words.")}
    return found


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "string"}}
