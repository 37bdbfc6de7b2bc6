"""The lock file of a workspace: the pushed image of every action, with its digest in the registry."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidDefinition, PlaceUnavailable, Problem
from fabric_jobs.user_files import read_text

LOCK_FILE = "fabric-jobs.lock"
VERSION = 1
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
IMAGE_KEYS = {"image", "tag", "digest"}
RESTORE = "Restore the file from version control, or delete it; publishing creates it again"


@dataclass(frozen=True, kw_only=True)
class LockedImage:
    """An image that is in a registry."""

    image: str  # its repository
    tag: str  # the hash of the files it was built from
    digest: str  # sha256:…

    @property
    def pinned(self) -> str:
        """The name by digest, which always means this image."""
        return f"{self.image}@{self.digest}"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The content of the file: skill → action → image."""

    skills: Mapping[str, Mapping[str, LockedImage]] = field(default_factory=dict)

    def image(self, skill: str, action: str) -> LockedImage | None:
        """Return the image that was pushed last for an action; None if there is none."""
        return self.skills.get(skill, {}).get(action)

    def text(self) -> str:
        """Return the text of the file. It depends only on the images, so that version control shows what changed."""
        skills = {
            name: {"actions": {action: asdict(image) for action, image in actions.items()}}
            for name, actions in self.skills.items()
            if actions
        }
        return f"{json.dumps({'version': VERSION, 'skills': skills}, indent=2, sort_keys=True)}\n"


def lock_file(root: Path) -> Path:
    """Return the path of the file in a workspace."""
    return root / LOCK_FILE


def read_lock(root: Path) -> Lock:
    """Return what was pushed; empty if there is no file. Raise InvalidDefinition if the file is malformed."""
    path = lock_file(root)
    try:
        value = json.loads(read_text(path))
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise _invalid(path, f"the file cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise _invalid(path, f"this is not JSON: {error.msg}. {RESTORE}", error.lineno, error.colno) from None
    except RecursionError:
        raise _invalid(path, f"this is not JSON. {RESTORE}") from None
    if isinstance(value, dict) and isinstance(value.get("version"), int) and value["version"] > VERSION:
        newer = (
            f"the file has version {value['version']}, but this fabric-jobs supports version {VERSION}; use a newer one"
        )
        raise _invalid(path, newer)
    try:
        return _lock(value)
    except ValueError as error:
        raise _invalid(path, f"{error}. {RESTORE}") from None


def write_lock(root: Path, lock: Lock) -> None:
    """Replace the file, atomically; raise PlaceUnavailable."""
    path = lock_file(root)
    try:
        whole_file.write(path, lock.text(), mode=whole_file.SHARED)
    except OSError as error:
        raise PlaceUnavailable(
            f"{path} cannot be written: {error.strerror}.",
            hint="Make the workspace writable and run the command again; pushed images are not pushed a second time.",
        ) from error


def _lock(value: Any) -> Lock:
    if _mapping(value, "the file").get("version") != VERSION:
        raise ValueError(f'the file must contain "version": {VERSION}')
    skills = _mapping(value.get("skills"), "skills")
    return Lock(
        skills={
            name: {
                action: _image(image, f"{name}.{action}")
                for action, image in _mapping(_mapping(skill, name).get("actions"), f"{name}.actions").items()
            }
            for name, skill in skills.items()
        }
    )


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"'{where}' is not a mapping")


def _image(value: Any, where: str) -> LockedImage:
    found = _mapping(value, where)
    if found.keys() != IMAGE_KEYS or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(f"'{where}' must have exactly the text keys 'image', 'tag' and 'digest'")
    if not DIGEST.fullmatch(found["digest"]):
        raise ValueError(f"the digest of '{where}' is not valid: it must be 'sha256:' and 64 hexadecimal digits")
    return LockedImage(**found)


def _invalid(path: Path, message: str, line: int = 0, column: int = 0) -> InvalidDefinition:
    return InvalidDefinition((Problem.of_file(path, message, line=line, column=column),))
