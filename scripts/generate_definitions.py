"""Writes the JSON Schemas of definitions, and the tables of keys in their reference pages, from the fields in the code.

With --check it only tells whether they are up to date. A table is between `<!-- keys: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fabric_jobs.apis import BATCH, TASK
from fabric_jobs.documents import (
    action,
    agent,
    api_code,
    api_compute,
    api_containers,
    api_probes,
    apis,
    calls,
    mapping,
    ports,
    routing,
    schedules,
    skill,
)
from fabric_jobs.documents.fields import NULL, Field, Shape
from fabric_jobs.documents.reader import BOOKKEEPING
from fabric_jobs.shipped import schema_file

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
DEFINITIONS: dict[str, Any] = {
    "skill": skill.SKILL,
    "agent": agent.AGENT,
    "schedules": schedules.SCHEDULES,
    "api": {"description": "The APIs of a file.", "type": "array", "minItems": 1, "items": apis.API},
}
TABLES: dict[str, dict[str, Shape]] = {
    "skill": {
        "skill": skill.SKILL,
        "tags": ports.TAG,
        "inputs": skill.INPUT,
        "parameters": ports.PARAMETER,
        "routing": routing.ROUTING,
        "target": routing.TARGET,
        "outputs": skill.OUTPUT,
        "properties": skill.PROPERTY,
        "actions": action.ACTION,
        "retries": calls.RETRIES,
        "batch": calls.BATCH,
        "resources": action.RESOURCES,
    },
    "agent": {
        "agent": agent.AGENT,
        "inputs": agent.INPUT,
        "parameters": ports.PARAMETER,
        "outputs": agent.OUTPUT,
        "skills": agent.SKILL,
        "mappings": mapping.MAPPING,
    },
    "schedules": {"schedules": schedules.SCHEDULE},
    "api": {
        "apis": apis.API,
        "pod": api_containers.POD,
        "containers": api_containers.CONTAINER,
        "compute": api_compute.COMPUTE,
        "probe": api_probes.LIVENESS,
        "http_get": api_probes.HTTP_GET,
        "handler": api_code.HANDLER,
        "definition": api_code.DEFINITION,
        "dependencies": api_code.DEPENDENCIES,
        "code_compute": api_code.CODE_COMPUTE,
        "networking": apis.NETWORKING,
    },
}
IGNORED = "|".join(re.escape(key) for key in sorted(BOOKKEEPING))
TABLE = re.compile(r"(<!-- keys: (\w+)[^\n]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)


class Rendering:
    """The JSON Schema of one kind of definition, and its named parts."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def of(self, node: Any) -> Any:
        """Return a schema where every Shape is replaced by a schema, or by a reference to one."""
        if isinstance(node, Shape):
            return self._named(node.name, self.mapping(node))
        if isinstance(node, dict):
            plain = {key: self.of(value) for key, value in node.items() if key != "$def"}
            return self._named(node.get("$def", ""), plain)
        return [self.of(item) for item in node] if isinstance(node, list | tuple) else node

    def mapping(self, shape: Shape) -> dict[str, Any]:
        """Return the schema of a mapping with its keys."""
        required = [field.key for field in shape.fields if field.required]
        return {
            "description": shape.sentence,
            "type": "object",
            "properties": {field.key: self._field(field) for field in shape.fields},
            **({"required": required} if required else {}),
            "patternProperties": {f"^(_.*|{IGNORED})$": True},
            "additionalProperties": False,
            **shape.rules,
        }

    def _field(self, field: Field) -> dict[str, Any]:
        schema = self.of(field.kind.schema)
        sentence = f"{field.sentence} Default: {field.absent}." if field.absent else field.sentence
        default = {} if field.required or field.default is None else {"default": field.default}
        return {**(schema if field.required else _or_null(schema)), "description": sentence, **default}

    def _named(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        if not name:
            return schema
        self.parts[name] = schema
        return {"$ref": f"#/$defs/{name}"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also allows null, which counts as absent."""
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**schema, "type": [*kinds, "null"]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "$ref" in schema:
        return {"anyOf": [NULL, schema]}
    return {**schema, "anyOf": [NULL, *schema["anyOf"]]} if "anyOf" in schema else schema


def schema_text(kind: str) -> str:
    """Return the JSON Schema of a kind of definition."""
    rendering = Rendering()
    whole = rendering.of(DEFINITIONS[kind])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{kind}.yaml"}
    return json.dumps({**head, **whole, "$defs": rendering.parts}, indent=2, ensure_ascii=False) + "\n"


def page_text(kind: str, page: str) -> str:
    """Return a page with new tables."""
    made = TABLE.sub(lambda found: f"{found[1]}{table(TABLES[kind][found[2]])}{found[4]}", page)
    absent = TABLES[kind].keys() - {found[2] for found in TABLE.finditer(page)}
    assert not absent, f"{kind}-yaml.md has no place for {', '.join(sorted(absent))}"
    return made


def table(shape: Shape) -> str:
    """Return the table of a mapping's keys: first those for all actions, then those for one type."""
    is_split = any(field.of for field in shape.fields)
    names = ["key", *(["for"] if is_split else []), "type, default", "meaning"]
    order = ("", action.JOB, action.DAEMON, routing.EXTERNAL_API, BATCH, TASK)
    rows = [_cells(field, is_split) for field in sorted(shape.fields, key=lambda field: order.index(field.of))]
    lines = [f"| {' | '.join(cells)} |" for cells in (names, *rows)]
    return "\n".join(["", lines[0], "|---" * len(names) + "|", *lines[1:], "", ""])


def _cells(field: Field, is_split: bool) -> list[str]:
    since = f" Since {field.since}." if field.since else ""
    kinds = ", ".join(_type(field))
    return [f"`{field.key}`", *([field.of or "all"] if is_split else []), kinds, f"{field.sentence}{since}"]


def _type(field: Field) -> Iterator[str]:
    yield field.kind.words
    if field.required:
        yield "required"
    elif field.absent:
        yield field.absent
    elif field.default is not None:
        value = field.default if isinstance(field.default, str) else json.dumps(field.default).removesuffix(".0")
        if f"`{value}`" != field.kind.words:
            yield f"`{value}`"


def files() -> dict[Path, str]:
    """Return the text of each generated file."""
    pages = {kind: PAGES / f"{kind}-yaml.md" for kind in DEFINITIONS}
    return {schema_file(kind): schema_text(kind) for kind in DEFINITIONS} | {
        page: page_text(kind, page.read_text(encoding="utf-8")) for kind, page in pages.items()
    }


def main() -> None:
    """Write the files, or check them."""
    stale = {path: text for path, text in files().items() if path.read_text(encoding="utf-8") != text}
    if sys.argv[1:] == ["--check"]:
        if stale:
            sys.exit(f"{', '.join(map(str, stale))}: not up to date. Run: python scripts/generate_definitions.py")
        return
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
