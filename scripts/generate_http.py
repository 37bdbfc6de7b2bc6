"""Writes the generated parts of the pages about HTTP from the gateway's operations; with --check, only compares them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.gateway.openapi import REASONS, module_of, path_of, schemas_of, summary_of
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.parameters import MOST, P, Parameter
from fabric_jobs.gateway.schemas import SCHEMAS, TEXTS

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
PAGES = (REFERENCE / "http.md", REFERENCE / "jobs.md")
# <!-- made: routes MODULE… -->, <!-- made: keys SCHEMA --> or <!-- made: statuses -->, then a table up to the end mark.
MADE = re.compile(r"(<!-- made: (\w+)([\w ]*) -->\n).*?(?=<!-- end -->)", re.DOTALL)
# The pages describe these in more detail than fits into a row.
TOLD = {
    "Activation": "[the record](#the-record-of-an-activation)",
    "ApiSubmission": "[a submission](jobs.md#a-submission)",
    "BatchSubmission": "[a submission](jobs.md#a-submission)",
    "Job": "[a job](jobs.md#a-job)",
    "TaskSubmission": "`{config?, timeout?}`",
    "Agent": "an agent as JSON, with the keys of [agent.yaml](agent-yaml.md)",
    "Invocation": "[an invocation](#an-invocation)",
    "SkillOrApi": "a skill as JSON, as in [skill.yaml](skill-yaml.md); or `{name, api}`, an entry of an [API file](api-yaml.md)",
}


def page(text: str) -> str:
    """Return the page with new tables."""
    return MADE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](*found[3].split())}\n", text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    first, *others = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in (head, *rows))
    return f"| {first} |\n|{'---|' * len(head)}\n" + "".join(f"| {line} |\n" for line in others)


def _routes(*modules: str) -> str:
    found = [operation for module in modules for operation in OPERATIONS if module_of(operation) == module]
    return _table(("route", "what it does", "request", "response"), map(_row, found))


def _key_table(name: str) -> str:
    schema = SCHEMAS[name]
    rows = (
        (f"`{key}`" + ("" if key in schema["required"] else "?"), inner.get("description", _words(inner)))
        for key, inner in schema["properties"].items()
    )
    return _table(("key", "meaning"), rows)


def _statuses() -> str:
    return _table(("status", "when"), REASONS.items())


def _row(operation: Operation) -> tuple[str, ...]:
    name = f"`{operation.method} {path_of(operation).removeprefix(P)}`"
    does = " ".join(filter(None, summary_of(operation)))
    taken = [*_sent(operation.body)] if operation.body else []
    taken += [_asked(parameter) for parameter in operation.parameters]
    if operation.not_yet:
        taken.append(", ".join(f"`{key}`" for key in operation.not_yet) + ": [not there yet](#not-there-yet)")
    given = [" or ".join(map(_shown, schemas_of(operation)))]
    given += [f"header `{header}`: {meaning}" for header, meaning in operation.headers.items()]
    given += [f"{status}: {meaning}" for status, (meaning, *_) in operation.others.items()]
    token = {"none": " It takes no token.", "pool": " It takes the token of the pool."}.get(operation.caller, "")
    if operation.role and operation.caller == "user":
        token = f" Role: `{operation.role}`."
    return name, does + token, "<br>".join(taken), "<br>".join(given)


def _sent(name: str) -> Iterator[str]:
    yield _shown(name)
    if name not in TOLD and name in SCHEMAS:
        for key, inner in SCHEMAS[name].get("properties", {}).items():
            if "description" in inner:
                yield f"`{key}`: {inner['description']}"


def _asked(parameter: Parameter[Any]) -> str:
    schema = parameter.schema
    limits = [_default(schema["default"])] if schema.get("default") else []
    if schema.get("default") != schema.get("maximum", MOST) < MOST:
        limits.append(f"at most {schema['maximum']:,}")
    name = f"{'header ' if parameter.place == 'header' else ''}`{parameter.name}`"
    words = _words(schema)
    said = f"{words}. {parameter.meaning}" if words else parameter.meaning
    return f"{name}{' (' + ', '.join(limits) + ')' if limits else ''}: {said}"


def _default(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"


def _words(schema: Mapping[str, Any]) -> str:
    """Return the accepted words."""
    found = [f"`{word}`" for word in schema.get("enum", ()) if word.replace("_", "").isalnum()]
    return " or ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def _shown(name: str) -> str:
    """Return a body in words if there are some, else by its keys."""
    if name in TOLD:
        return TOLD[name]
    kind, schema = TEXTS.get(name) or ("", SCHEMAS[name])
    if kind or "description" in schema:
        return str(schema.get("description", kind)).rstrip(".")
    return f"`{_keys(schema) or '{…}'}`"


def _keys(schema: Mapping[str, Any]) -> str:
    """Return the keys of a shape, such as `{success, tasks: [{name, note?}]}`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "the record" if name in TOLD else _keys(SCHEMAS[name])
    if schema.get("type") == "array":
        return f"[{_keys(schema.get('items', {})) or '…'}]"
    if "properties" not in schema:
        return ""
    members = []
    for name, inner in schema["properties"].items():
        keys = _keys(inner)
        members.append(f"{name}{'' if name in schema['required'] else '?'}{': ' + keys if keys else ''}")
    return "{" + ", ".join(members) + "}"


TABLES: dict[str, Callable[..., str]] = {"routes": _routes, "keys": _key_table, "statuses": _statuses}


def main() -> None:
    """Write the pages, or check them."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        wanted = page(text)
        if sys.argv[1:] != ["--check"]:
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {path}")
        elif text != wanted:
            sys.exit(f"{path} is not up to date. Run: python scripts/generate_http.py")


if __name__ == "__main__":
    main()
