"""A workspace whose skills run in containers, for every test."""

from __future__ import annotations

import pytest

from tests.docker.live import docker_live as docker_live
from tests.docker.live import images as images

# These need many containers without showing more than other tests, or check what is the same for every executor.
ELSEWHERE = (
    "test_dead_letters.py::test_poison_among_many_costs_no_record",
    "test_dead_letters.py::test_the_other_messages_of_a_job_go_on[_exit]",
    "test_dead_letters.py::test_the_other_messages_of_a_job_go_on[exception]",
    "test_dead_letters.py::test_the_other_messages_of_a_job_go_on[exit]",
    "test_dead_letters.py::test_a_stream_goes_on_behind_the_records_that_it_dies_of[_exit]",
    "test_dead_letters.py::test_a_stream_goes_on_behind_the_records_that_it_dies_of[exception]",
    "test_dead_letters.py::test_a_stream_goes_on_behind_the_records_that_it_dies_of[exit]",
    "test_outputs.py::test_a_response_is_one_value_an_array_or_null",
    "test_plain_http.py::test_the_fabric_call_sends_a_record[:5000]",
    "test_skills.py::test_a_workspace_is_found_from_below_and_by_option",
    "test_skills.py::test_activations_are_listed_newest_first",
    "test_skills.py::test_detach_prints_json_when_asked",
    "test_skills.py::test_tasks_are_found_by_the_name_of_their_skill_unless_there_are_several",
    "test_skills.py::test_yaml_output",
    "test_streams.py::test_a_job_is_run_once_for_each_message",
    "test_streams.py::test_a_large_fan_of_messages_goes_through_two_levels",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests in ELSEWHERE."""
    left_out = [item for item in items if item.nodeid.startswith("tests/docker/") and item.nodeid.endswith(ELSEWHERE)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
