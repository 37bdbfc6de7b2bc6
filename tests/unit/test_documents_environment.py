"""The forms of `environmentVariables`."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.documents import parse_skill, skill_from_json
from fabric_jobs.documents.environment import parse_environment
from fabric_jobs.errors import InvalidDefinition


def environment(value: object) -> dict[str, str]:
    return (
        skill_from_json({"name": "a", "actions": [{"name": "a", "environmentVariables": value}]}).actions[0].environment
    )


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        ('"TEST"="value"', {"TEST": "value"}),
        ('"A"="1","B"="x,y = z"', {"A": "1", "B": "x,y = z"}),
        ("A=1, B = two words ,", {"A": "1", "B": "two words"}),
        ("URL=http://x/?a=b", {"URL": "http://x/?a=b"}),
        (r'"A"="say \"hi\" to C:\dir \\"', {"A": 'say "hi" to C:\\dir \\'}),
        ("A=", {"A": ""}),
        ("", {}),
        (None, {}),
        (
            {"A": 1, "B": True, "C": None, "D": "x,y", "E": 0.5},
            {"A": "1", "B": "true", "C": "", "D": "x,y", "E": "0.5"},
        ),
    ],
)
def test_forms(value: object, variables: dict[str, str]) -> None:
    assert environment(value) == variables


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("A", 'expected "NAME"="value" pairs joined by commas, but found: A'),
        ('A=1,"B', 'expected "NAME"="value" pairs joined by commas, but found: "B'),
        ("1A=x", "'1A' is not a valid variable name"),
        ("A=1,A=2", "a variable is set twice"),
        ({"1A": "x"}, "'1A' is not a valid variable name"),
        ({"A": ["x"]}, "this is a list, but must be text"),
        (["A=1"], "this is a list, but must be a mapping"),
    ],
)
def test_what_is_no_environment(value: object, message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        environment(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("1.10", "a number"), ("1", "a number"), ("0x1F", "a number"), ("1e3", "a number"), ("True", "a boolean")],
)
def test_a_file_has_to_quote_what_is_no_text(value: str, kind: str) -> None:
    text = f"name: a\nactions:\n- name: a\n  environmentVariables:\n    VERSION: {value}\n"
    with pytest.raises(InvalidDefinition) as caught:
        parse_skill(text, "skill.yaml")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("skill.yaml", 5, 14)
    assert problem.message == f'{value} is {kind}, but a variable must be text; put it in quotes: VERSION: "{value}"'
    quoted, _ = parse_skill(text.replace(value, f'"{value}"'), "skill.yaml")
    assert quoted.actions[0].environment == {"VERSION": value}


def test_a_rule_that_matches_a_number_with_another_spelling_is_a_warning() -> None:
    target = "{action: a, runtime: cortex/jobs, output: o}"
    rules = f"{{field: v, default: {target}, rules: [{{match: 1.10, action: a, runtime: cortex/jobs, output: o}}]}}"
    text = f"name: a\nactions: [{{name: a}}]\noutputs: [{{name: o}}]\ninputs:\n- name: i\n  routing: {rules}\n"
    _, problems = parse_skill(text, "skill.yaml")
    assert '1.10 is the number 1.1 here; put it in quotes to keep the text: "1.10"' in [p.message for p in problems]
    _, problems = parse_skill(text.replace("1.10", "1.5"), "skill.yaml")
    assert not [p.message for p in problems if "1.5" in p.message]


def written(variables: dict[str, str]) -> str:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    return ",".join(f"{quoted(name)}={quoted(value)}" for name, value in variables.items())


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(st.dictionaries(NAMES, st.text(), max_size=5))
def test_the_string_form_reads_back(variables: dict[str, str]) -> None:
    assert dict(parse_environment(written(variables))) == variables
    assert environment(written(variables)) == environment(variables)


@given(st.text() | st.text('AB="\\, '))
def test_any_text_is_pairs_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        variables = dict(parse_environment(text))
        assert parse_environment(written(variables)) == list(variables.items())
