"""The target of a record's call: a daemon, which gets the whole message, or an external API, which gets the payload."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from fabric_jobs import conditions, json_text
from fabric_jobs.definitions import Action
from fabric_jobs.engine.calls.connection import Reply, Request, Server
from fabric_jobs.engine.calls.encoding import ACCEPTED, Undecodable, decoded, text_of
from fabric_jobs.engine.launch import with_payload
from fabric_jobs.engine.printed import LAST_BYTES, LAST_LINES, NOTHING_PRINTED, Printed
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.proxies import proxy_of
from fabric_jobs.routing import Node

PORT = re.compile(r"[0-9]{1,5}")
DAEMON_PORT = 5000  # of a daemon that declares none
HEADERS = "headers."  # a property with this prefix adds a request header
FRAMING = frozenset(
    {"connection", "content-length", "transfer-encoding"}
)  # these belong to one request and are never passed on
ENVELOPE_BYTES = 4096  # at most, around the payload in a daemon's answer
SHOWN_LENGTH = 300  # characters of an address in messages
NOT_AGAIN = frozenset(range(300, 500)) - {408, 425, 429}  # a retry would get the same answer


def port_of(properties: Mapping[str, Any], action: Action) -> int:
    """Return the declared port of a daemon; `properties` are those of its skill. Raises InvalidInput, without the value."""
    text = str(properties.get("daemon.port") or action.port or DAEMON_PORT)
    if not PORT.fullmatch(text) or not 0 < int(text) < 1 << 16:
        raise InvalidInput(
            f"action '{action.name}': the property 'daemon.port' is not the number of a port.",
            hint="Set it to a number from 1 to 65535, or leave it out.",
        )
    return int(text)


class Unusable(Exception):
    """An answer is not a success, or is malformed."""

    def __init__(self, cause: str, printed: Printed = NOTHING_PRINTED, *, again: bool = True) -> None:
        super().__init__(cause)
        self.cause = cause
        self.printed = printed
        self.again = again  # a retry may help


@dataclass(frozen=True, kw_only=True)
class DaemonTarget:
    """Calls of a daemon: sends the message as JSON, and reads `{"payload": …, "outputName": …}`."""

    node: Node
    envelope: Mapping[str, Any]
    headers: Mapping[str, str]  # of the invocation, to be passed on

    @property
    def port(self) -> int:
        """The declared port."""
        return port_of(self.node.properties, self.node.action)

    def check(self) -> None:
        """Raise InvalidInput for invalid properties, before a daemon starts."""
        port_of(self.node.properties, self.node.action)
        self.request("")

    def request(self, host: str) -> Request:
        """Return the request; it is the same for all records."""
        properties = self.node.properties
        path = "/" + _escaped(str(properties.get("daemon.path") or "invoke")).lstrip("/")
        return Request(
            method=str(properties.get("daemon.method") or "POST").upper(),
            path=path,
            host=host,
            headers=_with_type(_headers(properties, self.headers)),
        )

    def body(self, record: bytes) -> bytes:
        """Return the message of one record."""
        return b"%s%s}" % (self._envelope, record)

    @cached_property
    def _envelope(self) -> bytes:
        """The message up to its payload, encoded once; the payload follows unchanged."""
        return with_payload(self.envelope, b"").encode()[:-1]

    def response(self, answer: Reply, limit: int) -> tuple[str, bytes]:
        """Return the output and the payload of an answer of at most `limit` bytes; raise Unusable."""
        answer = _usable("the daemon", answer, limit)
        found = _json_of("the daemon", answer) if answer.status != 204 else {}
        if not isinstance(found, dict):
            raise Unusable("the daemon answered JSON that is not an object", _said(answer))
        output = str(found.get("outputName") or self.node.output)
        if output != self.node.output and output not in self.node.outputs:
            raise Unusable(f"the daemon named the output '{output}', which the skill does not have", _said(answer))
        return output, _dump(found.get("payload", {}))  # a body without a payload gives {}


@dataclass(frozen=True, kw_only=True)
class ExternalTarget:
    """Calls of an external API: sends the payload as JSON, and reads any answer."""

    node: Node
    server: Server
    base: str  # path and query of the URL
    headers: Mapping[str, str]
    host: str

    @classmethod
    def of(cls, node: Node, headers: Mapping[str, str]) -> ExternalTarget:
        """Read it from the properties `url`, `path` and `headers.*`; raise InvalidInput when they do not form a URL."""
        properties = node.properties
        url = str(properties.get("url") or "")
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(
                f"skill '{node.skill_name}': its property 'url' is '{url}', which is not an http address.",
                hint="Set it in skill.yaml, in the agent, or in the invocation, for example to https://example.org.",
            )
        return cls(
            node=node,
            server=Server(host=parts.hostname, port=port, secure=parts.scheme == "https"),
            base=_escaped(_joined(parts.path, parts.query, str(properties.get("path") or ""))),
            headers=_headers(properties, headers),
            host=parts.netloc.rpartition("@")[2],
        )

    def through_proxy(self, environment: Mapping[str, str]) -> ExternalTarget:
        """Return the target through the proxy that an environment names, if any; raise InvalidInput for an invalid proxy."""
        server = self.server
        try:
            proxy = proxy_of(environment, server.host, server.port, secure=server.secure)
        except ValueError as error:
            raise InvalidInput(f"{error}.", hint="Correct or unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.") from error
        return replace(self, server=replace(server, proxy=proxy))

    @cached_property
    def request(self) -> Request:
        """The request, which is the same for all records."""
        headers = {"Accept": "application/json", **self.headers}
        if not any(name.lower() == "accept-encoding" for name in headers):
            headers["Accept-Encoding"] = ACCEPTED
        headers = _with_type(headers) if self._sends else headers
        proxy, path = self.server.proxy, self.base
        if proxy is not None and not self.server.secure:  # https goes through a tunnel, with the path alone
            path = f"http://{self.host}{path}"
            headers |= {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        return Request(method=self._method, path=path, host=self.host, headers=headers)

    def body(self, record: bytes) -> bytes:
        """Return the body for one record."""
        return record if self._sends else b""

    @cached_property
    def _method(self) -> str:
        return str(self.node.properties.get("method") or "POST").upper()

    @cached_property
    def _sends(self) -> bool:
        return self._method not in ("GET", "HEAD", "DELETE")

    def response(self, answer: Reply, limit: int) -> tuple[str, bytes]:
        """Return the output and the payload of an answer, like a daemon's. An answer that is not JSON becomes a text."""
        scheme = "https" if self.server.secure else "http"
        answer = _usable("the external API", answer, limit, f"{scheme}://{self.host}{self.base}")
        try:
            payload = _record_of(answer.body, answer) if answer.body else None
        except ValueError:
            payload = _text_or_json(answer)
        return self.node.output, _dump(payload)


def _escaped(path: str) -> str:
    """Return a path and query with what HTTP does not allow there escaped; what is escaped already stays."""
    return quote(path, safe="%/?:@!$&'()*+,;=~[]")


def _joined(path: str, query: str, more: str) -> str:
    """Return the path and query of a URL, continued by the property `path`, which cannot lead to another server."""
    more, _, more_query = more.partition("?")
    if more:
        path = f"{path.rstrip('/')}/{more.lstrip('/')}"
    query = "&".join(filter(None, (query, more_query)))
    return (path or "/") + (f"?{query}" if query else "")


def _headers(properties: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the headers from the properties `headers.*`, but for null ones, and the invocation; the invocation's win."""
    named = {key.removeprefix(HEADERS): value for key, value in properties.items() if key.startswith(HEADERS)}
    own = {name: conditions.text_of(value) for name, value in named.items() if value is not None}
    names = {name.lower() for name in given} | FRAMING
    return {
        **{name: value for name, value in own.items() if name.lower() not in names},
        **{name: value for name, value in given.items() if name.lower() not in FRAMING},
    }


def _with_type(headers: Mapping[str, str]) -> dict[str, str]:
    is_typed = any(name.lower() == "content-type" for name in headers)
    return {**headers} if is_typed else {**headers, "Content-Type": "application/json"}


def _usable(who: str, answer: Reply, limit: int, url: str = "") -> Reply:
    """Return a successful answer with its body decoded; raise Unusable for any other."""
    try:
        answer = replace(answer, body=decoded(answer.body, answer.codings, limit + ENVELOPE_BYTES), codings=())
    except Undecodable as error:
        raise Unusable(f"{who} answered {answer.status}, and {error.cause}", again=error.again) from error
    if 200 <= answer.status < 300:
        return answer
    cause, again = f"{who} answered {answer.status}", answer.status not in NOT_AGAIN
    if answer.location:
        where = "".join(char if char.isprintable() else "?" for char in urljoin(url, answer.location)[:SHOWN_LENGTH])
        cause += f" and points to {where}; redirects are not followed"
    raise Unusable(cause, _said(answer), again=again)


def _text_or_json(answer: Reply) -> Any:
    """Return the value of a body that is not JSON in UTF-8: JSON in the declared charset, or a text."""
    try:
        text = text_of(answer.body, answer.content_type)
    except Undecodable as error:
        raise Unusable(f"the external API answered {answer.status}, and {error.cause}", again=error.again) from error
    try:
        return _record_of(text, answer)
    except ValueError:
        return text


def _record_of(text: str | bytes, answer: Reply) -> Any:
    """Return the value of JSON; raise ValueError when it is not JSON, Unusable when it cannot be a record."""
    try:
        return json_text.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:
        raise Unusable(f"the external API answered JSON that cannot be a record: {error}", _said(answer)) from error


def _json_of(who: str, answer: Reply) -> Any:
    try:
        return json_text.loads(answer.body, levels=json_text.DEPTH + 1)
    except ValueError as error:
        raise Unusable(f"the answer of {who} is not JSON: {error}", _said(answer)) from error


def _dump(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise Unusable(f"the answer is not JSON: {error}") from error


def _said(answer: Reply) -> Printed:
    lines = answer.body[:LAST_BYTES].decode(errors="replace").splitlines()
    return Printed(lines=tuple(lines[:LAST_LINES]))
