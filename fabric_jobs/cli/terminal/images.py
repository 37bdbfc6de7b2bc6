"""The display of builds and pushes: one row for each image, and docker's whole output if a build failed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fabric_jobs import sizes
from fabric_jobs.cli.terminal.display import Display, Row
from fabric_jobs.durations import measured

if TYPE_CHECKING:
    from fabric_jobs.images.push import Pushing
    from fabric_jobs.workspace.build import BuildStatus, PlannedBuild
    from fabric_jobs.workspace.publishing.images import PlannedImage


def label(image: PlannedBuild | PlannedImage) -> str:
    """Return the label of an image: its skill, and its action if that has another name."""
    return image.skill if image.skill == image.action else f"{image.skill} {image.action}"


def show_builds(display: Display, builds: Sequence[BuildStatus]) -> None:
    """Show the builds; print failures once and, without a terminal, every change."""
    for index, one in enumerate(builds):
        if one.state == "failed":
            display.once((index, one.state), f"{label(one.target)} failed:\n{one.failure}\n")
        elif one.state != "waiting":
            took = f" in {measured(one.seconds)}" if one.state == "built" else " …" if one.state == "building" else ""
            _tell(display, (index, one.state), f"{label(one.target)}: {one.state}{took}")
    display.show([_row(label(one.target), one.state, one.seconds, note=one.step) for one in builds])


class Pushes:
    """Shows the progress of pushes."""

    def __init__(self, display: Display, images: Iterable[PlannedImage]) -> None:
        self._display = display
        # Actions may share an image, which is pushed once, under the label of the reported action.
        self._rows = {image.reference: _row(label(image), "waiting", 0.0) for image in images if image.push}
        self._started: dict[str, float] = {}

    def update(self, image: PlannedImage, pushing: Pushing | None) -> None:
        """Show the progress of an image; None means that it is pushed."""
        name, key = label(image), image.reference
        took = time.monotonic() - self._started.setdefault(key, time.monotonic())
        _tell(self._display, key, f"{name}: pushing {image.reference} …")
        if pushing is None:
            self._rows[key] = _row(name, "pushed", took)
            _tell(self._display, (key, "pushed"), f"{name}: pushed in {measured(took)}")
        else:
            self._rows[key] = _row(name, "pushing", took, *_parts(pushing), note=pushing.note)
            if pushing.note:
                _tell(self._display, (key, pushing.note), f"{name}: {', '.join([*_parts(pushing), pushing.note])}")
        self._display.show(list(self._rows.values()))


def _tell(display: Display, key: object, text: str) -> None:
    if not (display.is_live or display.is_quiet):
        display.once(key, text)


def _row(name: str, state: str, seconds: float, *parts: str, note: str = "") -> Row:
    took = f"{measured(seconds) if seconds else '':>8}"
    is_going = state in ("building", "pushing")
    return Row(label=name, state=state, figures=(took, *parts), note=note if is_going else "", is_going=is_going)


def _parts(pushing: Pushing) -> list[str]:
    """Return the figures of a push, the most important first."""
    parts = [f"{pushing.done} of {len(pushing.layers)} layers"] if pushing.layers else ["waiting for docker"]
    if pushing.all_bytes:
        parts.append(f"{sizes.spelled(pushing.sent_bytes)} of {sizes.spelled(pushing.all_bytes)}")
    return parts
