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
    "test_secrets.py::test_a_backup_has_the_secrets_but_not_their_key",
    "test_secrets.py::test_a_killed_owner_has_what_was_acknowledged",
    "test_secrets.py::test_a_value_keeps_its_inner_line_breaks_and_blanks",
    "test_secrets.py::test_a_wrong_key_ends_the_start_and_changes_nothing",
    "test_secrets.py::test_an_address_that_is_a_secret_is_hidden_in_errors",
    "test_secrets.py::test_an_external_api_gets_the_value",
    "test_secrets.py::test_an_owner_without_secrets_does_not_load_their_library",
    "test_secrets.py::test_at_a_terminal_the_value_is_asked_for_twice_and_not_shown",
    "test_secrets.py::test_set_list_and_delete",
    "test_secrets.py::test_the_key_may_be_elsewhere",
    "test_secrets.py::test_without_its_secret_nothing_is_invoked",
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
