"""Whatever goes wrong with the class of an API, the job ends, its status says why, and no item is lost."""

from __future__ import annotations

import pytest

from tests.acceptance.apis import Apis, letters_of
from tests.acceptance.live import Live

NO_MODEL = """
class Handler:
    def __init__(self, config):
        raise ValueError("no model")

    def handle_batch(self, payload):
        pass
"""


@pytest.fixture(name="apis")
def apis_fixture(live: Live) -> Apis:
    made = Apis(live)
    made.serve()
    return made


def test_a_handler_that_raises_goes_on_with_the_next_batch(apis: Apis) -> None:
    apis.handler(
        "raises",
        """
        class Handler:
            def __init__(self, config):
                pass

            def handle_batch(self, payload):
                if 2 in payload:
                    raise ValueError("no twos")
        """,
    )
    ended = apis.ended("raises", apis.items("raises", [1, 2, 3]))
    assert (ended["status"], ended["batch_metrics"]["succeeded"]) == ("completed_with_failures", 2)
    assert [(payload, "no twos" in cause) for payload, cause in letters_of(apis)] == [(2, True)]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("sys.exit(0)", "exit"),
        ("sys.exit(3)", "exit"),
        (NO_MODEL, "no model"),
    ],
    ids=["exits 0", "exits 3", "raises"],
)
def test_a_worker_that_ends_before_it_is_ready_fails_the_job(apis: Apis, program: str, words: str) -> None:
    apis.handler("broken", f"import sys\n{program}\n")
    ended = apis.ended("broken", apis.items("broken", [1, 2, 3]))
    assert ended["status"] == "worker_error"
    assert words in "\n".join([ended["reason"], *ended.get("last_lines", ())])
