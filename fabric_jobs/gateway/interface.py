"""Describes how one skill or agent is invoked, as an OpenAPI 3.1 document. Pure (docs/howto/describe.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from fabric_jobs.definitions import Agent, Parameters, Skill

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array"})
RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {"success": {"const": True}, "activationId": {"type": "string"}},
}


class Door(NamedTuple):
    """One input of a skill, or one service of an agent."""

    name: str
    title: str
    parameters: Parameters
    answers: tuple[Parameters, ...]  # of the outputs that may answer


def of_skill(skill: Skill, project: str, version: int) -> dict[str, Any]:
    """Return the document of a skill."""
    answers = tuple(output.parameters for output in skill.outputs)
    doors = [Door(port.name, port.title, port.parameters, answers) for port in skill.inputs]
    path = f"/fabric/v4/projects/{_quoted(project)}/skillinvoke/{_quoted(skill.name)}/inputs/"
    return _document((skill.title or skill.name, skill.description, str(version)), path, doors)


def of_agent(agent: Agent, project: str, version: str, name: str = "") -> dict[str, Any]:
    """Return the document of an agent; `name` is what it is invoked by, if that is not its own name."""
    answers = {output.name: output.parameters for output in agent.outputs}
    doors = [
        Door(port.name, port.title, port.parameters, (answers[port.output],) if port.output in answers else ())
        for port in agent.inputs
    ]
    path = f"/fabric/v4/projects/{_quoted(project)}/agentinvoke/{_quoted(name or agent.name)}/services/"
    return _document((agent.title or agent.name, agent.description, version), path, doors)


def _document(about: tuple[str, str, str], path: str, doors: Iterable[Door]) -> dict[str, Any]:
    title, description, version = about
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, **({"description": description} if description else {})},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": {path + _quoted(door.name): {"post": _operation(door)} for door in doors},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(door: Door) -> dict[str, Any]:
    answers = [_schema(parameters) for parameters in door.answers]
    known = bool(answers) and all(answers)  # an output without parameters may answer anything
    response = ({"anyOf": answers} if len(answers) > 1 else answers[0]) if known else {}
    record = {**RECORD, "properties": {**RECORD["properties"], "response": response}, "required": ["activationId"]}
    body = {
        "type": "object",
        "properties": {"payload": _schema(door.parameters), "properties": {"type": ["object", "null"]}},
        "required": ["payload"],
    }
    return {
        "operationId": door.name,
        "summary": door.title or f"Invoke {door.name}",
        "parameters": [
            {
                "name": "sync",
                "in": "query",
                "description": "Wait for the end, and answer with the record of the activation.",
                "schema": {"type": "boolean", "default": False},
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "The id of the activation; with `sync` its record.",
                "content": {"application/json": {"schema": record}},
            }
        },
    }


def _schema(parameters: Parameters) -> dict[str, Any]:
    """Return the JSON Schema of a payload with these parameters: documentation, since no run checks them."""
    if parameters.ref:
        return {"description": f"The type {parameters.ref} of the project."}
    if not parameters.listed:
        return {}
    required = [parameter.name for parameter in parameters.listed if parameter.required]
    found: dict[str, Any] = {"type": "object", "properties": {}}
    for parameter in parameters.listed:
        kind = parameter.type.lower()
        said = {
            "type": kind if kind in TYPES else "",
            "format": parameter.format,
            "title": parameter.title,
            "description": parameter.description,
        }
        found["properties"][parameter.name] = {key: value for key, value in said.items() if value}
    return {**found, **({"required": required} if required else {})}


def _quoted(name: str) -> str:
    return quote(name, safe="")
