"""`fabric-jobs jobs submit`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fabric_jobs.cli import options
from fabric_jobs.cli.job_watch import print_begun
from fabric_jobs.errors import NotFound
from fabric_jobs.jobs import new_id

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

SOURCES = ("items", "items_file", "ndjson", "files", "submission")
OF_FILES = ("include", "exclude")
OF_REQUEST = ("batch_size", "workers", "config", "timeout", "batch_timeout", "max_receive_count", "dead_letter_queue")

submit_options = options.stack(
    click.option("--items", metavar="JSON", help="The items, as a JSON array."),
    click.option(
        "--items-file",
        metavar="FILE",
        help="The items: a JSON array, or one JSON value per line; - is standard input.",
    ),
    click.option(
        "--ndjson", metavar="PATH", multiple=True, help="The items are the JSON values, or the rows, in these files."
    ),
    click.option("--files", metavar="PATH", multiple=True, help="The items are the paths of these files."),
    click.option("--include", metavar="GLOB", multiple=True, help="Only files whose whole path matches one of these."),
    click.option("--exclude", metavar="GLOB", multiple=True, help="No files whose whole path matches one of these."),
    click.option(
        "--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Items that are handled together."
    ),
    click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="How many workers."),
    click.option("--config", metavar="JSON", help="Merged into the configuration of the API."),
    click.option("--timeout", **options.DURATION, help="The job may take this long since its submission."),
    click.option("--batch-timeout", **options.DURATION, help="An attempt at a batch may take this long."),
    click.option(
        "--max-receive-count",
        type=click.IntRange(1),
        help="A batch is given up when it has failed this often.  [default: 1]",
    ),
    click.option("--dead-letter-queue", metavar="ARN", help="An SQS queue that gets the batches that are given up."),
    click.option(
        "--submission",
        metavar="FILE",
        help="The whole submission as JSON, as it is posted over HTTP; - is standard input.",
    ),
    click.option(
        "--dry-run", is_flag=True, help="Check everything, print the files that would be read, start nothing."
    ),
    click.option("--watch", "is_watched", is_flag=True, help="Follow the job until it has ended."),
    options.quiet,
    options.executor,
    options.output,
    options.workspace,
    options.state_dir,
)


@click.command()
@click.argument("api")
@submit_options
def submit(api: str, **given: Any) -> None:
    """Submit a job to API, and print its id.

    The items of a Batch API come from exactly one of --items, --items-file, --ndjson and --files; a Task API has none.
    PATH is a file, a directory, a glob, or a URL such as s3://bucket/prefix. An API of the workspace runs as
    its files are now.

    With --watch, the command exits with 1 unless the job succeeds. Ctrl-C stops the job; a second one leaves it running.

    \b
    Examples:
      fabric-jobs jobs submit measure --items '["one", "two"]' --watch
      fabric-jobs jobs submit score-delays --ndjson data/flights.ndjson.gz --batch-size 500 --workers 4 --watch
      fabric-jobs jobs submit thumbnails --files s3://photos/2013/ --include '**.jpg' --dry-run
      fabric-jobs jobs submit nightly-report --config '{"day": "2013-02-08"}'
    """
    _check(given)
    from fabric_jobs.client import jobs
    from fabric_jobs.workspace.job_request import request_text

    options.check_workspace()
    root = _root(given)
    gateway = options.gateway_at(root, given["state_dir"])  # an owner may start while we read the files
    text = request_text(given, here=Path.cwd() if gateway.is_local else None)
    _save(gateway, root, api, given["executor"] or "")
    wanted_id = new_id()  # chosen here, so that a repeated request starts one job only
    path, headers = jobs.path_of(gateway, api), jobs.headers_of(gateway, wanted_id, root)
    if given["dry_run"]:
        for part in jobs.dry_run(gateway, path, text, headers):
            click.echo(part, nl=False)
        click.echo()
        return
    try:
        job_id = jobs.submit(gateway, path, text, headers, executor=given["executor"] or "")
    except KeyboardInterrupt:  # the job may have begun, although no answer came
        with suppress(NotFound):
            jobs.stop(gateway, wanted_id)
        raise
    print_begun(gateway, job_id, is_watched=given["is_watched"], quiet=given["quiet"], output=given["output"])


def _check(given: dict[str, Any]) -> None:
    """Raise UsageError for options that contradict each other, or have no effect."""
    chosen = [name for name in SOURCES if given[name]]
    if len(chosen) > 1:
        raise click.UsageError(f"{_option(chosen[0])} and {_option(chosen[1])} both say what the items are; use one.")
    useless = [name for name in OF_FILES if given[name] and chosen[:1] not in (["ndjson"], ["files"])]
    if useless:
        raise click.UsageError(f"{_option(useless[0])} needs --ndjson or --files.")
    if chosen == ["submission"]:
        ctx = click.get_current_context()
        typed = [name for name in OF_REQUEST if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if typed:
            raise click.UsageError(f"{_option(typed[0])} has no effect with --submission, which is the whole request.")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _root(given: dict[str, Any]) -> Path | None:
    from fabric_jobs.cli.invoking import root_or_none

    return root_or_none(given["workspace"])


def _save(gateway: Gateway, root: Path | None, api: str, executor: str) -> None:
    """Save an API of the workspace as its files are now; one that it does not have must be deployed."""
    if root is None or not gateway.is_local:
        return
    from fabric_jobs.workspace.run import save_skill
    from fabric_jobs.workspace.tree import Workspace

    workspace = Workspace(root)
    if workspace.has("skill", api):
        save_skill(gateway, workspace, api, None, executor=executor)
