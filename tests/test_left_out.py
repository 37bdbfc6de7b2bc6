"""Lists of tests name what there is: those that are not repeated in other places, and the files of those that need a cluster."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docker.conftest import ELSEWHERE
from tests.kubernetes.acceptance.conftest import LEFT_OUT

ROOT = Path(__file__).parent.parent
MARKED = r"^pytestmark = .*needs_cluster"


@pytest.mark.parametrize("entry", sorted({*ELSEWHERE, *(entry for entries in LEFT_OUT.values() for entry in entries)}))
def test_what_is_left_out_is_a_test(entry: str) -> None:
    module, _, name = entry.partition(".py::")
    name, _, parameter = name.removesuffix("]").partition("[")
    found = getattr(importlib.import_module(f"tests.acceptance.{module}"), name)
    marks = [mark for mark in getattr(found, "pytestmark", ()) if mark.name == "parametrize"]
    ids = {str(value) for mark in marks for value in mark.kwargs.get("ids") or mark.args[1]}
    assert not parameter or parameter in ids


def test_what_needs_a_cluster_is_where_make_looks_for_it() -> None:
    (line,) = re.findall(r"^CLUSTER_TESTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    files = [path for path in ROOT.glob("tests/**/test_*.py") if re.search(MARKED, path.read_text(), re.MULTILINE)]
    assert files
    assert [path for path in files if not str(path.relative_to(ROOT)).startswith(tuple(line.split()))] == []
