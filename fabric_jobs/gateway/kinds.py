"""The kinds of documents that a project keeps by name, and how each differs from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fabric_jobs.documents import skill_from_json
from fabric_jobs.documents.saved import as_action
from fabric_jobs.gateway.parameters import Parameter, choice, text
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import definitions, documents
from fabric_jobs.store.sql import Sql

Users = Callable[[Sql, str, str], Iterator[tuple[str, str]]]


def _nobody(sql: Sql, project_id: str, name: str) -> Iterator[tuple[str, str]]:
    yield from ()


def _of_type(sql: Sql, project_id: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the skills and agents with a port whose parameters are a type."""
    for saved in _skills_and_agents(sql, project_id):
        ports = [*(saved.body.get("inputs") or ()), *(saved.body.get("outputs") or ())]
        if any(isinstance(found := port.get("parameters"), dict) and found.get("$ref") == name for port in ports):
            yield saved.kind, saved.name


def _of_model(sql: Sql, project_id: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the experiments of a model."""
    for saved in documents.newest(sql, project_id, "experiment"):
        if saved.body.get("modelId") == name:
            yield "experiment", saved.name


def _of_action(sql: Sql, project_id: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the skills with a routing that leads to an action that they do not have themselves."""
    for saved in definitions.newest(sql, project_id, "skill"):
        if name in skill_from_json(saved.body).actions_elsewhere():
            yield "skill", saved.name


def _of_connection(sql: Sql, project_id: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the skills with a dataset that names a connection."""
    for saved in definitions.newest(sql, project_id, "skill"):
        named = [
            place.get("name")
            for dataset in saved.body.get("datasets") or ()
            for connection in _mappings(dataset.get("connections"))
            for place in _mappings(list(connection.values()))
        ]
        if name in named:
            yield "skill", saved.name


def _skills_and_agents(sql: Sql, project_id: str) -> Iterator[SavedDefinition]:
    for kind in ("skill", "agent"):
        yield from definitions.newest(sql, project_id, kind)


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the mappings in a list; none if it is not one."""
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


class DocumentKind(NamedTuple):
    """One kind of document."""

    name: str
    path: str  # below the project; its list has this key
    schema: str
    role: str  # of a user who saves or deletes one
    columns: tuple[str, ...] = ()  # in a list, beyond those of all
    parameters: tuple[Parameter[Any], ...] = ()  # of its list, beyond those of all
    asked: tuple[Parameter[Any], ...] = ()  # when one is saved
    merges: bool = False  # whether keys that are not saved again keep their value
    users: Users = _nobody  # (kind, name) of what would miss one
    prepared: Callable[[dict[str, Any]], dict[str, Any]] = dict  # the document to store
    saving: str = ""  # what the documentation adds about saving
    deleting: str = ""  # and about deleting


# Keys of a document in a list of any kind.
COLUMNS = ("name", "title", "description", "tags", "_version", "createdAt", "createdBy", "updatedAt")
MODEL_ID = text("modelId", "Only those of this model.")
TAGS = text("tags", "Only those with one of these labels, separated by commas.")
ACTION_TYPE = choice("actionType", "The type, if the body does not say it.", "job", "daemon")
MERGED = "Keys that are left out keep their value."
CONNECTION = DocumentKind(
    "connection",
    "connections",
    "Connection",
    "admin",
    columns=("connectionType", "allowRead", "allowWrite"),
    users=_of_connection,
    saving="Write `#SECURE.<key>` for a value that is a secret: only jobs get it in clear.",
    deleting="403 while a dataset of a skill names it.",
)
TYPE = DocumentKind(
    "type",
    "types",
    "NewTypes",
    "admin",
    users=_of_type,
    saving="Or several at once, all or none: `{types: […]}`.",
    deleting="403 while the parameters of a skill or an agent refer to it.",
)
MODEL = DocumentKind(
    "model",
    "models",
    "Model",
    "run",
    columns=("type", "status"),
    parameters=(TAGS,),
    merges=True,
    users=_of_model,
    saving=MERGED,
    deleting="403 while it has experiments.",
)
EXPERIMENT = DocumentKind(
    "experiment",
    "experiments",
    "Experiment",
    "run",
    columns=("modelId", "meta"),
    parameters=(MODEL_ID,),
    merges=True,
    saving=MERGED,
    deleting="Its runs and their artifacts are deleted with it.",
)
ACTION = DocumentKind(
    "action",
    "actions",
    "StandaloneAction",
    "admin",
    columns=("type", "image"),
    asked=(ACTION_TYPE,),
    users=_of_action,
    prepared=as_action,
    saving="The routing of a skill finds it by its name. This is Fabric's deprecated form: give new actions to their skill.",
    deleting="403 while a skill needs it; running activations keep their version.",
)
