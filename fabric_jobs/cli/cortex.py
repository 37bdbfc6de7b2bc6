"""`fabric-jobs-cortex`: the command that the Python client of Cortex Labs calls (docs/howto/cortex-client.md)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fabric_jobs.client.owner import Starting, running
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.runtime.cortex_command import environments
from fabric_jobs.runtime.cortex_command.calls import Operator, own_token
from fabric_jobs.runtime.cortex_command.command import Surroundings, main
from fabric_jobs.runtime.cortex_command.environments import Environments
from fabric_jobs.state_dir import STATE_DIRECTORY, Address

if TYPE_CHECKING:
    from fabric_jobs.runtime.cortex_command.files import Ignore

SIGNED_SECONDS = 600.0  # how long a signed token is good, for a log that is followed
LOCAL = "local"  # the environment of the workspace, unless one of that name was configured


class InstalledSurroundings(Surroundings):
    """What the command finds where fabric_jobs is installed: the workspace and its gateway, profiles, .cortexignore."""

    def environments(self) -> Environments:
        """Return the configured environments, and that of the workspace, whose gateway is started if there is none."""
        found = environments.load(self.place)
        address = None if LOCAL in found.endpoints else _owner()
        return found if address is None else found.with_one(LOCAL, address.url)

    def operator(self, name: str) -> Operator:
        """Return the gateway of an environment, with a token that fits its URL."""
        url = self.environments().endpoint(name)
        return Operator(url, own_token() or _token_of(url))

    def ignore(self, directory: str) -> Ignore:
        """Return what the .cortexignore of a project ignores."""
        from fabric_jobs.client.project_files import ignored_by  # late: few commands deploy

        return ignored_by(Path(directory))

    @property
    def limit(self) -> int | None:
        """The limit of a project in bytes."""
        from fabric_jobs.settings import project_bytes

        return project_bytes()


def run() -> None:
    """Run the command."""
    try:
        code = main(sys.argv[1:], InstalledSurroundings())
    except FabricJobsError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _owner() -> Address | None:
    """Return the address of the workspace's owner, started if there is none; None outside a workspace."""
    place = _state_dir()
    if place is None:
        return None
    return running(place) or Starting(place).wait()


def _state_dir() -> Path | None:
    given = os.environ.get("FABRIC_JOBS_STATE_DIR")
    if given:
        return Path(given).absolute()
    from fabric_jobs.errors import NotFound
    from fabric_jobs.workspace.root import find_root

    root = os.environ.get("FABRIC_JOBS_WORKSPACE_ROOT")
    try:
        return find_root(Path.cwd(), Path(root) if root else None) / STATE_DIRECTORY
    except NotFound:
        return None


def _token_of(url: str) -> str:
    """Return the token of the workspace's owner, or of the profile, with this URL; empty if there is none."""
    place = _state_dir()
    address = running(place) if place is not None else None
    if address is not None and address.url == url:
        return address.token
    from fabric_jobs.client.profiles import find_profile, read_profiles  # late: mostly it is the owner

    name = os.environ.get("FABRIC_JOBS_PROFILE")
    known = [find_profile(name)] if name else list(read_profiles().values())
    found = next((profile for profile in known if profile.url.rstrip("/").removesuffix("/px") == url), None)
    if found is None:
        return ""
    return found.token if found.key is None else found.key.sign(time.time() + SIGNED_SECONDS)
