"""Reads a multipart form as it arrives; the only module that knows python_multipart."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from fabric_jobs.errors import InvalidInput

Take = Callable[[bytes], Awaitable[None]]
CALLBACKS = (
    "on_part_begin",
    "on_header_field",
    "on_header_value",
    "on_header_end",
    "on_headers_finished",
    "on_part_data",
    "on_end",
)


class Form:
    """A form whose known fields go to functions, in parts; others are skipped."""

    def __init__(self, content_type: str, fields: Mapping[str, Take], *, hint: str) -> None:
        """Raise InvalidInput, with `hint`, if this is not the content type of a form."""
        from python_multipart.multipart import MultipartParser, parse_options_header  # late: only forms need it

        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a broken form is answered, and not logged
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise InvalidInput("the body is not multipart/form-data with a boundary.", hint=hint)
        self.names: list[str] = []  # of the known fields, as they came
        self.types: dict[str, str] = {}  # their media types, as they were sent
        self._fields = fields
        self._options = parse_options_header
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field = ""  # of the part that is being read
        self._pending: list[tuple[Take, bytes]] = []
        self._is_whole = False
        callbacks: Any = {name: getattr(self, f"_{name}") for name in CALLBACKS}
        self._parser = MultipartParser(boundary, callbacks)

    async def read(self, stream: AsyncIterator[bytes]) -> None:
        """Read a body to its end; raise InvalidInput for one that is broken, and what the functions raise."""
        from python_multipart.exceptions import FormParserError

        try:
            async for part in stream:
                self._parser.write(part)
                pending, self._pending = self._pending, []
                for take, data in pending:
                    await take(data)
        except FormParserError as error:
            raise InvalidInput(f"the form cannot be read: {error}.", hint="Nothing was stored.") from error
        if not self._is_whole:
            raise wrong("it has no end")

    def _on_part_begin(self) -> None:
        self._headers, self._name, self._value, self._field = {}, b"", b"", ""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = self._options(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode(errors="replace")
        if self._field in self._fields:
            self.names.append(self._field)
            self.types[self._field] = self._headers.get(b"content-type", b"").decode("latin-1")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field in self._fields and self.names.count(self._field) == 1:
            self._pending.append((self._fields[self._field], data[start:end]))

    def _on_end(self) -> None:
        self._is_whole = True


def wrong(what: str) -> InvalidInput:
    """Return the error for a form."""
    return InvalidInput(f"the form cannot be read: {what}.", hint="Nothing was stored.")
