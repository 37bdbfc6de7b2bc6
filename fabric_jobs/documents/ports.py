"""The fields that skills and agents share: version, tags, and the parameters of inputs and outputs."""

from __future__ import annotations

from fabric_jobs.definitions import Parameter, Parameters, Skill
from fabric_jobs.documents.fields import FLAG, LOOSE_TEXT, NULL, TEXT, TITLE, Field, Kind, Shape, listed
from fabric_jobs.documents.reader import Reader, distinct


def _camel(reader: Reader, field: Field) -> str:
    camel = reader.loose_text(field.key, field.default)
    if camel != field.default:
        reader.warn(f"the version '{camel}' is unknown; the file is read as {field.default}", field.key)
    return camel


def _parameters(reader: Reader, field: Field) -> Parameters:
    inner = reader.inner(field.key)
    if inner is None:
        return Parameters()
    if isinstance(inner.node.value, dict):
        return REFERENCE.read(inner) or Parameters()
    found = [(item, PARAMETER.read(item)) for item in reader.items(field.key)]
    known = [(item, parameter) for item, parameter in found if parameter]
    distinct([item for item, _ in known], (parameter.name for _, parameter in known), "parameter")
    return Parameters(listed=tuple(parameter for _, parameter in known))


TAG = Shape(
    "tag",
    "A label for people and programs that list definitions.",
    Field("label", LOOSE_TEXT, "The text that is shown."),
    Field("value", LOOSE_TEXT, "The text that is compared."),
)
PARAMETER = Shape(
    "parameter",
    "One field of the payload: documentation for the caller; it is not checked when the skill runs.",
    Field("name", TEXT, "The field of the payload.", required=True, missing="name the field of the payload"),
    Field("type", TEXT, "Its type, such as string, number or object.", default=Parameter.type),
    TITLE,
    Field("description", TEXT, "What the field is for."),
    Field("format", TEXT, "More about the type, such as date-time."),
    Field("required", FLAG, "Whether the field has to be there.", default=Parameter.required),
    make=Parameter,
)
REFERENCE = Shape(
    "",
    "A Type that is saved in the project.",
    Field(
        "$ref",
        TEXT,
        "The name of the Type.",
        required=True,
        missing="name the Type that describes the payload, or list the parameters",
        attribute="ref",
    ),
    make=Parameters,
)
CAMEL = Field(
    "camel",
    LOOSE_TEXT._replace(read=_camel),
    "The version of the format; another one is a warning.",
    default=Skill.camel,
)
TAGS = listed(TAG)._replace(words="list of `{label, value}`")
PARAMETERS = Field(
    "parameters",
    Kind(
        {
            "$def": "parameters",
            "description": "The fields of the payload, or the name of a Type that lists them.",
            "anyOf": [NULL, {"type": "array", "items": PARAMETER}, REFERENCE],
        },
        "list, or `{$ref: Type}`",
        _parameters,
    ),
    "The fields of the payload. They are documentation, and are not checked when the skill runs.",
)
