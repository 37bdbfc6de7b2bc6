"""Which addresses may be called back: the setting, the URL, and where its name leads."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.callback_targets import check, is_public, rules_of, target_of
from fabric_jobs.errors import InvalidInput
from fabric_jobs.settings import Settings


def allowed(setting: str, url: str, *addresses: str) -> bool:
    try:
        check(target_of(url), addresses, rules_of(setting))
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize(
    ("setting", "url", "addresses", "expected"),
    [
        ("public", "https://example.org/x", ["93.184.216.34", "2606:2800:220:1::1"], True),
        ("public", "https://example.org/x", ["93.184.216.34", "10.0.0.1"], False),  # one of several is private
        ("public", "http://localhost/", ["127.0.0.1", "::1"], False),
        ("public", "http://2130706433/", ["127.0.0.1"], False),
        ("public", "http://[::ffff:10.0.0.1]/", ["::ffff:10.0.0.1"], False),
        ("public", "http://example.org/", [], False),
        ("none", "https://example.org/", ["93.184.216.34"], False),
        ("hooks.internal", "http://Hooks.Internal:8080/", ["10.0.0.1"], True),
        ("hooks.internal", "http://hooks.internal./", ["10.0.0.1"], True),
        ("hooks.internal", "http://x.hooks.internal/", ["10.0.0.1"], False),
        ("hooks.internal:8080", "http://hooks.internal:8080/", ["10.0.0.1"], True),
        ("hooks.internal:8080", "http://hooks.internal/", ["10.0.0.1"], False),
        ("*.internal", "http://a.b.internal/", ["10.0.0.1"], True),
        ("*.internal", "http://internal/", ["10.0.0.1"], False),
        ("*.internal", "http://evilinternal/", ["10.0.0.1"], False),
        ("10.1.0.0/16", "http://anything/", ["10.1.2.3"], True),
        ("10.1.0.0/16", "http://anything/", ["10.2.2.3"], False),
        ("10.1.0.0/16", "http://anything/", ["::ffff:10.1.2.3"], True),
        ("127.0.0.1:9000, public", "http://127.0.0.1:9000/", ["127.0.0.1"], True),
        ("127.0.0.1:9000, public", "http://127.0.0.1:9001/", ["127.0.0.1"], False),
        ("[::1]:9000", "http://[::1]:9000/", ["::1"], True),
        ("fe80::/10", "http://x/", ["fe80::1%eth0"], True),
    ],
)
def test_an_address_is_called_only_if_the_setting_allows_it(
    setting: str, url: str, addresses: Sequence[str], expected: bool
) -> None:
    assert allowed(setting, url, *addresses) is expected


PRIVATE = [
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15",
    "224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 fc00::/7 fe80::/10 fec0::/10 ff00::/8 ::1/128 ::/128 2001:db8::/32",
]
NETWORKS = [ipaddress.ip_network(text) for line in PRIVATE for text in line.split()]


@given(st.sampled_from(NETWORKS), st.integers(min_value=0))
def test_no_private_address_is_public_in_any_disguise(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, number: int
) -> None:
    address = network[number % network.num_addresses]
    assert not is_public(address)
    if isinstance(address, ipaddress.IPv4Address):
        inner = int(address)
        for disguise in (
            ipaddress.IPv6Address((0xFFFF << 32) + inner),  # mapped
            ipaddress.IPv6Address((0x2002 << 112) + (inner << 80) + 1),  # 6to4
            ipaddress.IPv6Address((0x64FF9B << 96) + inner),  # NAT64
            ipaddress.IPv6Address((0x20010000 << 96) + (inner ^ 0xFFFFFFFF)),  # Teredo
        ):
            assert not is_public(disguise), disguise


def test_addresses_of_the_internet_are_public() -> None:
    for text in ("8.8.8.8", "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808"):
        assert is_public(ipaddress.ip_address(text)), text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://exa mple.org/",
        "http://example.org/\r\nX: y",
        "http://example.org/\u00e4",
        "http://b\u00fccher.example/",
        "http://example.org:0x50/",
        "http://example.org:70000/",
        "http://[::1/",
        "http://user:secret@example.org/",
        "http://@example.org/",
        "http://-x/",
        "https://example.org/" + "x" * 2048,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="callbackUrl"):
        target_of(url)


def test_a_url_is_taken_apart() -> None:
    assert target_of("HTTPS://Example.ORG/a/b?c=d#e") == (True, "example.org", 443, "/a/b?c=d", "Example.ORG")
    assert target_of("http://[::1]:81?x") == (False, "::1", 81, "/?x", "[::1]:81")


@pytest.mark.parametrize("setting", ["http://example.org", "10.0.0.0/33", "a b", "x:0", "x:99999", "*", "public:80,*"])
def test_a_wrong_setting_is_an_error_that_names_it(
    setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("FABRIC_JOBS_CALLBACKS", setting)
    with pytest.raises(InvalidInput, match="FABRIC_JOBS_CALLBACKS"):
        Settings(state_dir=tmp_path)  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_any_url_is_taken_or_refused(url: str) -> None:
    for text in (url, f"http://{url}", f"http://{url}/"):
        try:
            target = target_of(text)
        except InvalidInput:
            continue
        assert target.host
        assert 0 < target.port < 65_536
        assert target.path.startswith("/")
