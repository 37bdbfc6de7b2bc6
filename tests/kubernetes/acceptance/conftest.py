"""The local acceptance suite in pods; what is left out is listed here, with the reasons."""

from __future__ import annotations

import pytest

from tests.docker.conftest import ELSEWHERE

# Whole modules that are not repeated here: test_record_files (pods have no files of records); test_plain_http (its programs need
# `requests`, which the base image does not have); test_batches, test_workers, test_calls, test_classes, test_container_apis and
# test_storm (such pods have tests of their own in tests/kubernetes); and what is about the command, the workspace, images, the
# state or HTTP, which is the same whatever runs the programs.
LEFT_OUT = {
    "many pods that show no more than other tests, or the same for every executor": ELSEWHERE,
    "programs that an image has to be built for; `demo --executor kubernetes` shows that": (
        "test_skills.py::test_a_generated_job_runs_at_once",
        "test_skills.py::test_every_template_runs_with_its_own_message[send-message]",
        "test_skills.py::test_every_template_runs_with_its_own_message[stream]",
        "test_skills.py::test_generated_skills_chain_to_an_agent_that_runs",
        "test_skills.py::test_the_program_comes_from_the_dockerfile_without_a_command",
        "test_routing.py::test_a_field_of_the_payload_chooses_the_action_and_conditions_choose_the_wire",
        "test_routing.py::test_a_skill_with_two_inputs_runs_what_each_of_them_names",
        "test_failures.py::test_a_skill_that_is_deleted_meanwhile_fails_in_words",
        "test_failures.py::test_an_action_without_a_program_is_refused_with_what_to_do",
        "test_secrets.py::test_a_daemon_gets_the_value",
        "test_secrets.py::test_what_a_daemon_refuses_with_is_hidden",
    ),
    "pods do not see the workspace": (
        "test_failures.py::test_a_caller_over_http_has_the_workspace_that_the_skill_is_in",
    ),
    "children end with their pod": ("test_logs.py::test_what_a_child_prints_after_the_end_is_kept_in_the_log",),
    "half a minute each, for what the executor's own tests show": (
        "test_dead_letters.py::test_a_stream_goes_on_behind_the_records_that_it_dies_of[kill]",
        "test_dead_letters.py::test_the_other_messages_of_a_job_go_on[kill]",
        "test_streams.py::test_one_worker_keeps_the_order_of_messages",
    ),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests in LEFT_OUT."""
    every = tuple(test for tests in LEFT_OUT.values() for test in tests)
    here = [item for item in items if item.nodeid.startswith("tests/kubernetes/acceptance/")]
    left_out = [item for item in here if item.nodeid.endswith(every)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
