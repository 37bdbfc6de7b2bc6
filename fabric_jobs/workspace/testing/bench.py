"""Runs the cases of a workspace and compares the results with the expectations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.counts import counted
from fabric_jobs.errors import FabricJobsError, InvalidInput, PlaceUnavailable
from fabric_jobs.scaffold.files import replace_file
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.compare import ABSENT, Difference
from fabric_jobs.workspace.payload import read_message
from fabric_jobs.workspace.target import Choice
from fabric_jobs.workspace.testing.cases import Case
from fabric_jobs.workspace.testing.expectation import EXACT, Expectation
from fabric_jobs.workspace.tree import Workspace

Follow = Callable[[str], dict[str, Any]]  # takes an activation's id, returns its record once it has ended

# passed: as expected. unchecked: it ended well, without an expectation. written: the result is the new expectation.
# failed: not as expected. error: it could not be run.
GOOD = ("passed", "unchecked", "written")
COMPARED_RECORDS = 1_000_000  # longer responses do not fit in memory
COMPARED_LETTERS = 10_000  # dead letters of a case that are compared one by one
SAID_LETTERS = 5  # causes of unexpected dead letters that are printed
KEPT_RUNS = 200  # the newest runs, in the state of the tests


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a case."""

    case: Case
    status: str  # passed | unchecked | written | failed | error
    seconds: float
    activation_id: str = ""  # empty if none was started
    message: str = ""  # the problem, apart from the differences
    differences: tuple[Difference, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the case did not fail."""
        return self.status in GOOD

    @property
    def is_other_response(self) -> bool:
        """Whether the response differs, so that `--update` would write it."""
        return self.status == "failed" and any(found.path.startswith("response") for found in self.differences)

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON value; a difference omits `expected` or `actual` if that side has no value."""
        return {
            "case": self.case.label,
            "kind": self.case.kind,
            "name": self.case.name,
            "entry": self.case.entry,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "activationId": self.activation_id or None,
            "message": self.message,
            "differences": [
                {key: value for key, value in asdict(difference).items() if value is not ABSENT}
                for difference in self.differences
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Runs cases, one after the other."""

    choice: Choice
    workspace: Workspace
    follow: Follow
    update: bool  # write results as the new expectations
    look: str = ""  # options for a command to find the runs, which are not in the user's own state

    @property
    def gateway(self) -> Gateway:
        """The gateway that runs them."""
        return self.choice.gateway

    def run(self, case: Case) -> Result:
        """Run a case; its problems are part of the result. Raise PlaceUnavailable if nothing can be run."""
        started = time.monotonic()
        activation_id = ""
        try:
            expectation = self._expectation(case)
            params = read_message(case.message)
            activation_id = verbs.start(
                self.gateway, self.choice.target(case.kind, case.name, case.entry), params, self.workspace.root
            )
            found = self._verdict(case, self.follow(activation_id), expectation)
        except PlaceUnavailable:
            raise
        except FabricJobsError as error:
            found = {"status": "error", "message": str(error)}
        return Result(case=case, seconds=time.monotonic() - started, activation_id=activation_id, **found)

    def tidy(self) -> None:
        """Delete old runs from a state that is only for tests; what takes too long is left for the next time."""
        old = self.gateway.get("/state/prune", keepLast=KEPT_RUNS, deadLetters="true")["activations"]
        if old:
            ids = [row["activationId"] for row in old]
            self.gateway.post("/state/prune", {"activations": ids, "deadLetters": True})

    def _expectation(self, case: Case) -> Expectation | None:
        if case.problem:
            raise InvalidInput(case.problem)
        return case.expectation()

    def _verdict(self, case: Case, record: Mapping[str, Any], expected: Expectation | None) -> dict[str, Any]:
        """Return status, message and differences of a run. A failure is never written as an expectation."""
        if record["status"] != "COMPLETE":
            if expected is None or not expected.is_failure:
                return {"status": "failed", "message": self._failure(record)}
            found = expected.of_failure(record) + self._letter_differences(record, expected)
            return {"status": "failed" if found else "passed", "differences": found}
        if expected is not None and expected.is_failure:
            return {"status": "failed", "message": "it ended COMPLETE, but expected.json expects a failure."}
        dead = record.get("deadLetters", 0)
        if dead and (expected is None or expected.letters is None):
            return {"status": "failed", "message": self._unexpected(record, dead)}
        if expected is None and not self.update:
            return {"status": "unchecked"}
        if expected is not None and (found := self._letter_differences(record, expected)):
            return {"status": "failed", "differences": found}
        return self._compared(case, self._response(record), expected)

    def _failure(self, record: Mapping[str, Any]) -> str:
        error = activations.failure(record)
        return f"{error.message}\n{error.hint} {self.look}".strip() if error.hint else error.message

    def _letter_differences(self, record: Mapping[str, Any], expected: Expectation) -> tuple[Difference, ...]:
        if expected.letters is None:
            return ()
        found = self._letters(record["activationId"]) if expected.letters.each else []
        return expected.letters.differences(record.get("deadLetters", 0), found)

    def _letters(self, activation_id: str) -> list[dict[str, Any]]:
        """Return the dead letters of a run, with their payloads."""
        listed = self.gateway.get("/deadletters", activationId=activation_id, limit=COMPARED_LETTERS)["deadLetters"]
        return [self.gateway.get(f"/deadletters/{row['id']}")["deadLetter"] for row in listed]

    def _unexpected(self, record: Mapping[str, Any], count: int) -> str:
        """Return a message about unexpected dead letters, with the causes of the first ones."""
        listed = self.gateway.get("/deadletters", activationId=record["activationId"], limit=SAID_LETTERS)
        causes = [f"  {row['skillName']}: {row['cause']}" for row in listed["deadLetters"]]
        what = counted(count, "record", "became a dead letter", "became dead letters")
        more = [f"  … and {count - len(causes):,} more"] if count > len(causes) else []
        hint = f'If that is right, add to expected.json: "$deadLetters": {count}'
        return "\n".join([f"{what}:", *causes, *more, hint])

    def _compared(self, case: Case, response: Any, expected: Expectation | None) -> dict[str, Any]:
        found = expected.of_response(response) if expected is not None else ()
        if expected is not None and not found:
            return {"status": "passed"}
        if not self.update:
            return {"status": "failed", "differences": found}
        renewed = (expected or Expectation(kind=EXACT, value=None)).renewed(response)
        replace_file(case.expected, renewed.text().encode())
        return {"status": "written", "differences": found}

    def _response(self, record: Mapping[str, Any]) -> Any:
        if activations.is_long(record) and record["response"]["count"] > COMPARED_RECORDS:
            raise InvalidInput(
                f"the response has {record['response']['count']:,} records, but at most {COMPARED_RECORDS:,} can be compared.",
                hint="Use a smaller message.",
            )
        return activations.response_of(self.gateway, record, limit=COMPARED_RECORDS)
