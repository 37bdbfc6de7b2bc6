"""Whatever goes wrong with the class of an API, the job ends, its status says why, and no item is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.apis import Apis, letters_of
from tests.acceptance.live import Live, until

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


def test_a_worker_that_returns_after_its_lease_ran_out_is_not_counted(apis: Apis) -> None:
    """It is stopped with a batch in hand, and goes on when another one has handled that batch."""
    apis.live.environment["FABRIC_JOBS_LEASE_SECONDS"] = "2"
    apis.kill_owner()
    notes = apis.live.root / "notes"
    apis.handler(
        "sleepy",
        """
        import json, os, signal

        class Handler:
            def __init__(self, config):
                self.notes = config["notes"]

            def handle_batch(self, payload):
                if payload == [0] and not os.path.exists(self.notes + ".stopped"):
                    with open(self.notes + ".stopped", "w") as file:
                        file.write(str(os.getpid()))
                    os.kill(os.getpid(), signal.SIGSTOP)
                with open(self.notes, "a") as file:
                    file.write(json.dumps(payload) + "\\n")
        """,
    )
    job_id = apis.items("sleepy", list(range(6)), workers=2, config={"notes": str(notes)})

    def handled() -> list[str]:
        return notes.read_text().splitlines() if notes.exists() else []

    until(lambda: "[0]" in handled(), "another worker handles the batch")
    os.kill(int(Path(f"{notes}.stopped").read_text()), signal.SIGCONT)
    ended = apis.ended("sleepy", job_id)
    assert (ended["batch_metrics"]["succeeded"], ended["batch_metrics"]["failed"]) == (6, 0)
    assert ended["status"] == "succeeded"
    (row,) = apis.live.get(f"/jobs/{job_id}/batches")["batches"]
    assert (row["first"], row["attempts"], row["lost"], row["state"]) == (0, 2, 1, "succeeded")
    assert sorted(handled()) == ["[0]", "[0]", *(f"[{n}]" for n in range(1, 6))]
