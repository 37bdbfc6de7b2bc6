"""Posts go to the address that was checked, whatever its name leads to later."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fabric_jobs.callback_targets import rules_of
from fabric_jobs.engine.callbacks import headers_of, post
from fabric_jobs.engine.calls.connection import CallFailed
from fabric_jobs.errors import InvalidInput
from tests.receiver import receiving


def test_a_name_that_leads_elsewhere_a_moment_later_is_called_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiving(address="127.0.0.2") as good, receiving(address="127.0.0.3", port=good.port) as inside:
        answers = ["127.0.0.2", "127.0.0.3", "127.0.0.3"]
        real = socket.getaddrinfo

        def rebinding(host: Any, *more: Any, **options: Any) -> Any:
            return real(answers.pop(0) if host == "rebind.example" else host, *more, **options)

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        url, rules = f"http://rebind.example:{good.port}/", rules_of("127.0.0.2")
        asyncio.run(post(url, b"{}", headers_of(b"{}", "k", 0), rules))
        assert [call.headers["host"] for call in good.calls] == [f"rebind.example:{good.port}"]
        with pytest.raises(InvalidInput, match="does not call back"):
            asyncio.run(post(url, b"{}", {}, rules))
        assert inside.calls == []


def test_a_redirect_and_an_endless_answer_are_failures() -> None:
    rules = rules_of("127.0.0.1")
    with receiving(302) as receiver, receiving() as elsewhere:
        receiver.location = elsewhere.url
        with pytest.raises(CallFailed, match="302; redirects are not followed"):
            asyncio.run(post(receiver.url, b"{}", {}, rules))
        assert elsewhere.calls == []
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def endless() -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        writer.write(b"x" * 65_536)
                        await writer.drain()
                except OSError:
                    writer.close()

            serving = await asyncio.start_server(answer, sock=server)
            async with serving:
                await post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, rules)

        with pytest.raises(CallFailed, match="longer than 1,048,576 bytes"):
            asyncio.run(endless())


def certificate(directory: Path, name: str) -> ssl.SSLContext:
    """Make a certificate for a name in `directory`, and return the context of a server that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def test_a_certificate_has_to_be_that_of_the_name_although_the_address_is_fixed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = certificate(tmp_path, "hooks.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    real = socket.getaddrinfo

    def local(host: Any, *more: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".example") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    rules = rules_of("127.0.0.1")
    with receiving(tls=context) as receiver:
        asyncio.run(post(f"https://hooks.example:{receiver.port}/", b"{}", {}, rules))
        assert len(receiver.calls) == 1
        with pytest.raises(CallFailed, match="certificate"):
            asyncio.run(post(f"https://other.example:{receiver.port}/", b"{}", {}, rules))
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(CallFailed, match="certificate"):
            asyncio.run(post(f"https://hooks.example:{receiver.port}/", b"{}", {}, rules))
        assert len(receiver.calls) == 1
