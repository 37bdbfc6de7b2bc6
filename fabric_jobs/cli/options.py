"""Options that several commands share; each is declared once."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from fabric_jobs import durations, sizes

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway
    from fabric_jobs.client.remote import Remote

F = TypeVar("F", bound=Callable[..., Any])


def stack(*given: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds several options to a command, in this order."""

    def add(command: F) -> F:
        for option in reversed(given):
            command = option(command)
        return command

    return add


def typed(name: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """Return the arguments of an option that `read` parses; `read` raises ValueError that says what to write."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return {"metavar": name, "callback": callback}


DURATION = typed("DURATION", durations.seconds_of)
SIZE = typed("SIZE", sizes.bytes_of)
_DIRECTORY: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "DIRECTORY"}
_WORKSPACE = _DIRECTORY | {
    "envvar": "FABRIC_JOBS_WORKSPACE_ROOT",
    "help": "The workspace; default: the nearest directory upwards that contains skills/ or .fabric-jobs/.",
}
_STATE_DIR = _DIRECTORY | {
    "envvar": "FABRIC_JOBS_STATE_DIR",
    "help": "The state directory.  [default: .fabric-jobs in the workspace]",
}
workspace = click.option("--workspace", **_WORKSPACE)
own_state_dir = click.option("--state-dir", **_STATE_DIR)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Keep an option that names the gateway for `gateway`, so that no command must pass it on."""
    ctx.meta[f"{__name__}.{param.name}"] = value
    return value


_KEPT: dict[str, Any] = {"callback": _keep, "expose_value": False}
# The options that name a remote gateway.
remote = stack(
    click.option(
        "--url",
        envvar="FABRIC_JOBS_URL",
        metavar="URL",
        help="A remote gateway, such as https://jobs.example.org.",
        **_KEPT,
    ),
    click.option(
        "--token", envvar="FABRIC_JOBS_TOKEN", metavar="TOKEN", help="The token of the remote gateway.", **_KEPT
    ),
    click.option(
        "--profile",
        envvar="FABRIC_JOBS_PROFILE",
        metavar="NAME",
        help="A remote gateway by its name in `profiles`, or the path of a token file.",
        **_KEPT,
    ),
)


# The options that name a gateway: that of a state directory, or a remote one.
state_dir = stack(own_state_dir, remote)
# The same for a command that needs the workspace only to find the gateway; it calls `gateway`.
at_gateway = stack(
    click.option("--workspace", **_WORKSPACE, **_KEPT), click.option("--state-dir", **_STATE_DIR, **_KEPT), remote
)
output = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print the result.",
)
description = click.option(
    "--output",
    "-o",
    type=click.Choice(["yaml", "json", "k8s", "openapi"]),
    default="yaml",
    show_default=True,
    help="The document as YAML or JSON, what would run on Kubernetes, or how it is invoked.",
)
executor = click.option(
    "--executor",
    type=click.Choice(["local", "docker", "kubernetes"]),
    envvar="FABRIC_JOBS_EXECUTOR",
    help="Where it runs: local, as processes; docker, kubernetes, from its images.  [default: that of the gateway, which is local]",
)
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress.")
folder = click.argument(
    "folder", required=False, type=click.Path(path_type=Path), envvar="FABRIC_JOBS_WORKSPACE_ROOT", metavar="[FOLDER]"
)
limit = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most this many."
)


def root_of(given: Path | None) -> Path:
    """Return the root of the workspace; raise NotFound if there is none."""
    from fabric_jobs.workspace.root import find_root

    return find_root(Path.cwd(), given)


def state_dir_of(given: Path | None, root: Path) -> Path:
    """Return the state directory of a workspace."""
    from fabric_jobs.state_dir import STATE_DIRECTORY

    return given.absolute() if given is not None else root / STATE_DIRECTORY


def gateway(project_id: str | None = None) -> Gateway:
    """Return the gateway that the options of a command `at_gateway` name; see `gateway_at`."""
    check_workspace()
    ctx = click.get_current_context()
    return gateway_at(_given(ctx, "workspace"), _given(ctx, "state_dir"), project_id)


def gateway_at(workspace_given: Path | None, state_given: Path | None, project_id: str | None = None) -> Gateway:
    """Return the named remote gateway, else that of a workspace, whose owner is started if there is none."""
    from fabric_jobs.client.gateway import Gateway

    place = remote_given()
    if place is not None:
        return Gateway(place, project_id=project_id)
    if state_given is not None:
        return Gateway(state_given.absolute(), project_id=project_id)
    return Gateway(state_dir_of(None, root_of(workspace_given)), project_id=project_id)


def check_workspace() -> None:
    """Raise UsageError for a --workspace without effect, because another option names the gateway."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not _is_typed(ctx, "workspace"):
        return
    other = next((name for name in ("url", "profile", "state_dir") if _is_typed(ctx, name)), None)
    if other is not None:
        raise click.UsageError(f"--workspace has no effect with --{other.replace('_', '-')}; remove one of them.")


def gateway_of_tests(root: Path, state_given: Path | None) -> tuple[Gateway, Path | None]:
    """Return the gateway for tests: the named remote one, else one whose state directory is only for tests."""
    from fabric_jobs.client.gateway import Gateway

    place = remote_given()
    if place is not None:
        return Gateway(place), None
    state = state_dir_of(state_given, root) / "tests"
    return Gateway(state), state


def remote_given() -> Remote | None:
    """Return the remote gateway that the options or the variables name; typed options win over variables."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return None
    token = _given(ctx, "token") if _is_typed(ctx, "token") else None
    if not (_given(ctx, "url") or _given(ctx, "profile")):
        if token is not None:
            raise click.UsageError("--token is for a remote gateway; choose one with --url or --profile.")
        return None
    typed = [name for name in ("url", "profile", "state_dir") if _is_typed(ctx, name)]
    if len(typed) > 1:
        both = " and ".join(f"--{name.replace('_', '-')}" for name in typed)
        raise click.UsageError(f"{both} name different gateways; use only one of them.")
    if typed == ["state_dir"]:
        return None
    from fabric_jobs.client.profiles import find_profile
    from fabric_jobs.client.remote import Remote

    if typed == ["profile"] or not _given(ctx, "url"):
        found = find_profile(str(_given(ctx, "profile")))
        return found if token is None else replace(found, token=token, key=None)
    return Remote(url=str(_given(ctx, "url")), token=_given(ctx, "token") or "")


def next_command(*words: str) -> str:
    """Return a command to type next, with this command's options that name the gateway, but never a token."""
    return shlex.join(["fabric-jobs", *words, *_place_words()])


def placed(text: str) -> str:
    """Return a text whose lines end in commands to type next, with the same options after each command."""
    place = shlex.join(_place_words())
    lines = (f"{line} {place}" if "fabric-jobs " in line else line for line in text.split("\n"))
    return "\n".join(lines) if place else text


def _place_words() -> list[str]:
    ctx = click.get_current_context()
    names = [name for name in ("url", "profile", "state_dir", "workspace") if _is_typed(ctx, name)]
    if names and names[0] != "workspace":
        names = [name for name in names if name != "workspace"]  # it would have no effect
    place = [(f"--{name.replace('_', '-')}", str(_given(ctx, name) or ctx.params.get(name))) for name in names]
    return [word for pair in place for word in pair]


def _given(ctx: click.Context, name: str) -> Any:
    return ctx.meta.get(f"{__name__}.{name}")


def _is_typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
