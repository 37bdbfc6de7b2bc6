"""Decides which addresses may be called back. Pure: it resolves no names (docs/howto/callbacks.md#which-addresses-are-called)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from fabric_jobs.errors import InvalidInput

VARIABLE = "FABRIC_JOBS_CALLBACKS"
PUBLIC, NONE = "public", "none"
LONGEST = 2048  # characters of a URL
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")
RULE = re.compile(r"(?P<host>\*\.[a-z0-9_.-]+|[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
PLAIN = re.compile(r"[!-~]+")  # printable ASCII without blanks
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CallbackTarget(NamedTuple):
    """A URL, in parts."""

    secure: bool
    host: str  # a name or an address, in lower case
    port: int
    path: str  # with its query
    authority: str  # as in the header Host


class Allowance(NamedTuple):
    """One item of the setting: what it allows."""

    host: str = ""  # a name, or `*.` and what names end in
    network: Network | None = None
    public: bool = False
    port: int | None = None  # None: any

    def names(self, target: CallbackTarget) -> bool:
        """Tell whether it allows a target by its name, wherever that leads."""
        if not self.host or self.port not in (None, target.port):
            return False
        name = target.host.removesuffix(".")
        return name.endswith(self.host[1:]) if self.host.startswith("*.") else name == self.host

    def covers(self, address: Address, port: int) -> bool:
        """Tell whether it allows an address."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return _unwrapped(address) in self.network
        return self.public and is_public(address)


def rules_of(text: str) -> tuple[Allowance, ...]:
    """Return what a setting such as `public, hooks.internal:8080, 10.1.0.0/16` allows; raise InvalidInput."""
    words = [word.strip().lower() for word in text.split(",")]
    return tuple(_rule(word) for word in words if word not in ("", NONE))


def _rule(word: str) -> Allowance:
    if word == PUBLIC:
        return Allowance(public=True)
    try:
        return Allowance(network=ipaddress.ip_network(word, strict=False))
    except ValueError:
        found = RULE.fullmatch(word)
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65_536):
        raise InvalidInput(
            f"{VARIABLE}: '{word}' is not an address, a network, or a name.",
            hint="Write a list such as: public, hooks.internal:8080, *.example.org, 10.1.0.0/16, [::1]:9000; or none.",
        )
    host, port = found["host"], int(found["port"]) if found["port"] else None
    try:
        return Allowance(network=ipaddress.ip_network(host.strip("[]")), port=port)
    except ValueError:
        return Allowance(host=host, port=port)


def target_of(url: str) -> CallbackTarget:
    """Return the parts of a URL; raise InvalidInput for one that cannot be called."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    is_host = bool(NAME.fullmatch(host)) or _address_of(host) is not None
    if not PLAIN.fullmatch(url) or len(url) > LONGEST or not is_host or parts.scheme not in ("http", "https"):
        raise InvalidInput(
            f"'callbackUrl' is not an http address of up to {LONGEST:,} characters.",
            hint="Write it like https://example.org/hook, in ASCII, with other characters percent-encoded.",
        )
    if "@" in parts.netloc:
        raise InvalidInput("'callbackUrl' has a user or a password.", hint="Put a secret into its path or its query.")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return CallbackTarget(secure, host.lower(), port or (443 if secure else 80), path, parts.netloc)


def check(target: CallbackTarget, addresses: Iterable[str], rules: Iterable[Allowance]) -> None:
    """Raise InvalidInput unless a target with these addresses may be called."""
    if any(rule.names(target) for rule in rules):
        return
    found = [_address_of(address.partition("%")[0]) for address in addresses]
    if not found or not all(
        address is not None and any(rule.covers(address, target.port) for rule in rules) for address in found
    ):
        raise InvalidInput(
            f"this gateway does not call back {target.host}, port {target.port}.",
            hint=f"Whoever runs it can allow the address with {VARIABLE}.",
        )


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, also by the IPv4 address that it contains."""
    inner = _unwrapped(address)
    if inner != address:
        return is_public(inner)
    is_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or is_local)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that a packet to an IPv6 address reaches by translation or a tunnel; else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _address_of(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
