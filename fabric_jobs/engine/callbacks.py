"""Posts the record of an activation to its callback, signed (docs/howto/callbacks.md)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Iterable, Mapping

import fabric_jobs
from fabric_jobs import callback_targets
from fabric_jobs.callback_targets import Allowance, CallbackTarget
from fabric_jobs.engine.calls.connection import CallFailed, Connection, Request, Server
from fabric_jobs.errors import InvalidInput

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
ANSWER_BYTES = 1 << 20  # of the body of an answer, which nobody reads
SIGNATURE = "x-fabric-signature"


async def checked(url: str, rules: Iterable[Allowance]) -> tuple[CallbackTarget, list[str]]:
    """Return the parts of a URL and the addresses of its host; raise InvalidInput when it may not be called.

    The connection has to go to one of these addresses: the name may lead elsewhere a moment later.
    """
    target = callback_targets.target_of(url)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise InvalidInput(
            f"the host of 'callbackUrl', {target.host}, cannot be found: {error or 'a timeout'}."
        ) from error
    addresses = [str(entry[4][0]) for entry in found]
    callback_targets.check(target, addresses, rules)
    return target, addresses


async def post(url: str, body: bytes, headers: Mapping[str, str], rules: Iterable[Allowance]) -> None:
    """Post a body; raise CallFailed or InvalidInput unless it is answered with 2xx. Redirects are not followed."""
    target, addresses = await checked(url, rules)
    request = Request(method="POST", path=target.path, host=target.authority, headers=headers)
    connection = await _connection(target, addresses)
    try:
        reply = await connection.ask(request.encode(body), ANSWER_SECONDS)
    finally:
        connection.close()
    if not 200 <= reply.status < 300:
        what = "; redirects are not followed" if reply.location else ""
        raise CallFailed(f"it answered {reply.status}{what}")


def headers_of(body: bytes, key: str, now: float) -> dict[str, str]:
    """Return the headers of a callback; its signature covers the time and the body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"fabric-jobs/{fabric_jobs.__version__}",
        SIGNATURE: signature(body, key, int(now)),
    }


def signature(body: bytes, key: str, at: int) -> str:
    """Return `t=TIME,v1=HEX`: HMAC-SHA256 with `key` over the time, a full stop and the body."""
    return f"t={at},v1={hmac.new(key.encode(), b'%d.%s' % (at, body), hashlib.sha256).hexdigest()}"


async def _connection(target: CallbackTarget, addresses: Iterable[str]) -> Connection:
    failure = CallFailed(f"{target.host} has no address")
    for address in dict.fromkeys(addresses):
        server = Server(host=target.host, port=target.port, secure=target.secure, address=address, most=ANSWER_BYTES)
        try:
            return await server.connect(CONNECT_SECONDS)
        except CallFailed as error:
            failure = error
    raise failure
