"""JSON at every entrance: one limit of nesting, and only what can be read again is accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fabric_jobs import json_text
from fabric_jobs.engine.calls.connection import Reply, Request
from fabric_jobs.engine.calls.target import DaemonTarget, ExternalTarget, Unusable
from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway import record_text
from fabric_jobs.gateway.json_response import dumps
from fabric_jobs.runtime.fabric_skill import records
from fabric_jobs.workspace.payload import read_params
from tests.factories import node

BRACKETS = [(b"[", b"", b"]"), (b'{"a":', b"1", b"}"), (b'[["]"],', b"1", b"]"), (b" [ ", b'"[[[["', b" ] ")]


def nested(levels: int, opening: bytes = b"[", inner: bytes = b"", closing: bytes = b"]") -> bytes:
    return opening * levels + inner + closing * levels


def test_the_limit_of_the_runtime_layer_is_that_of_the_gateway() -> None:
    assert records.DEPTH == json_text.DEPTH


@pytest.mark.parametrize(("opening", "inner", "closing"), BRACKETS)
def test_so_many_levels_are_taken_and_one_more_is_not(opening: bytes, inner: bytes, closing: bytes) -> None:
    # The third kind has one more array at its innermost level.
    most = json_text.DEPTH - (opening == b'[["]"],')
    deep, deeper = (nested(levels, opening, inner, closing) for levels in (most, most + 1))
    value = json_text.loads(deep)
    record_text.check(deep)
    record_text.check_lines(b"1\n" + deep + b"\n")
    assert json_text.loads(records.encode(value)) == value
    for refuse in (json_text.loads, record_text.check, lambda text: record_text.check_lines(b"1\n" + text + b"\n2\n")):
        with pytest.raises(ValueError, match="nested deeper than 512 levels"):
            refuse(deeper)
    with pytest.raises(ValueError, match="nested deeper than 512 levels"):
        records.encode([value])


def test_many_brackets_are_not_many_levels() -> None:
    wide = b"[" + b",".join([b'{"a":[[]]}'] * 2000) + b"]"
    for take in (json_text.loads, record_text.check):
        take(wide)
    records.encode(json_text.loads(wide))


@pytest.mark.parametrize(
    "text",
    [
        b'"\xff"',
        b"NaN",
        b"-Infinity",
        b"1" * 5000,
        b"1 2",
        b"",
        b"\xef\xbb\xbf1",
        '"x"'.encode("utf-16"),
        b"[1",
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_again_is_refused(text: bytes) -> None:
    for refuse in (record_text.check, lambda text: record_text.check_lines(b"1\n" + text + b"\n")):
        with pytest.raises(ValueError):
            refuse(text)


@pytest.mark.parametrize(
    "text", [b'"\\ud800"', b"1" * 4300, b"1e300", b" [1] \r", b'"' + b"1" * 9999 + b'"', '"žluť"'.encode()]
)
def test_what_can_be_read_again_is_taken(text: bytes) -> None:
    record_text.check(text)
    record_text.check_lines(text + b"\n" + text + b"\n")


def test_a_payload_may_be_as_deep_alone_as_in_its_envelope() -> None:
    deep = nested(json_text.DEPTH).decode()
    assert read_params(None, None, deep) == read_params(None, f'{{"payload": {deep}}}', None)
    for given in ((None, None, f"[{deep}]"), (None, f'{{"payload": [{deep}]}}', None)):
        with pytest.raises(InvalidInput, match="nested deeper"):
            read_params(*given)


def test_a_deep_answer_of_a_daemon_is_passed_on_and_a_deeper_one_is_its_error() -> None:
    target = DaemonTarget(node=node("d.in"), envelope={}, headers={})
    deep = nested(json_text.DEPTH)
    assert target.response(Reply(200, b'{"payload": %s}' % deep), 1 << 20)[1] == deep
    for body in (b'{"payload": [%s]}' % deep, b'{"payload": %s}' % nested(5000), b'{"payload": %s}' % (b"1" * 5000)):
        with pytest.raises(Unusable, match=r"nested deeper|Exceeds the limit"):
            target.response(Reply(200, body), 1 << 20)


def test_answers_hold_deep_values_and_long_numbers_beside_what_is_passed_on() -> None:
    deep: Any = json_text.loads(nested(json_text.DEPTH))
    assert json_text.loads(dumps([deep, 10**400, "\ud800"]), levels=513) == [deep, 10**400, "\ud800"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\nX-More: 1", "\0", "\x7f"])
def test_no_property_becomes_a_line_of_its_own(end: str) -> None:
    given: dict[str, Any] = {"method": "POST", "path": "/", "host": "h", "headers": {"X-A": "secret"}}
    Request(**given).encode(b"")
    changes: dict[str, dict[str, Any]] = {
        "method": {"method": f"POST{end}"},
        "path": {"path": f"/a{end}"},
        "host": {"host": f"h{end}"},
        "value of the header 'X-A'": {"headers": {"X-A": f"secret{end}"}},
        "name of the header": {"headers": {f"X-A{end}": "secret"}},
    }
    for what, change in changes.items():
        with pytest.raises(InvalidInput, match=f"the {what}") as caught:
            Request(**{**given, **change})
        assert "secret" not in str(caught.value)


def test_json_of_an_external_api_that_is_no_record_is_an_error_and_no_text() -> None:
    target = ExternalTarget.of(replace(node("e.in"), properties={"url": "http://h"}), {})
    assert target.response(Reply(200, b"{just text"), 1 << 20)[1] == b'"{just text"'
    for body in (nested(513), b"1" * 5000, b"NaN"):
        with pytest.raises(Unusable, match="JSON that cannot be a record"):
            target.response(Reply(200, body), 1 << 20)
