"""Reading YAML text: positions, scalars, and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.documents import parse_agent, parse_skill, read, to_json
from fabric_jobs.documents.nodes import from_json
from fabric_jobs.errors import InvalidDefinition

PRINTABLE = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff")
)
# In YAML 1.1 and 1.2 a key before ':' has at most 1,024 characters, escapes included.
KEYS = PRINTABLE.filter(lambda key: len(json.dumps(key)) <= 1000)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def problems_of(text: str) -> list[str]:
    with pytest.raises(InvalidDefinition) as caught:
        to_json(text, "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_values_know_their_place() -> None:
    node = read("name: a\ninputs:\n  - {name: x, title: y}\n", "x.yaml").node
    assert node.keys == {"name": (1, 1), "inputs": (2, 1)}
    assert node.locate("inputs", 0, "title") == (3, 22)
    assert node.locate("inputs", 0, "absent", "deeper") == (3, 5)
    assert node.locate("inputs", 7) == (3, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("~", None),
        ("", None),
        ("0777", "0777"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", 31),
        ("-12", -12),
        ("1.0.0", "1.0.0"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ("'2020-01-01'", "2020-01-01"),
    ],
)
def test_scalars_mean_what_they_mean_in_yaml_1_2(text: str, value: object) -> None:
    assert to_json(text, "x.yaml") == value


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (
            "a: b: c",
            "1:5",
            "the file is not YAML: unexpected ':'; put text that contains ': ' in quotes",
        ),
        ("a: 1\n\tb: 2", "2:1", "the file is not YAML: a tab indents this line; indent with spaces"),
        ("a:\n\t- b", "2:1", "the file is not YAML: a tab indents this line; indent with spaces"),
        ("\ta: 1", "1:1", "the file is not YAML: a tab indents this line; indent with spaces"),
        ("a:\n-\tb: 1\n\tc: 1", "2:2", "the file is not YAML: unexpected tab; use spaces"),
        ("a: - b", "1:4", "the file is not YAML: a list cannot begin on the line of its key; begin it on the next one"),
        ("a: 'x", "1:6", "the file is not YAML: a quote is not closed"),
        ("a: [1, 2", "2:1", "the file is not YAML: a '[' is not closed, or a ',' is missing"),
        ("a: @x", "1:4", "the file is not YAML: a value cannot start with this character; put the value in quotes"),
        (
            "- a\nb: 1",
            "2:1",
            ("the file is not YAML: the indentation does not fit the lines above, or a bracket is not closed"),
        ),
        ("a: 1\nb: \x07", "2:4", "the file contains the character U+0007, which is not allowed in text; remove it"),
        ("a: 1\n---\nb: 2", "2:1", "a second document starts here; a file must have only one"),
        ("a: *b", "1:4", "*b refers to &b, but no complete value above has this anchor"),
        ("a: &b [*b]", "1:8", "*b refers to &b, but no complete value above has this anchor"),
        ("[" * 120 + "]" * 120, "1:102", "the document is nested deeper than 100 levels, too deep for a definition"),
    ],
)
def test_text_that_is_no_document_is_one_problem(text: str, place: str, message: str) -> None:
    assert problems_of(text) == [f"x.yaml:{place}: error: {message}"]


def test_what_json_cannot_hold_is_reported_all_at_once() -> None:
    assert problems_of("a: 2020-01-01\nb: .inf\nc: 1e999\n1: d\na: 2\ne: !!binary x\n") == [
        "x.yaml:1:4: error: 2020-01-01 is a date, which is not valid in JSON; put it in quotes to make it text",
        "x.yaml:2:4: error: .inf is not a valid number in JSON; put it in quotes to make it text",
        "x.yaml:3:4: error: the number is too large; put it in quotes to make it text",
        "x.yaml:4:1: error: a key must be text; put it in quotes",
        "x.yaml:5:1: error: the key 'a' appears twice; the first is at 1:1",
        "x.yaml:6:4: error: the tag tag:yaml.org,2002:binary has no meaning here; remove it",
    ]


def test_aliases_repeat_values_and_merge_keys_fill_mappings() -> None:
    text = "a: &x {one: 1, two: 2}\nb: *x\nc: {<<: *x, two: 3}\nd: {<<: [{one: 9}, *x]}\ne: {'<<': 1}"
    assert to_json(text, "x.yaml") == {
        "a": {"one": 1, "two": 2},
        "b": {"one": 1, "two": 2},
        "c": {"one": 1, "two": 3},
        "d": {"one": 9, "two": 2},
        "e": {"<<": 1},
    }
    assert problems_of("a: {<<: 1}") == ["x.yaml:1:9: error: '<<' merges mappings, and this is not a mapping"]


def test_aliases_that_explode_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (problem,) = problems_of("\n".join(lines))
    assert problem.endswith("the document has more than 100,000 values, too many for a definition")


def test_json_with_tabs_and_escaped_pairs_is_read() -> None:
    assert to_json('{\n\t"a": "\\ud83d\\ude00",\n\t"b": "\\\\ud83d\\\\ude00"\n}', "a.json") == {
        "a": "\N{GRINNING FACE}",
        "b": "\\ud83d\\ude00",
    }


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert to_json("\ufeffname: a", "x.yaml") == {"name": "a"}


def test_an_empty_file_says_what_it_has_to_be() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_skill("# nothing\n", "skill.yaml")
    assert str(caught.value) == "skill.yaml:1:1: error: this is null, but must be a mapping"


def test_json_that_nests_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(InvalidDefinition, match="nested deeper"):
        from_json(value)


def test_a_key_that_is_too_long_for_yaml_is_an_error_with_a_place() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        to_json(json.dumps({"k" * 1100: 1}), "x.json")
    assert caught.value.problems[0].line == 1


@given(JSON_VALUES)
def test_json_text_is_read_as_json_reads_it(value: object) -> None:
    text = json.dumps({"value": value})
    assert to_json(text, "x.json") == json.loads(text)
    assert to_json(text, "x.json") == from_json(json.loads(text)).plain()


@given(st.text() | st.text("{}[]&*!|>'\"%@`#:,-?<= \n\tab1."))
def test_garbage_raises_nothing_but_invalid_definition(text: str) -> None:
    for parse in (parse_skill, parse_agent):
        with pytest.raises(InvalidDefinition) as caught:
            parse(text, "x.yaml")
        assert caught.value.problems
        assert all(problem.file == "x.yaml" and problem.line and problem.column for problem in caught.value.problems)


def test_reading_json_does_not_import_yaml() -> None:
    code = "import sys, fabric_jobs.documents as d; d.skill_from_json({'name': 'a'}); sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
