"""Where an owner keeps its state, and how others find it (DESIGN section 7, Owner)."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ATTEMPT_VARIABLE = "FABRIC_JOBS_ATTEMPT_DIRECTORY"  # in the environment of whatever an attempt has started here
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit is 108, on some systems 104


@dataclass(frozen=True, kw_only=True)
class Address:
    """How to reach a running owner; the file that holds it can be read by its user only."""

    pid: int
    url: str  # http://HOST:PORT
    socket: str  # path of the Unix socket
    token: str
    version: str
    executor: str = "local"  # of invocations that name none
    engine: str = ""  # which Docker engine its environment names: see `engine_named`


def engine_named() -> str:
    """Return which Docker engine the environment names, as far as that can be told without asking docker."""
    return os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT", "")


def make(state_dir: Path) -> None:
    """Make a state directory that its user only can look into: tokens, keys and payloads are in it."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def database_file(state_dir: Path) -> Path:
    """Return the path of the database."""
    return state_dir / "state.db"


def lock_file(state_dir: Path) -> Path:
    """Return the path of the file that the owner holds a lock on."""
    return state_dir / "owner.lock"


def log_file(state_dir: Path) -> Path:
    """Return the path of the owner's log."""
    return state_dir / "owner.log"


def attempts_dir(state_dir: Path) -> Path:
    """Return where the local executor keeps attempts."""
    return state_dir / "attempts"


def socket_path(state_dir: Path) -> Path:
    """Return the path of the Unix socket: in the state directory, or under the temporary directory where it would be too long."""
    path = state_dir.absolute() / "owner.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    import tempfile  # late, like the next one: most paths are short, and the first command of a workspace waits for us
    from hashlib import blake2b

    digest = blake2b(os.fsencode(state_dir.resolve()), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"fabric-jobs-{os.getuid()}-{digest}" / "owner.sock"


def write_address(state_dir: Path, address: Address) -> None:
    """Publish an address, whole or not at all."""
    partial = state_dir / f"owner.json.{os.getpid()}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(address), file)
    partial.rename(state_dir / "owner.json")


def read_address(state_dir: Path) -> Address | None:
    """Return the address that was published last; its owner may be gone. None when there is none."""
    try:
        return Address(**json.loads((state_dir / "owner.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget_address(state_dir: Path) -> None:
    """Take an address back."""
    (state_dir / "owner.json").unlink(missing_ok=True)
