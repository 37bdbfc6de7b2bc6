"""What skills and agents have in common: tags, and the parameters of inputs and outputs."""

from __future__ import annotations

from fabric_jobs.definitions import Parameter, Parameters
from fabric_jobs.documents.reader import Reader, distinct

CAMEL = "1.0.0"
TAG_KEYS = ("label", "value")
PARAMETER_KEYS = ("name", "type", "title", "description", "format", "required")
REFERENCE_KEYS = ("$ref",)


def read_camel(reader: Reader) -> str:
    """Return the version of the definition format."""
    camel = reader.loose_text("camel", CAMEL)
    if camel != CAMEL:
        reader.warn(f"the version '{camel}' is not known; the file is read as {CAMEL}", "camel")
    return camel


def read_tags(reader: Reader) -> tuple[dict[str, str], ...]:
    """Return the tags at `tags`."""
    tags = [tag for tag in reader.items("tags") if tag.is_mapping(TAG_KEYS)]
    return tuple({key: tag.loose_text(key) for key in TAG_KEYS} for tag in tags)


def read_parameters(reader: Reader) -> Parameters:
    """Return the parameters at `parameters`: a list, or the name of a Type."""
    inner = reader.inner("parameters")
    if inner is None:
        return Parameters()
    if isinstance(inner.node.value, dict):
        inner.is_mapping(REFERENCE_KEYS)
        inner.require("$ref", "name the Type that describes the payload, or list the parameters")
        return Parameters(ref=inner.text("$ref"))
    readers = [item for item in reader.items("parameters") if item.is_mapping(PARAMETER_KEYS)]
    listed = tuple(_parameter(item) for item in readers)
    distinct(readers, (parameter.name for parameter in listed), "parameter")
    return Parameters(listed=listed)


def _parameter(reader: Reader) -> Parameter:
    reader.require("name", "name the field of the payload")
    return Parameter(
        name=reader.text("name"),
        type=reader.text("type", "string"),
        title=reader.text("title"),
        description=reader.text("description"),
        format=reader.text("format"),
        required=reader.flag("required"),
    )
