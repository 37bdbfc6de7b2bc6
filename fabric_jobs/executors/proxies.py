"""Finds the proxy of an address: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper and lower case."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
NONE = "no_proxy"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)  # the header Proxy-Authorization


def direct(environment: Mapping[str, str], host: str) -> dict[str, str]:
    """Return variables that let a program reach `host` without its environment's proxy; none if it has no proxy."""
    if not host or not any(_value(environment, name) for name in VARIABLES):
        return {}
    given = _value(environment, NONE)
    both = given if host in (entry.strip() for entry in given.split(",")) else ",".join(filter(None, (given, host)))
    return {NONE: both, NONE.upper(): both}


def proxy_of(environment: Mapping[str, str], host: str, port: int, *, secure: bool) -> Proxy | None:
    """Return the proxy for a server. Raise ValueError for a proxy without an http address."""
    text = _value(environment, VARIABLES[1 if secure else 0]) or _value(environment, VARIABLES[2])
    if not text or _is_exempt(_value(environment, NONE), host.lower(), port):
        return None
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the proxy in the environment is not an address such as http://HOST:PORT")
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    basic = f"Basic {b64encode(user.encode()).decode()}" if parts.username else ""
    return Proxy(host=parts.hostname, port=parts.port or 80, authorization=basic)


def _value(environment: Mapping[str, str], name: str) -> str:
    """Return a variable. Its lower-case spelling takes precedence, as in other programs."""
    return environment.get(name) or environment.get(name.upper(), "")


def _is_exempt(entries: str, host: str, port: int) -> bool:
    if host == "localhost" or _is_within(host, "127.0.0.0/8") or _is_within(host, "::1"):
        return True  # to the proxy, this host would be another machine
    for entry in filter(None, (entry.strip().lower() for entry in entries.split(","))):
        name = entry.removesuffix(f":{port}").removeprefix("*").removeprefix(".")
        if entry == "*" or host == name or host.endswith(f".{name}") or _is_within(host, name):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
