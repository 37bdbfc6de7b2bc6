"""Documents → definitions: YAML text or JSON values, with every problem of a file at once.

Problems have file, line and column if the document was text. The only exception is InvalidDefinition. Warnings do not
stop the reading: they are returned, or listed with the errors in the exception.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fabric_jobs.definitions import Agent, Skill
from fabric_jobs.documents.agent import read_agent
from fabric_jobs.documents.nodes import Document, from_json
from fabric_jobs.documents.reader import Reader, is_name
from fabric_jobs.documents.skill import read_skill
from fabric_jobs.errors import Problem

if TYPE_CHECKING:
    from fabric_jobs.schedules.schedule import ScheduleDefinition

__all__ = [
    "Document",
    "agent_from_json",
    "agent_of",
    "api_documents",
    "is_name",
    "parse_agent",
    "parse_skill",
    "read",
    "schedule_from_json",
    "schedules_from_json",
    "schedules_of",
    "skill_from_json",
    "skill_of",
    "to_json",
    "to_yaml",
]


def read(text: str, file: str) -> Document:
    """Read YAML or JSON; see `fabric_jobs.documents.yaml_text.read`."""
    from fabric_jobs.documents import yaml_text  # late: an owner reads only JSON

    return yaml_text.read(text, file)


def parse_skill(text: str, file: str) -> tuple[Skill, tuple[Problem, ...]]:
    """Return the skill that the YAML or JSON `text` defines, and warnings; problems call it `file`."""
    return skill_of(read(text, file))


def parse_agent(text: str, file: str) -> tuple[Agent, tuple[Problem, ...]]:
    """Return the agent that the YAML or JSON `text` defines, and warnings; problems call it `file`."""
    return agent_of(read(text, file))


def skill_of(document: Document) -> tuple[Skill, tuple[Problem, ...]]:
    """Return the skill of a parsed document, and warnings."""
    reader = Reader.of(document)
    return _read_skill(reader, ()), reader.finish()


def agent_of(document: Document) -> tuple[Agent, tuple[Problem, ...]]:
    """Return the agent of a parsed document, and warnings."""
    reader = Reader.of(document)
    return read_agent(reader), reader.finish()


def api_documents(document: Document) -> tuple[Document, ...]:
    """Return each API of an API file as a document that `skill_of` reads; see `fabric_jobs.documents.apis.bodies_of`."""
    from fabric_jobs.documents.apis import bodies_of  # late: most workspaces have no API file

    return bodies_of(document)


def skill_from_json(value: Any, *, elsewhere: Collection[str] | None = None) -> Skill:
    """Return the skill of a JSON value, as it is posted and stored.

    `elsewhere` are the actions that were deployed without a skill, to which its routings may lead; None: any may be. The value
    may also be a saved Batch or Task API, `{name, api}`.
    """
    reader = Reader.of(from_json(value))
    skill = _read_skill(reader, elsewhere)
    reader.finish()
    return skill


def _read_skill(reader: Reader, elsewhere: Collection[str] | None) -> Skill:
    if not reader.has("api"):
        return read_skill(reader, elsewhere)
    from fabric_jobs.documents.apis import read_api_skill  # late: most skills are not APIs

    return read_api_skill(reader)


def agent_from_json(value: Any) -> Agent:
    """Return the agent of a JSON value, as it is posted and stored."""
    return agent_of(from_json(value))[0]


def schedules_of(document: Document) -> tuple[tuple[ScheduleDefinition, ...], tuple[Problem, ...]]:
    """Return the schedules of a parsed document, and warnings."""
    from fabric_jobs.documents.schedules import read_schedules  # late: most owners have no schedules

    reader = Reader.of(document)
    return read_schedules(reader), reader.finish()


def schedules_from_json(value: Any) -> tuple[ScheduleDefinition, ...]:
    """Return the schedules of a JSON value, as it is posted."""
    return schedules_of(from_json(value))[0]


def schedule_from_json(value: Any) -> ScheduleDefinition:
    """Return the schedule of a JSON value, as it is posted."""
    from fabric_jobs.documents.schedules import read_schedule

    reader = Reader.of(from_json(value))
    found = read_schedule(reader)
    reader.finish()
    assert found is not None, "what is no mapping is a problem"
    return found


def to_json(text: str, file: str) -> Any:
    """Return the JSON value of YAML text; raise InvalidDefinition for what JSON cannot hold, such as a date."""
    return read(text, file).plain()


def to_yaml(value: Any) -> str:
    """Return a JSON value as YAML text."""
    import yaml  # late: most documents are only read

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
