"""The part of an attempt's spec about warm starts."""

from __future__ import annotations

import pytest

from tests.engine.bench import Bench
from tests.factories import invocation, save_skill, skill_document


@pytest.mark.parametrize(
    ("warm", "cold", "expected"),
    [
        (None, False, None),
        (True, False, ()),
        ({"preload": ["json", "decimal"]}, False, ("json", "decimal")),
        ({"preload": ["json"]}, True, None),
    ],
)
def test_an_action_is_warm_unless_the_invocation_is_cold(
    bench: Bench, warm: object, cold: bool, expected: tuple[str, ...] | None
) -> None:
    save_skill(bench.store, skill_document("a", warm=warm), "/files")
    bench.engine.invoke(invocation("skill", "a", cold=cold)).result()
    task = bench.running("a.in")
    assert bench.place.specs[task.attempt_name].processes[0].warm == expected
    bench.restart()
    bench.place.lose(task.attempt_name)
    bench.until(lambda: f"{task.name}-2" in bench.place.specs)
    assert bench.place.specs[f"{task.name}-2"].processes[0].warm == expected
