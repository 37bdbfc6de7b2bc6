"""The checks of submissions, in their order and with their words; and that items keep their text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.apis import BATCH, TASK
from fabric_jobs.documents import request_text
from fabric_jobs.documents.submissions import Allowed, batch_submission, posted, task_submission
from fabric_jobs.errors import WrongRequest
from fabric_jobs.submissions import DeadLetterQueue, Submission

LIMIT = 100  # bytes of a batch
ITEM_LIST = {"items": [1, 2, 3], "batch_size": 2}
LISTER = {"s3_paths": ["s3://bucket/images/"], "includes": ["**.jpg"], "batch_size": 5}


def read(body: object, kind: str = BATCH) -> Submission:
    """Return what a body submits."""
    given = posted(body if isinstance(body, bytes) else json.dumps(body).encode(), kind)
    base = Submission(project_id="local", api_name="api", kind=kind)
    return batch_submission(given, base, Allowed(LIMIT, 50)) if kind == BATCH else task_submission(given, base)


def refused(body: object, kind: str = BATCH) -> WrongRequest:
    """Return the error that a body leads to."""
    with pytest.raises(WrongRequest) as caught:
        read(body, kind)
    return caught.value


def test_a_list_of_items_is_a_submission() -> None:
    queue = {"arn": "arn:aws:sqs:us-west-2:1:failed.fifo", "max_receive_count": 3}
    found = read(
        {
            "workers": 4,
            "timeout": 60,
            "config": {"a": [1.5]},
            "sqs_dead_letter_queue": queue,
            "item_list": ITEM_LIST,
            "batch_timeout": 1.5,
            "unknown": {"is": "ignored"},
        }
    )
    assert found == Submission(
        project_id="local",
        api_name="api",
        kind=BATCH,
        workers=4,
        batch_size=2,
        config={"a": [1.5]},
        timeout=60,
        batch_timeout=1.5,
        queue=DeadLetterQueue(queue["arn"], 3),  # type: ignore[arg-type]
        max_receive_count=3,
        items=b"1\n2\n3\n",
    )


@pytest.mark.parametrize("block", ["file_path_lister", "delimited_files"])
def test_files_are_passed_on_as_they_were_named(block: str) -> None:
    found = read(
        {"workers": 1, block: {**LISTER, "excludes": None, "format": "csv"}, "item_list": None, "timeout": None}
    )
    assert found.source == {block: {**LISTER, "format": "csv"}}
    assert (found.items, found.batch_size, found.timeout) == (b"", 5, None)


def test_a_batch_may_be_tried_again_without_a_queue() -> None:
    assert read({"workers": 1, "item_list": ITEM_LIST, "max_receive_count": 4}).max_receive_count == 4
    assert read({"workers": 1, "item_list": ITEM_LIST}).max_receive_count == 1


WRONG: list[tuple[dict[str, Any], str, str]] = [
    # Each in the order of the checks: it has all that a later check would refuse, too.
    ({"workers": 0, "timeout": 0}, "job.specify_exactly_one_key", "item_list, file_path_lister, delimited_files"),
    ({"item_list": {}, "delimited_files": {}}, "job.conflicting_fields", "item_list and delimited_files"),
    ({"file_path_lister": {}, "delimited_files": {}}, "job.conflicting_fields", "file_path_lister and delimited_files"),
    ({"item_list": {"batch_size": 0}}, "configreader.too_few_elements", "items: must contain at least 1"),
    ({"item_list": {"items": []}}, "configreader.too_few_elements", "items: must contain at least 1"),
    (
        {"item_list": {"items": [0, "x" * LIMIT], "batch_size": 0}},
        "batchapi.item_size_exceeds_limit",
        f"item 1 has {LIMIT + 2} bytes, more than the {LIMIT} that",
    ),
    (
        {"item_list": {"items": [1], "batch_size": 0}, "workers": 0},
        "configreader.must_be_greater_than_or_equal_to",
        "item_list: batch_size: 0 must be greater than or equal to 1",
    ),
    (
        {"delimited_files": {"s3_paths": [], "batch_size": -1}},
        "configreader.must_be_greater_than_or_equal_to",
        "delimited_files: batch_size: -1",
    ),
    ({"item_list": ITEM_LIST, "timeout": 0}, "configreader.must_be_greater_than_or_equal_to", "workers: 0 must be"),
    ({"item_list": ITEM_LIST, "workers": 51}, "configreader.must_be_less_than_or_equal_to", "workers: 51 must be"),
    (
        {"item_list": ITEM_LIST, "workers": 1, "timeout": 0, "sqs_dead_letter_queue": {}},
        "configreader.must_be_greater_than_or_equal_to",
        "timeout: 0 must be",
    ),
    (
        {"item_list": ITEM_LIST, "workers": 1, "sqs_dead_letter_queue": {"arn": "", "max_receive_count": 0}},
        "configreader.cannot_be_empty",
        "sqs_dead_letter_queue: arn: cannot be empty",
    ),
    (
        {"item_list": ITEM_LIST, "workers": 1, "sqs_dead_letter_queue": {"arn": "arn:x"}},
        "configreader.must_be_greater_than_or_equal_to",
        "sqs_dead_letter_queue: max_receive_count: 0",
    ),
    (
        {"file_path_lister": {"batch_size": 1}, "workers": 1},
        "configreader.too_few_elements",
        "file_path_lister: s3_paths: must contain at least 1",
    ),
    (
        {"item_list": {"items": ["y" * 40] * 5, "batch_size": 3}, "workers": 1},
        "batchapi.message_exceeds_max_size",
        "the batch of the items 0 to 2 has 130 bytes",
    ),
    (
        {"item_list": ITEM_LIST, "workers": 1, "batch_timeout": 0},
        "configreader.must_be_greater_than_or_equal_to",
        "batch_timeout",
    ),
    (
        {"item_list": ITEM_LIST, "workers": 1, "max_receive_count": 0},
        "configreader.must_be_greater_than_or_equal_to",
        "max_receive",
    ),
    (
        {
            "item_list": ITEM_LIST,
            "workers": 1,
            "max_receive_count": 2,
            "sqs_dead_letter_queue": {"arn": "a", "max_receive_count": 3},
        },
        "job.conflicting_fields",
        "it is 2 here and 3 in sqs_dead_letter_queue",
    ),
]


@pytest.mark.parametrize(("body", "kind", "said"), WRONG)
def test_the_first_thing_that_is_wrong_is_said(body: dict[str, Any], kind: str, said: str) -> None:
    error = refused(body)
    assert (error.kind, said in error.message) == (kind, True), error.message


GOOD = {"workers": 1, "item_list": ITEM_LIST}
NOT_TYPED: list[object] = [
    b"",
    b" \n",
    b"{",
    b"[]",
    b"null",
    b"no JSON",
    b'{"workers": 1} more',
    b'{"workers": NaN}',
    b'{"workers": 1, "config": {"a": Infinity}}',
    b'{"workers": 1,}',
    b"{'workers': 1}",
    b'{"workers" 1}',
    b"{1: 1}",
    b'{"item_list": {"items": [1, 2}}',
    b'{"item_list": {"items": [1,, 2]}}',
    b'{"item_list": {"items": [1, 2], "batch_size": 1}',
    b'{"item_list": {"items": [tru]}}',
    b'{"config": {"a": "\\ud800"}}',
    b'{"config": "\xff"}',
    b'{"item_list": {"items": [%s]}}' % (b"[" * 600 + b"]" * 600),
    b"[" * 100_000,
    b'{"a": %s' % (b'{"a":' * 100_000),
    {**GOOD, "workers": "1"},
    {**GOOD, "workers": 1.0},
    {**GOOD, "workers": True},
    {**GOOD, "workers": 10**9},
    {**GOOD, "timeout": "60"},
    {**GOOD, "config": []},
    {**GOOD, "config": "x"},
    {**GOOD, "item_list": []},
    {**GOOD, "item_list": {"items": "abc", "batch_size": 1}},
    {**GOOD, "item_list": {"items": {"a": 1}, "batch_size": 1}},
    {**GOOD, "item_list": {**ITEM_LIST, "batch_size": "2"}},
    {**GOOD, "sqs_dead_letter_queue": "arn"},
    {**GOOD, "sqs_dead_letter_queue": {"arn": 1, "max_receive_count": 1}},
    {**GOOD, "max_receive_count": "3"},
    {**GOOD, "batch_timeout": "3"},
    {"workers": 1, "file_path_lister": {**LISTER, "s3_paths": "s3://bucket"}},
    {"workers": 1, "file_path_lister": {**LISTER, "includes": [1]}},
    {"workers": 1, "delimited_files": {**LISTER, "excludes": {"a": 1}}},
]


@pytest.mark.parametrize("body", NOT_TYPED, ids=range(len(NOT_TYPED)))
def test_what_is_not_json_or_of_another_type_is_a_general_error(body: object) -> None:
    error = refused(body)
    assert (error.kind, "docs/howto" in error.hint) == ("error", True)
    assert refused(body).message.endswith(".")


def test_a_task_has_one_worker_and_any_timeout() -> None:
    assert read({}, TASK) == Submission(project_id="local", api_name="api", kind=TASK)
    found = read({"config": {"a": 1}, "timeout": -5, "workers": 1, "item_list": 7}, TASK)
    assert (found.config, found.timeout) == ({"a": 1}, -5)
    for workers in (0, 2, -1):
        assert refused({"workers": workers}, TASK).kind == "configreader.invalid_int"
    assert refused(b"", TASK).kind == refused({"config": 1}, TASK).kind == "error"


NUMBERS = ["1.10", "1e5", "-0", "-0.0", "12345678901234567890123", "1E+2", "0.1000000000000000055511151231257827"]


def test_numbers_keep_their_spelling_and_keys_their_order() -> None:
    items = [*NUMBERS, '{"b": 1, "a": {"z":2}}', '"\\u00e9é"', "[ 1,\n\t2 ]", '{"a":1,"a":2}']
    body = f'{{"workers": 1, "item_list": {{"batch_size": 1, "items": [{" , ".join(items)}]}}}}'
    found = read(body.encode())
    assert found.items.decode().splitlines() == [item.replace("\n", " ") for item in items]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: "\\ud" not in json.dumps(value))
INDENTS = st.sampled_from([None, 0, 1, "\t"])


@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(max_size=5), JSON, max_size=3), INDENTS, st.booleans())
def test_the_items_of_any_request_are_those_that_json_reads(
    items: list[Any], more: dict[str, Any], indent: Any, ascii_only: bool
) -> None:
    whole = {**more, "item_list": {"batch_size": 3, "items": items, "other": more}, "last": [more]}
    body = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = request_text.read(body)
    assert found.items is not None
    assert [json.loads(text) for text in found.items] == items
    assert all("\n" not in text and "\r" not in text for text in found.items)
    expected = json.loads(body)
    assert expected["item_list"].pop("items") == items
    assert found.fields == expected


@given(st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=10))
def test_it_takes_and_refuses_what_json_does(text: bytes, rest: bytes) -> None:
    for body in (text, b'{"item_list": {"items": [' + text + b"]}}", b'{"a":' + text + b"}" + rest):
        try:
            expected = json.loads(body.decode(), parse_constant=_refuse)
        except ValueError:
            expected = None
        try:
            found = request_text.read(body)
        except ValueError:
            assert not isinstance(expected, dict)
        else:
            assert isinstance(expected, dict)
            assert found.fields.keys() == expected.keys()


def _refuse(word: str) -> Any:
    raise ValueError(word)
