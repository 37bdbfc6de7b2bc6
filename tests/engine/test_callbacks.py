"""Posts go to the address that was checked, whatever its name leads to later."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

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
