"""External APIs are called through the environment's proxy."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from fabric_jobs.engine.calls.connection import CallFailed, Pool, Reply
from fabric_jobs.engine.calls.target import ExternalTarget
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.proxies import Proxy, direct, proxy_of
from fabric_jobs.routing import Node

SAID = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("environment", "secure", "expected"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, False, Proxy(host="proxy", port=3128)),
        ({"http_proxy": "proxy:3128", "HTTP_PROXY": "http://other"}, False, Proxy(host="proxy", port=3128)),
        ({"HTTP_PROXY": "http://proxy"}, True, None),
        ({"HTTPS_PROXY": "http://u:p%40@proxy"}, True, Proxy(host="proxy", port=80, authorization="Basic dTpwQA==")),
        ({"ALL_PROXY": "http://proxy"}, True, Proxy(host="proxy", port=80)),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "other, .test"}, False, None),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": "api.test:8080"}, False, None),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": "*"}, False, None),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": "i.test"}, False, Proxy(host="proxy", port=80)),
    ],
)
def test_which_proxy_an_address_has(environment: Mapping[str, str], secure: bool, expected: Proxy | None) -> None:
    assert proxy_of(environment, "api.test", 8080, secure=secure) == expected
    for here in ("localhost", "127.0.0.1", "::1"):
        assert proxy_of(environment, here, 8080, secure=secure) is None


def test_programs_reach_the_gateway_without_the_proxy_of_their_environment() -> None:
    assert direct({}, "127.0.0.1") == {}
    assert direct({"HTTP_PROXY": "http://proxy"}, "172.17.0.1") == dict.fromkeys(("no_proxy", "NO_PROXY"), "172.17.0.1")
    given = {"https_proxy": "http://proxy", "NO_PROXY": "a.test"}
    assert direct(given, "127.0.0.1")["no_proxy"] == "a.test,127.0.0.1"


def external(url: str) -> ExternalTarget:
    """Return the target of a skill with that property."""
    node: Any = type("Node", (), {"properties": {"url": url}, "skill_name": "api", "output": "out"})
    return ExternalTarget.of(cast(Node, node), {})


async def _ask(target: ExternalTarget) -> Reply:
    pool = Pool(target.server)
    try:
        return await pool.ask(target.request.encode(b"1"), 10)
    finally:
        pool.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)  # let the servers see the end, too


def test_a_proxy_is_asked_for_the_whole_address_and_told_who_asks() -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(SAID)
        writer.close()

    async def run() -> Reply:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            target = external(url="http://api.test:81/x?y=1")
            return await _ask(target.through_proxy({"HTTP_PROXY": f"http://me:secret@127.0.0.1:{port}"}))

    assert asyncio.run(run()).status == 200
    assert heads[0].startswith("POST http://api.test:81/x?y=1 HTTP/1.1\r\nHost: api.test:81\r\n")
    assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("status", [200, 407])
def test_https_goes_through_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.test -addext subjectAltName=DNS:api.test"
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    heads: list[str] = []
    apis: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 %d That\r\n\r\n" % status)
        if status == 200:
            api_reader, api_writer = await asyncio.open_connection("127.0.0.1", apis[0])
            await asyncio.gather(pass_on(reader, api_writer), pass_on(api_reader, writer))
        writer.close()

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            target.write(data)
        target.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(SAID)
        writer.close()

    async def run() -> Reply:
        api = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=trust)
        async with api, await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            apis.append(api.sockets[0].getsockname()[1])
            port = server.sockets[0].getsockname()[1]
            target = external(url="https://api.test/x")
            return await _ask(target.through_proxy({"HTTPS_PROXY": f"http://me:secret@127.0.0.1:{port}"}))

    if status == 200:
        assert asyncio.run(run()).status == 200
        assert heads[1].startswith("POST /x HTTP/1.1\r\n")
        assert "Proxy-Authorization" not in heads[1]
    else:
        with pytest.raises(CallFailed, match=r"through the proxy 127.0.0.1:\d+: it answered 'HTTP/1.1 407"):
            asyncio.run(run())
    assert heads[0].startswith("CONNECT api.test:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]


def test_a_proxy_of_another_kind_is_an_error_without_its_password() -> None:
    with pytest.raises(InvalidInput, match="http://HOST:PORT") as error:
        external(url="http://api.test").through_proxy({"ALL_PROXY": "socks5://me:secret@proxy"})
    assert "secret" not in str(error.value)
