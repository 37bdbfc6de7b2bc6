"""Sizes and spans, as they are typed and read."""

from __future__ import annotations

import click
import pytest

from fabric_jobs.cli.quantities import bytes_text, size, span

COMMAND = click.Command("x")
CONTEXT, PARAM = click.Context(COMMAND), click.Option(["--x"])


@pytest.mark.parametrize(
    ("text", "count"),
    [("500", 500), ("1kb", 1000), ("1.5 GiB", 3 << 29), ("10GB", 10**10), ("2T", 2 * 10**12), ("9Mi", 9 << 20)],
)
def test_a_size_is_bytes(text: str, count: int) -> None:
    assert size(CONTEXT, PARAM, text) == count


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("30d", 2_592_000), ("2W", 1_209_600)])
def test_a_span_is_seconds(text: str, seconds: float) -> None:
    assert span(CONTEXT, PARAM, text) == seconds


@pytest.mark.parametrize("text", ["", "much", "-1", "1 day", "10 elephants", "1e3", "GB"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a size"):
        size(CONTEXT, PARAM, text)
    with pytest.raises(click.BadParameter, match="not a span"):
        span(CONTEXT, PARAM, text)


def test_nothing_is_nothing() -> None:
    assert size(CONTEXT, PARAM, None) is None
    assert span(CONTEXT, PARAM, None) is None


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.2 kB"), (5e9, "5.0 GB"), (5e15, "5000.0 TB")]
)
def test_bytes_are_read_easily(count: float, text: str) -> None:
    assert bytes_text(count) == text
