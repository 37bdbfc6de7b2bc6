"""Runs the cases of a workspace and compares what came of them with what is expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fabric_jobs.client.gateway import Gateway
from fabric_jobs.errors import FabricJobsError, InvalidInput, PlaceUnavailable
from fabric_jobs.scaffold.files import replace_file
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.cases import Case
from fabric_jobs.workspace.compare import ABSENT, Difference
from fabric_jobs.workspace.expectation import EXACT, Expectation
from fabric_jobs.workspace.payload import read_message
from fabric_jobs.workspace.tree import Workspace

Follow = Callable[[str], dict[str, Any]]  # takes an activation's id, returns its record once it has ended

# passed: as expected. unchecked: it ended well, and nothing is expected. written: the expectation is now what came.
# failed: other than expected. error: it could not be run.
GOOD = ("passed", "unchecked", "written")
COMPARED_RECORDS = 1_000_000  # a longer response is not held in memory


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a case."""

    case: Case
    status: str  # passed | unchecked | written | failed | error
    seconds: float
    activation_id: str = ""  # empty when none was started
    message: str = ""  # what is wrong, besides the differences
    differences: tuple[Difference, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self.status in GOOD

    def document(self) -> dict[str, Any]:
        """Return it as a JSON value; a difference without `expected` or `actual` has no value on that side."""
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
    """Where cases are run, one after the other."""

    gateway: Gateway
    workspace: Workspace
    follow: Follow
    update: bool  # write what came as what is expected
    executor: str = ""  # where they run; empty: where the gateway runs things

    def run(self, case: Case) -> Result:
        """Run a case; whatever is wrong with it is part of the result. Raise PlaceUnavailable when nothing can be run."""
        started = time.monotonic()
        activation_id = ""
        try:
            expectation = self._expectation(case)
            params = read_message(case.message)
            activation_id = verbs.start(self.gateway, self._save(case), params, self.workspace.root)
            found = self._verdict(case, self.follow(activation_id), expectation)
        except PlaceUnavailable:
            raise
        except FabricJobsError as error:
            found = {"status": "error", "message": str(error)}
        return Result(case=case, seconds=time.monotonic() - started, activation_id=activation_id, **found)

    def _expectation(self, case: Case) -> Expectation | None:
        if case.problem:
            raise InvalidInput(case.problem)
        return case.expectation()

    def _save(self, case: Case) -> verbs.Target:
        save = verbs.save_skill if case.kind == "skill" else verbs.save_agent
        return save(self.gateway, self.workspace, case.name, case.entry, executor=self.executor)

    def _verdict(self, case: Case, record: Mapping[str, Any], expected: Expectation | None) -> dict[str, Any]:
        """Return status, message and differences of a run. A failure is never written as what is expected."""
        if record["status"] != "COMPLETE":
            if expected is None or not expected.is_failure:
                return {"status": "failed", "message": str(verbs.failure(record))}
            found = expected.of_failure(record)
            return {"status": "failed" if found else "passed", "differences": found}
        if expected is not None and expected.is_failure:
            return {"status": "failed", "message": "it ended COMPLETE, where expected.json expects a failure."}
        if expected is None and not self.update:
            return {"status": "unchecked"}
        return self._compared(case, self._response(record), expected)

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
        if verbs.is_long(record) and record["response"]["count"] > COMPARED_RECORDS:
            raise InvalidInput(
                f"the response has {record['response']['count']:,} records, and at most {COMPARED_RECORDS:,} are compared.",
                hint="Try a smaller message.",
            )
        return verbs.response_of(self.gateway, record, limit=COMPARED_RECORDS)
