"""Checks the values of properties against their types and valid values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fabric_jobs.definitions import Agent, Property, Skill
from fabric_jobs.names import nearest
from fabric_jobs.routing import NEVER_PASSED, SECRET, header_names
from fabric_jobs.workspace.lint.checked import Checked

# A number may also be text: older definitions quote every value.
NUMBERS = ("number", "integer")
BOOLEANS = ("true", "false")


def lint_defaults(checked: Checked[Skill], skill: Skill) -> None:
    """Note default values and rules of a skill that do not fit its properties."""
    for index, item in enumerate(skill.properties):
        if reason := _misfit(item, item.default_value):
            checked.warn(reason, "properties", index, "defaultValue")
    properties = {item.name: item for item in skill.properties}
    for index, port in enumerate(skill.inputs):
        selected = properties.get(port.routing.selector) if port.routing.kind == "property" else None
        for number, rule in enumerate(port.routing.rules):
            if selected and (reason := _not_valid(selected, rule.match)):
                checked.warn(f"this rule never matches: {reason}", "inputs", index, "routing", "rules", number)


def lint_references(checked: Checked[Agent], agent: Agent, skills: Mapping[str, Skill | None]) -> None:
    """Note values that an agent gives to properties of its skills, but that do not fit them, and headers that are not passed on."""
    names = {name.lower() for name in header_names(agent.properties)} & NEVER_PASSED
    if names:
        reason = (
            f"'allowedHeaders' has no effect for {', '.join(sorted(names))}: this is about the caller's own connection"
        )
        checked.warn(reason, "properties")
    for index, reference in enumerate(agent.skills):
        skill = skills.get(reference.skill_name)
        properties = {item.name: item for item in skill.properties} if skill else {}
        for name, value in reference.properties.items():
            if name in properties and (reason := _misfit(properties[name], value)):
                checked.warn(reason, "skills", index, "properties")


def _misfit(item: Property, value: Any) -> str:
    """Return why a value does not fit a property; empty if it fits, is absent, or names a secret."""
    if value is None or (isinstance(value, str) and value.startswith(SECRET)):
        return ""
    if item.secure:  # its value is not shown
        return f"the value of '{item.name}', which is secure, is here in clear; write '{SECRET}NAME', and set the secret NAME"
    return _not_of_type(item, value) or _not_valid(item, value)


def _not_of_type(item: Property, value: Any) -> str:
    text = _text(value)
    if item.type in NUMBERS and (isinstance(value, bool) or not _is_number(text, whole=item.type == "integer")):
        return f"'{text}' is no {item.type}, which the property '{item.name}' is"
    if item.type == "boolean" and text.lower() not in BOOLEANS:
        return f"'{text}' is neither true nor false, as the property '{item.name}' requires"
    if item.type in ("object", "array") and not isinstance(value, dict if item.type == "object" else list):
        return f"'{text}' is no {item.type}, which the property '{item.name}' is"
    return ""


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return not whole or number.is_integer()


def _not_valid(item: Property, value: Any) -> str:
    text, known = _text(value), [_text(valid) for valid in item.valid_values]
    if not known or text in known:
        return ""
    return f"'{text}' is not one of the validValues of the property '{item.name}'. {nearest(text, known)}"


def _text(value: Any) -> str:
    """Return a value as rules and older definitions write it."""
    return value if isinstance(value, str) else json.dumps(value)
