"""Parses the output of a build: the current step and, after a failure, all output of the failed step.

It understands three formats: BuildKit in the docker command, buildx, and the old builder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

OF_STEP = re.compile(r"#(\d+) (.*)")  # #7 [2/3] RUN pip install …
SAID = re.compile(r"\d+\.\d+(?: |$)(.*)")  # 0.295 Collecting pandas
ENDED = re.compile(r"(?:DONE|CACHED|CANCELED)\b")
STATUS = re.compile(
    r"sha256:|\.\.\.$|transferring |extracting |resolve |exporting |writing |naming |unpacking |sending "
)
OLD_STEP = re.compile(r"Step (\d+/\d+) : (.*)")
OLD_NOISE = re.compile(
    r" ---> |Removing intermediate container |Sending build context |DEPRECATED:|\s+(?:Install|BuildKit|env)|$"
)
FAILED = "ERROR: "
RULER = "------"
UNSHOWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")  # colours and cursor movements


@dataclass
class _Step:
    """One step, and the output of its program."""

    name: str
    lines: list[str] = field(default_factory=list)
    error: str = ""


class BuildOutput:
    """Collects the lines of one build as they arrive."""

    def __init__(self, *, is_buildkit: bool) -> None:
        self.step = ""  # for display: the current step
        self._steps: dict[str, _Step] = {}
        self._is_repeating = False  # between two rulers BuildKit repeats the last lines of a step
        self._others: list[str] = []  # lines outside any step, with the reason if no step failed
        self._take: Callable[[str], None] = self._take_new if is_buildkit else self._take_old

    def take(self, line: str) -> None:
        """Process one line."""
        self._take(UNSHOWN.sub("", line))

    def failure(self) -> str:
        """Return what to show of a failed build: all output of failed steps, else the lines outside any step."""
        failed = [step for step in self._steps.values() if step.error]
        if not failed:
            return "\n".join(self._others).strip("\n")
        return "\n".join(line for step in failed for line in (step.name, *step.lines, step.error))

    def _take_new(self, line: str) -> None:
        if line == RULER:
            self._is_repeating = not self._is_repeating
            return
        if self._is_repeating:
            return
        found = OF_STEP.match(line)
        if found is None:
            self._others += [line] if line or self._others else []
            return
        number, rest = found[1], found[2]
        step = self._steps.get(number)
        if step is None:
            self._steps[number] = _Step(rest)
            self.step = rest
        elif rest.startswith(FAILED):
            step.error = rest.removeprefix(FAILED)
        elif ENDED.match(rest):
            step.lines.clear()  # its output is no longer needed
        elif said := SAID.fullmatch(rest):
            step.lines.append(said[1])
            self.step = step.name
        elif not STATUS.match(rest):
            self.step = step.name

    def _take_old(self, line: str) -> None:
        found = OLD_STEP.match(line)
        if found is not None:
            self.step = f"[{found[1]}] {found[2]}"
            self._steps = {}
            self._others = [self.step]
        elif not OLD_NOISE.match(line):
            self._others.append(line)
