"""`fabric-jobs workspaces publish`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.counts import counted
from fabric_jobs.errors import shown

if TYPE_CHECKING:
    from fabric_jobs.workspace.publishing.plan import Planned, Publication
    from fabric_jobs.workspace.publishing.publish import Published

COLUMNS = {"KIND": "kind", "NAME": "name", "STATE": "state", "VERSION": "version", "PUSH": "push", "IMAGE": "image"}


@click.command("publish")
@options.folder
@click.option(
    "--skill", metavar="NAME", help="Only this skill, with all its actions, and the agents that use no other."
)
@click.option("--skip-push", is_flag=True, help="Push no image; save and deploy what the engine or a registry has.")
@click.option("--dry-run", is_flag=True, help="Print what would be pushed and saved, and do nothing.")
@options.quiet
@options.output
@options.state_dir
def command(
    folder: Path | None,
    skill: str | None,
    skip_push: bool,
    dry_run: bool,
    quiet: bool,
    output: str,
    state_dir: Path | None,
) -> None:
    """Push the images of the workspace FOLDER, and deploy its skills and agents at the gateway.

    FOLDER defaults to the nearest directory upwards that contains skills/ or .fabric-jobs/. Nothing is pushed if an
    image is missing or outdated. Images go to the active registry and are recorded in fabric-jobs.lock, which belongs
    under version control. The gateway gets every skill, with its images by digest, then every agent. Unchanged images
    and definitions are neither pushed nor saved again.

    \b
    Examples:
      fabric-jobs workspaces publish --dry-run
      fabric-jobs workspaces publish
      fabric-jobs workspaces publish flights-demo --skill read-flights --profile lab
      fabric-jobs workspaces publish --skip-push --output json
    """
    root = options.root_of(folder)
    gateway = options.gateway_at(root, state_dir)  # an owner may start while we read the files

    from fabric_jobs.workspace.publishing.publish import compare, plan_publish, save

    plan = plan_publish(root, skill, skip_push=skip_push)
    _warn(plan)
    compared = compare(plan, gateway)  # before the push, in case the gateway cannot be reached
    if dry_run:
        _print(plan, plan, compared, output, dry_run=True)
        click.echo("Nothing was done: this was a dry run.", err=True)
        click.echo(f"Next: {_command(folder, skill, skip_push=skip_push)}", err=True)
        return
    pushed = _push(plan, quiet=quiet)
    published = save(pushed, gateway)
    _print(plan, pushed, published, output)
    _conclude(plan, pushed, published, folder)


def _push(plan: Publication, *, quiet: bool) -> Publication:
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.cli.terminal.images import Pushes
    from fabric_jobs.workspace.publishing.publish import push_images

    with Display(quiet=quiet) as display:
        return push_images(plan, Pushes(display, plan.images).update)


def _warn(plan: Publication) -> None:
    for name, path in plan.projects:
        command = f"fabric-jobs jobs deploy {shown(path)}"
        click.echo(f"Warning: the API '{name}' is left out: deploy it with its files: {command}", err=True)
    for kind, files in plan.left_out:
        click.echo(
            f"Warning: {counted(files, 'file', 'is', 'are')} left out of {kind}/: the gateway has no {kind} yet.",
            err=True,
        )


def _print(
    plan: Publication, pushed: Publication, published: Sequence[Published], output: str, *, dry_run: bool = False
) -> None:
    """Print the plan and its results; `plan` knows which images had to be pushed, `pushed` the digests."""
    if output == "table":
        show_rows([row for one in published for row in _rows(one, dry_run=dry_run)], COLUMNS, output, empty="")
        return
    value = {
        "registry": plan.registry or None,
        "dry_run": dry_run,
        "changed": _has_changed(plan, pushed, published),
        "skills": [_shown(one) for one in published if one.planned.kind == "skill"],
        "agents": [_shown(one) for one in published if one.planned.kind == "agent"],
        "apis": [{"name": name, "file": shown(path)} for name, path in plan.projects],
        "left_out": [{"kind": kind, "files": files} for kind, files in plan.left_out],
    }
    show(value, output)


def _rows(published: Published, *, dry_run: bool) -> list[dict[str, Any]]:
    planned = published.planned
    row = {"kind": planned.kind, "name": planned.name, "state": published.state, "version": published.version}
    yes = "yes" if dry_run else "done"
    images = [{"push": yes if image.push else "", "image": image.pinned} for image in planned.images]
    return [{**row, **image} for image in images or [{}]]


def _shown(published: Published) -> dict[str, Any]:
    planned = published.planned
    shown = {"name": planned.name, "state": published.state, "version": published.version, "message": published.message}
    return shown if planned.kind == "agent" else {**shown, "images": _images(planned)}


def _images(planned: Planned) -> list[dict[str, Any]]:
    return [
        {
            "action": image.action,
            "image": image.repository,
            "tag": image.tag,
            "digest": image.digest or None,
            "pinned": image.pinned,
            "push": image.push,
        }
        for image in planned.images
    ]


def _has_changed(plan: Publication, pushed: Publication, published: Sequence[Published]) -> bool:
    from fabric_jobs.workspace.publishing.publish import UNCHANGED

    is_locked_anew = pushed.new_lock() != plan.lock if pushed is not plan else False
    return (
        is_locked_anew or any(image.push for image in plan.images) or any(one.state != UNCHANGED for one in published)
    )


def _conclude(plan: Publication, pushed: Publication, published: Sequence[Published], folder: Path | None) -> None:
    from fabric_jobs.workspace.payload import sample_of
    from fabric_jobs.workspace.publishing.lock_file import lock_file

    if not _has_changed(plan, pushed, published):
        click.echo("Nothing has changed, so nothing was pushed or saved.", err=True)
    for one in published:
        if one.state != "unchanged" and one.message:
            click.echo(one.message, err=True)
    if pushed.new_lock() != plan.lock:
        click.echo(f"What was pushed is recorded in {lock_file(plan.root)}; commit it.", err=True)
    last = published[-1].planned  # an agent, if there is one
    words = [f"{last.kind}s", "invoke", last.name, *sample_of(plan.root, last.kind, last.name)]
    # An owner on this machine would run the files; a remote gateway runs what was published.
    words += ["--executor", "docker"] if options.remote_given() is None else []
    words += ["--workspace", str(folder)] if folder is not None else []
    click.echo(f"Next: {options.next_command(*words)}", err=True)


def _command(folder: Path | None, skill: str | None, *, skip_push: bool) -> str:
    words = ["workspaces", "publish"]
    words += [str(folder)] if folder is not None else []
    words += ["--skill", skill] if skill is not None else []
    return options.next_command(*words, *(["--skip-push"] if skip_push else []))
