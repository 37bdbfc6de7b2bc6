"""What the descriptions of all routes are put together from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

P = "/fabric/v4/projects/{project}"
JSON, TEXT, NDJSON = "application/json", "text/plain", "application/x-ndjson"

REASONS = {
    "400": "What was sent is wrong.",
    "401": "The token is missing, wrong, expired, or good for something else.",
    "403": "It is in use; `details` names by what.",
    "404": "There is no such thing.",
    "405": "This path is not called with this method; `Allow` names those that it has.",
    "408": "The request did not come in time.",
    "409": "It is there already, or the attempt that spoke is over.",
    "413": "The body, or a record in it, is over its limit.",
    "431": "Request line and headers are over their limit.",
    "501": "Fabric has it, and this version does not.",
    "503": "The gateway is ending, or its disk cannot be used now.",
}
COMMON = ("400", "401", "405", "408", "431", "503")


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def in_path(name: str, meaning: str, **schema: Any) -> dict[str, Any]:
    """Return a parameter of a path."""
    whole = {"type": "string", "minLength": 1, **schema}
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": whole}


def in_query(name: str, meaning: str, **schema: Any) -> dict[str, Any]:
    """Return a parameter of a query; an empty one is the same as none."""
    return {
        "name": name,
        "in": "query",
        "description": meaning,
        "allowEmptyValue": True,
        "schema": schema or {"type": "string"},
    }


def in_header(name: str, meaning: str, **schema: Any) -> dict[str, Any]:
    """Return a header of a request."""
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string", **schema}}


def whole(name: str, meaning: str, default: int, *, low: int = 0, high: int = 2**53) -> dict[str, Any]:
    """Return a whole number of a query."""
    return in_query(name, meaning, type="integer", minimum=low, maximum=high, default=default)


def flag(name: str, meaning: str) -> dict[str, Any]:
    """Return a yes or no of a query."""
    return in_query(name, meaning, type="boolean", default=False)


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request carries."""

    schema: dict[str, Any]
    media_type: str = JSON
    example: Any = None

    def shown(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        content: dict[str, Any] = {"schema": self.schema}
        if self.example is not None:
            content["example"] = self.example
        return {"required": True, "content": {self.media_type: content}}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a good call is answered with."""

    schema: dict[str, Any] | None
    meaning: str = "It went well."
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    others: dict[str, dict[str, Any]] = field(default_factory=dict)  # media type -> schema

    def shown(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        found: dict[str, Any] = {"description": self.meaning}
        if self.schema is not None:
            kinds = {self.media_type: self.schema, **self.others}
            found["content"] = {kind: {"schema": schema} for kind, schema in kinds.items()}
        if self.headers:
            found["headers"] = {
                name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in self.headers
            }
        return found


def listed(name: str, schema: dict[str, Any], *more: str) -> Answer:
    """Return the answer {success, NAME: [schema…]}."""
    return Answer(
        schema={
            "type": "object",
            "properties": {"success": {"const": True}, name: {"type": "array", "items": schema}},
            "required": ["success", name, *more],
        }
    )


DONE = Answer(schema=ref("Done"))


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    name: str
    meaning: str
    tag: str
    answer: Answer
    parameters: tuple[dict[str, Any], ...] = ()
    body: Body | None = None
    errors: tuple[str, ...] = ()  # beyond COMMON
    more: dict[str, Answer] = field(default_factory=dict)  # other good answers, by status
    security: str = "user"  # user | task | none

    def shown(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        found: dict[str, Any] = {"operationId": self.name, "summary": self.meaning, "tags": [self.tag]}
        if self.parameters:
            found["parameters"] = list(self.parameters)
        if self.body is not None:
            found["requestBody"] = self.body.shown()
        if self.security != "user":
            found["security"] = [] if self.security == "none" else [{self.security: []}]
        common = [status for status in COMMON if status != "401" or self.security != "none"]
        statuses = sorted({*common, *self.errors, *(("413",) if self.body is not None else ())})
        good = {"200": self.answer, **self.more}
        found["responses"] = {
            **{status: answer.shown() for status, answer in good.items()},
            **{status: _error(status) for status in statuses if status not in good},
        }
        return found


def _error(status: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": REASONS[status], "content": {JSON: {"schema": ref("Error")}}}
    if status == "401":
        found["headers"] = {"x-auth-error": {"description": "The same in words.", "schema": {"type": "string"}}}
    return found


PROJECT = in_path("project", "The project; `local` unless you know better.")
NAME = in_path("name", "The name; a slash in it may be escaped or not.")
ACTIVATION = in_path("activation", "The id of an activation.")
TASK = in_path("task", "The name of a task.")
LIMIT = whole("limit", "At most so many.", 20, low=1, high=10_000)
SKIP = whole("skip", "Leave out so many.", 0)
WAIT = in_query("wait", "Wait up to so many seconds for news.", type="number", minimum=0, maximum=60, default=0)


def paths(**methods: Operation) -> dict[str, Any]:
    """Return the methods of one path."""
    return {method: operation.shown() for method, operation in methods.items()}
