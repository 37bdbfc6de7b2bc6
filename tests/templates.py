"""Lists the shipped templates by the type of their action."""

from __future__ import annotations

from fabric_jobs.scaffold.templates import list_templates


def shipped_templates(kind: str) -> list[str]:
    """Return the names of the templates for a `job` or a `daemon`."""
    line = f"    type: {kind}\n"
    return [
        template.name
        for template in list_templates()
        if any(line in path.read_text() for path in template.directory.rglob("skill.yaml"))
    ]
