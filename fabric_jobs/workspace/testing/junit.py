"""Writes the results of cases as a JUnit file, for CI systems."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from fabric_jobs.workspace.compare import ABSENT
from fabric_jobs.workspace.testing.bench import Result

# Characters that XML 1.0 does not allow, not even escaped.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
CHILD = {"failed": "failure", "error": "error"}


def junit_text(results: Sequence[Result]) -> str:
    """Return the results as the text of a JUnit file: one suite for each skill or agent, one case for each message."""
    root = ElementTree.Element("testsuites", _totals(results))
    for (kind, name), group in groupby(results, key=lambda result: (result.case.kind, result.case.name)):
        members = list(group)
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(f"{kind}s.{name}"), **_totals(members)})
        for result in members:
            suite.append(_case(result))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(result: Result) -> ElementTree.Element:
    case = result.case
    name = "/".join(filter(None, (case.entry, case.case))) or case.name
    facts = {"classname": _clean(f"{case.kind}s.{case.name}"), "name": _clean(name), "time": f"{result.seconds:.3f}"}
    element = ElementTree.Element("testcase", facts)
    if not result.is_good:
        summary = result.message.split("\n")[0] or "the response is not as expected"
        child = ElementTree.SubElement(element, CHILD[result.status], {"message": _clean(summary)})
        child.text = _clean("\n".join(_lines(result)))
    return element


def _lines(result: Result) -> Iterable[str]:
    yield from [result.message] if result.message else []
    for difference in result.differences:
        yield difference.path
        yield f"  expected: {_shown(difference.expected)}"
        yield f"  actual:   {_shown(difference.actual)}"


def _shown(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _totals(results: Sequence[Result]) -> dict[str, str]:
    counts = {word: sum(result.status == status for result in results) for status, word in _COUNTED.items()}
    seconds = sum(result.seconds for result in results)
    return {
        "tests": str(len(results)),
        **{word: str(count) for word, count in counts.items()},
        "time": f"{seconds:.3f}",
    }


_COUNTED = {"failed": "failures", "error": "errors"}


def _clean(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
