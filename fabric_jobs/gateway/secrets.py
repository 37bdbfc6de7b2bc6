"""Secrets: list, read, set, delete, and another key for all of them; and the route by which programs read one."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.json_response import Json, check_text, json_of
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, flag

SECRET_BYTES = 64 << 10  # of a posted value
NO_STORE = {"cache-control": "no-store"}
LIST = flag("list", "Only the names, as an array: what Fabric's clients ask for.")


async def list_secrets(call: Call) -> Response:
    """List the names of the secrets; no route lists values."""
    found = call.parts.secrets.listed(call.project)
    if call.of(LIST):
        return Json([secret.name for secret in found])
    rows = [{"name": secret.name, "updatedAt": milliseconds(secret.saved_at)} for secret in found]
    return Json({"success": True, "secrets": rows})


async def show_secret(call: Call) -> Response:
    """Show the value of a secret."""
    return await _value(call)


async def show_secret_to_program(call: Call) -> Response:
    """Show the same where `cortex-python` asks for it, in jobs and elsewhere."""
    return await _value(call)


async def set_secret(call: Call) -> Response:
    """Set a secret, new or not. Messages that are made from then on have the new value."""
    body = await json_of(call, SECRET_BYTES)
    value = body["value"] if isinstance(body, dict) and body.keys() == {"value"} else body
    if value is None:
        raise InvalidInput("a secret cannot be null.", hint='Give its value, such as {"value": "…"}.')
    check_text(value)
    name = _name(call)
    await asyncio.wrap_future(call.parts.secrets.put(call.project, name, value))
    return Json({"success": True, "message": f"secret '{name}' is set."})


async def delete_secret(call: Call) -> Response:
    """Delete a secret for good. A program that got it keeps it; messages that need it can no longer be made."""
    name = _name(call)
    if not await asyncio.wrap_future(call.parts.secrets.delete(call.project, name)):
        raise NotFound(
            f"there is no secret '{name}' in project '{call.project}'.",
            hint="List them with `fabric-jobs secrets list`.",
        )
    return Json({"success": True, "message": f"secret '{name}' is deleted."})


async def rotate_key(call: Call) -> Response:
    """Make a new key, and seal the secrets of all projects with it; the old one is deleted."""
    count = await asyncio.to_thread(call.parts.secrets.rotate)
    return Json({"success": True, "count": count})


async def _value(call: Call) -> Response:
    value: Any = await asyncio.to_thread(call.parts.secrets.value, call.project, _name(call))
    return Json({"success": True, "value": value}, headers=NO_STORE)


def _name(call: Call) -> str:
    return str(call.path_params["secret"])


class _Name(StringConvertor):
    regex = "(?s:.+)"  # whatever it is, so that a wrong name is refused as it came


register_url_convertor("secret", _Name())
ALL, ONE = P + "/secrets", P + "/secrets/{secret:secret}"
OPERATIONS = (
    Operation("GET", ALL, list_secrets, parameters=(LIST,), answer=("SecretNames", "Secrets")),
    Operation("GET", ONE, show_secret, answer="Secret", role="run"),
    Operation("POST", ONE, set_secret, body="NewSecret", is_read=False, answer="Done"),
    Operation("DELETE", ONE, delete_secret, answer="Done"),
    Operation("POST", P + "/state/rotate-key", rotate_key, answer="Rotated", role="owner"),
    Operation(
        "GET",
        "/internal/projects/{project}/secrets/{secret:secret}",
        show_secret_to_program,
        answer="Secret",
        role="run",
    ),
)
