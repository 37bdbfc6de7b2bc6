"""Documents that a project keeps by name: connections, types, models, experiments and their runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fabric_jobs.client.gateway import segment
from fabric_jobs.errors import InvalidInput, shown

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway


class DocumentShelf(NamedTuple):
    """Where a gateway keeps the documents of one kind."""

    noun: str
    path: str  # below the project; its list has this key


CONNECTIONS = DocumentShelf("connection", "connections")
TYPES = DocumentShelf("type", "types")
MODELS = DocumentShelf("model", "models")
EXPERIMENTS = DocumentShelf("experiment", "experiments")


def read(paths: Sequence[Path], shelf: DocumentShelf) -> list[dict[str, Any]]:
    """Return the documents of YAML or JSON files; a file may have several types below `types`.

    Raises InvalidDefinition with all that is wrong in a file, and InvalidInput for one that cannot be read.
    """
    return [document for path in paths for document in _of_file(path, shelf)]


def save(gateway: Gateway, shelf: DocumentShelf, document: dict[str, Any]) -> str:
    """Save a document; return what the gateway says."""
    return str(gateway.post(f"/{shelf.path}", document)["message"])


def listed(gateway: Gateway, shelf: DocumentShelf) -> list[dict[str, Any]]:
    """Return all documents of a kind, by name, without their larger parts."""
    found: list[dict[str, Any]] = gateway.get(f"/{shelf.path}")[shelf.path]
    return found


def find(gateway: Gateway, shelf: DocumentShelf, name: str) -> dict[str, Any]:
    """Return a document; raise NotFound."""
    found: dict[str, Any] = gateway.get(f"/{shelf.path}/{segment(name)}")
    return found


def delete(gateway: Gateway, shelf: DocumentShelf, name: str) -> str:
    """Delete a document; return what the gateway says. Raises NotFound, and InUse if something needs it."""
    return str(json.loads(gateway.raw("DELETE", f"/{shelf.path}/{segment(name)}").body)["message"])


def runs(gateway: Gateway, experiment: str) -> list[dict[str, Any]]:
    """Return the runs of an experiment, the last changed first; raise NotFound."""
    found: list[dict[str, Any]] = gateway.get(f"/{EXPERIMENTS.path}/{segment(experiment)}/runs")["runs"]
    return found


def _of_file(path: Path, shelf: DocumentShelf) -> list[dict[str, Any]]:
    from fabric_jobs.documents import read as parsed  # late: a command that saves nothing reads no YAML
    from fabric_jobs.documents.saved import check_file

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{shown(path)} cannot be read: {error}.") from error
    return check_file(shelf.noun, parsed(text, shown(path)))
