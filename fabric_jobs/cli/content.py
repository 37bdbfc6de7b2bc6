"""`fabric-jobs content …`."""

from __future__ import annotations

import mimetypes
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fabric_jobs import names, sizes
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.display import Display
from fabric_jobs.cli.terminal.printing import can_ask, show, show_rows
from fabric_jobs.client import content
from fabric_jobs.counts import counted
from fabric_jobs.errors import InvalidInput, NotFound

COLUMNS = {"KEY": "Key", "SIZE": "size", "TYPE": "ContentType", "UPLOADED": "LastModified"}
STREAM = Path("-")
force = click.option("--force", is_flag=True, help="Replace files that exist and differ.")


@click.group("content", cls=Group)
def group() -> None:
    """List, upload, download and delete content: bytes of any length by key."""


@group.command("list")
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most this many.")
@options.output
@options.at_gateway
def list_content(prefix: str, limit: int, output: str) -> None:
    """List the content whose keys begin with PREFIX, by key.

    \b
    Examples:
      fabric-jobs content list
      fabric-jobs content list models/ --output json
    """
    found = list(content.listed(options.gateway(), prefix.lstrip("/"), limit=limit + 1))
    rows = [{**row, "size": row["Size"]} for row in found[:limit]]
    show_rows(found[:limit] if output != "table" else rows, COLUMNS, output, empty="There is no such content.")
    if len(found) > limit:
        click.echo(f"There is more: add --limit {limit * 10}, or a longer PREFIX.", err=True)


@group.command()
@click.argument("key")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--content-type", metavar="TYPE", help="The media type.  [default: that of the name]")
@options.output
@options.quiet
@options.at_gateway
def upload(key: str, path: Path, content_type: str | None, output: str, quiet: bool) -> None:
    """Upload the file PATH to KEY, or all files of the directory PATH to keys below KEY; - is standard input.

    What is stored already with the same bytes is skipped, so a broken upload goes on when you type it again.

    \b
    Examples:
      fabric-jobs content upload models/churn.bin churn.bin
      fabric-jobs content upload models models/
      pg_dump shop | fabric-jobs content upload backups/shop.sql -
    """
    gateway = options.gateway()
    transfers: list[content.Transfer] = []
    if path == STREAM:
        key = names.content_key(key)
        with _progress(quiet, [key], None) as bar:
            stored = [content.upload_stream(gateway, key, sys.stdin.buffer, _type(key, content_type), bar.add)]
    else:
        transfers = _transfers(key, path)
        prefix = _common(key, path)
        stored = []
        present = {row["Key"]: row for row in content.listed(gateway, prefix)} if path.is_dir() else {}
        with _progress(quiet, [item.key for item in transfers], sum(item.size for item in transfers)) as bar:
            for item in transfers:
                bar.next(item.key)
                row = present.get(item.key) if path.is_dir() else content.known(gateway, item.key)
                if row is not None and content.is_same(item.path, row):
                    bar.add(item.size)
                    continue
                stored.append(content.upload(gateway, item, _type(item.key, content_type), bar.add))
    _say_uploaded(stored, 1 if path == STREAM else len(transfers), output)
    what = ("list", f"{key.strip('/')}/") if path.is_dir() else ("download", transfers[0].key if transfers else key)
    click.echo(f"Next: {options.next_command('content', *what)}", err=True)


@group.command()
@click.argument("key")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@force
@options.quiet
@options.at_gateway
def download(key: str, path: Path | None, force: bool, quiet: bool) -> None:
    """Download KEY to the file PATH; a KEY with / at its end stands for all keys below it, and PATH for a directory.

    PATH is the last part of KEY by default; - is standard output. What is there already with the same bytes is skipped,
    and a broken download goes on when you type it again.

    \b
    Examples:
      fabric-jobs content download models/churn.bin
      fabric-jobs content download models/ copy
      fabric-jobs content download backups/shop.sql - | psql shop
    """
    gateway = options.gateway()
    if path == STREAM:
        with _progress(quiet, [key], None) as bar:
            content.download_stream(gateway, names.content_key(key), sys.stdout.buffer, bar.add)
        return
    every = _targets(gateway, key, path)
    targets = content.check_targets(every, force=force)
    with _progress(quiet, [row["Key"] for row, _ in targets], sum(row["Size"] for row, _ in targets)) as bar:
        for row, target in targets:
            bar.next(row["Key"])
            content.download(gateway, row, target, bar.add)
    total = sizes.spelled(sum(row["Size"] for row, _ in targets))
    same = f", {counted(len(every) - len(targets), 'file')} unchanged" if len(every) > len(targets) else ""
    click.echo(f"{counted(len(targets), 'file')} downloaded, {total}{same}.", err=True)


@group.command()
@click.argument("keys", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.at_gateway
def delete(keys: tuple[str, ...], yes: bool) -> None:
    """Delete KEYS for good; one with / at its end stands for all keys below it.

    \b
    Examples:
      fabric-jobs content delete models/churn.bin
      fabric-jobs content delete models/ --yes
    """
    gateway = options.gateway()
    chosen = [key for given in keys for key in _below(gateway, given)]
    if any(key.endswith("/") for key in keys) and not yes:
        if not can_ask():
            raise click.UsageError(f"This deletes {counted(len(chosen), 'key')} for good. Add --yes to do it.")
        click.confirm(f"Delete {counted(len(chosen), 'key')} for good?", abort=True, err=True)
    missing = [key for key in chosen if not content.delete(gateway, key)]
    if len(missing) < len(chosen) or not chosen:
        click.echo(f"{counted(len(chosen) - len(missing), 'key', 'is', 'are')} deleted.", err=True)
    if missing:
        raise NotFound(
            f"there is no content '{missing[0]}'"
            + (f", nor {counted(len(missing) - 1, 'other')}." if missing[1:] else "."),
            hint="List it with `fabric-jobs content list`.",
        )
    click.echo(f"Next, to free the disk: {options.next_command('state', 'prune', '--content')}", err=True)


class _Bar:
    """One line that tells how far a transfer is."""

    def __init__(self, display: Display, keys: Sequence[str], total: int | None) -> None:
        self._display = display
        self._count = len(keys)
        self._total = total
        self._number = 0
        self._key = keys[0] if keys else ""
        self._done = 0
        self._since = self._shown = time.monotonic()

    def next(self, key: str) -> None:
        """Begin with the next key."""
        self._number += 1
        self._key = key

    def add(self, count: int) -> None:
        """Note that more bytes are done."""
        self._done += count
        now = time.monotonic()
        if now - self._shown >= self._display.interval:
            self._shown = now
            self._display.show_line(self._line(now - self._since))

    def _line(self, seconds: float) -> str:
        files = f"{self._number:,} of {self._count:,} files, " if self._count > 1 else ""
        total = f" of {sizes.spelled(self._total)}" if self._total is not None else ""
        rate = sizes.spelled(max(0, self._done) / max(seconds, 0.001))
        return f"{files}{sizes.spelled(self._done)}{total}, {rate}/s: {self._key}"


@contextmanager
def _progress(quiet: bool, keys: Sequence[str], total: int | None) -> Iterator[_Bar]:
    with Display(quiet=quiet, stays=False) as display:
        yield _Bar(display, keys, total)


def _transfers(key: str, path: Path) -> list[content.Transfer]:
    if path.is_dir():
        found = content.files_below(path, key.strip("/"))
        if not found:
            raise InvalidInput(f"there are no files in {path}.")
        return found
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}.", hint="Name a file, a directory, or - for standard input.")
    name = f"{key}{path.name}" if key.endswith("/") else key
    return [content.Transfer(key=names.content_key(name), path=path, size=path.stat().st_size)]


def _common(key: str, path: Path) -> str:
    """Return how all keys of an upload begin."""
    return f"{key.strip('/')}/".lstrip("/") if path.is_dir() else key.lstrip("/")


def _type(key: str, given: str | None) -> str:
    return given or mimetypes.guess_type(key)[0] or content.OCTETS


def _say_uploaded(stored: list[dict[str, Any]], count: int, output: str) -> None:
    if output != "table":
        show([{"key": row["key"], "size": row["size"], "sha256": row["sha256"]} for row in stored], output)
    same = f", {counted(count - len(stored), 'file')} unchanged" if count > len(stored) else ""
    total = sizes.spelled(sum(row["size"] for row in stored))
    click.echo(f"{counted(len(stored), 'file')} uploaded, {total}{same}.", err=True)


def _targets(gateway: Any, key: str, path: Path | None) -> list[tuple[dict[str, Any], Path]]:
    prefix = key.lstrip("/")
    if prefix and not prefix.endswith("/"):
        row = content.known(gateway, names.content_key(key))
        if row is None:
            raise NotFound(f"there is no content '{prefix}'.", hint="List it with `fabric-jobs content list`.")
        name = Path(prefix.rpartition("/")[2])
        return [(row, name if path is None else path / name if path.is_dir() else path)]
    if path is None and not prefix:
        raise click.UsageError("Name the directory for all content.")
    found = list(content.listed(gateway, prefix))
    if not found:
        raise NotFound(f"there is no content below '{key}'.", hint="List it with `fabric-jobs content list`.")
    return content.targets_below(found, prefix, path or Path(prefix.rstrip("/").rpartition("/")[2]))


def _below(gateway: Any, key: str) -> list[str]:
    if not key.endswith("/"):
        return [names.content_key(key)]
    return [row["Key"] for row in content.listed(gateway, key.lstrip("/"))]
