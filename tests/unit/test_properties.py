"""Properties: the order in which they are merged, the names that mean something, and the headers that are passed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.definitions import Action, SkillReference
from fabric_jobs.documents import agent_from_json, skill_from_json
from fabric_jobs.engine.calls.target import DAEMON_PORT, DaemonTarget, ExternalTarget
from fabric_jobs.errors import InvalidInput
from fabric_jobs.routing import NEVER_PASSED, Node, compile_agent, compile_skill
from tests.factories import agent_document, skill_document

VALUES = st.dictionaries(st.sampled_from(["url", "daemon.path", "headers.X", "mine"]), st.integers() | st.text())
LAYERS = ("default", "reference", "agent", "invocation")  # the last one wins


def node(**properties: Any) -> Node:
    return node_of(properties)


def node_of(properties: dict[str, Any], port: str = "") -> Node:
    action = Action(name="a", port=port)
    return Node(key="a", ref_id="a", skill_name="a", input="i", action=action, output="o", properties=properties)


def merged(default: Any, reference: Any, agent: Any, invocation: Any) -> dict[str, Any]:
    """Return the properties in a message to a skill of an agent."""
    document = skill_document("s")
    document["properties"] = [{"name": name, "defaultValue": value} for name, value in default.items()]
    made = agent_from_json(agent_document(["s"], [("input", "s.in"), ("s.out", "output")]))
    made = replace(made, skills=(SkillReference(skill_name="s", ref_id="s", properties=reference),), properties=agent)
    (found,) = compile_agent(made, {"s": skill_from_json(document)}, "start", invocation).nodes.values()
    return dict(found.properties)


@given(VALUES, VALUES, VALUES, VALUES)
def test_a_later_layer_wins_for_each_name(default: Any, reference: Any, agent: Any, invocation: Any) -> None:
    layers = (default, reference, agent, invocation)
    found = merged(*layers)
    assert found.keys() == {name for layer in layers for name in layer}
    for name, value in found.items():
        assert value == [layer[name] for layer in layers if name in layer][-1]


@pytest.mark.parametrize("number", range(1, len(LAYERS)))
def test_each_layer_wins_over_the_one_before(number: int) -> None:
    layers: list[dict[str, Any]] = [{}, {}, {}, {}]
    layers[number - 1]["x"], layers[number]["x"] = "before", "after"
    assert merged(*layers) == {"x": "after"}


def test_a_skill_invoked_alone_has_its_defaults_and_the_invocation() -> None:
    document = skill_document("s")
    document["properties"] = [{"name": "x", "defaultValue": 1}, {"name": "y", "defaultValue": 1}, {"name": "none"}]
    (found,) = compile_skill(skill_from_json(document), "in", {"y": 2, "z": 3}).nodes.values()
    assert found.properties == {"x": 1, "y": 2, "z": 3}


# daemon.*


def test_a_daemon_is_called_by_post_at_invoke_on_5000() -> None:
    target = DaemonTarget(node=node(), envelope={}, headers={})
    request = target.request("h:1")
    assert (request.method, request.path, target.port) == ("POST", "/invoke", DAEMON_PORT)
    assert (DAEMON_PORT, request.headers) == (5000, {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("path", "asked"), [("x/y", "/x/y"), ("/x", "/x"), ("x?a=1", "/x?a=1"), ("x y", "/x%20y"), ("", "/invoke")]
)
@pytest.mark.parametrize("method", ["PUT", "put"])
def test_daemon_path_and_method(path: str, asked: str, method: str) -> None:
    given = {"daemon.path": path, "daemon.method": method}
    request = DaemonTarget(node=node_of(given), envelope={}, headers={}).request("h")
    assert (request.method, request.path) == ("PUT", asked)


@pytest.mark.parametrize(
    ("value", "declared", "port"),
    [
        ("8080", "", 8080),
        (8080, "9000", 8080),
        (None, "9000", 9000),
        ("", "9000", 9000),
        (None, "", 5000),
        (65535, "", 65535),
    ],
)
def test_daemon_port_wins_over_the_actions(value: Any, declared: str, port: int) -> None:
    assert DaemonTarget(node=node_of({"daemon.port": value}, declared), envelope={}, headers={}).port == port


@pytest.mark.parametrize("value", ["x", "80 80", "70000", "-1", "1.5", "٣", True, [80], "8080\n"])
def test_what_is_no_port_is_refused_without_its_value(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"'daemon\.port' is not the number of a port") as error:
        _ = DaemonTarget(node=node_of({"daemon.port": value}), envelope={}, headers={}).port
    assert repr(value) not in str(error.value)


# url, path, method


@pytest.mark.parametrize(
    ("url", "path", "asked"),
    [
        ("http://h", "", "/"),
        ("http://h/", "x", "/x"),
        ("http://h", "/x", "/x"),
        ("http://h/a", "x", "/a/x"),
        ("http://h/a/", "/x/", "/a/x/"),
        ("http://h/a", "", "/a"),
        ("http://h/a?k=1", "", "/a?k=1"),
        ("http://h/a?k=1", "b", "/a/b?k=1"),
        ("http://h/a?k=1", "b?l=2", "/a/b?k=1&l=2"),
        ("http://h/a", "?l=2", "/a?l=2"),
        ("http://h/a#part", "x", "/a/x"),
        ("http://h/a", "http://evil/x", "/a/http://evil/x"),
        ("http://h/a", "//evil/x", "/a/evil/x"),
        ("http://h/a", "x:y", "/a/x:y"),
        ("http://h/a b", "ä%20c?d=e f", "/a%20b/%C3%A4%20c?d=e%20f"),
    ],
)
def test_url_and_path_are_joined(url: str, path: str, asked: str) -> None:
    target = ExternalTarget.of(node(url=url, path=path), {})
    assert (target.request.path, target.server.host, target.server.port) == (asked, "h", 80)


@given(st.text(st.characters(codec="ascii", exclude_characters="\r\n\t"), max_size=20))
def test_no_path_leads_to_another_server(path: str) -> None:
    target = ExternalTarget.of(node(url="http://h:81/a", path=path), {})
    assert (target.server.host, target.server.port, target.host) == ("h", 81, "h:81")
    assert target.base.startswith("/a")


@pytest.mark.parametrize(("method", "sends"), [(None, True), ("get", False), ("DELETE", False), ("put", True)])
def test_the_method_is_post_unless_said_and_get_has_no_body(method: str | None, sends: bool) -> None:
    target = ExternalTarget.of(node(url="http://h", method=method), {})
    assert target.request.method == (method or "post").upper()
    assert target.body(b"1") == (b"1" if sends else b"")
    assert ("Content-Type" in target.request.headers) is sends


# headers.*


def sent(properties: dict[str, Any], given: dict[str, str]) -> list[dict[str, str]]:
    """Return the headers of calls to a daemon and to an API, in lower case, but for those of every call."""
    found = node_of({"url": "http://h", **properties})
    requests = (
        DaemonTarget(node=found, envelope={}, headers=given).request("h"),
        ExternalTarget.of(found, given).request,
    )
    always = ("content-type", "accept", "accept-encoding")
    return [
        {name.lower(): value for name, value in request.headers.items() if name.lower() not in always}
        for request in requests
    ]


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), (3, "3"), (1.5, "1.5"), (True, "true"), ("", ""), ({"a": 1}, '{"a":1}')]
)
def test_a_property_becomes_a_header(value: Any, text: str) -> None:
    assert sent({"headers.X-A": value, "headersX": 1, "header.Y": 1}, {}) == [{"x-a": text}] * 2


def test_a_property_that_is_null_is_no_header() -> None:
    assert sent({"headers.X-A": None}, {}) == [{}, {}]


@pytest.mark.parametrize("name", ["X-A", "x-a", "X-a"])
def test_a_header_of_the_invocation_wins(name: str) -> None:
    assert sent({"headers.X-A": "own", "headers.X-B": "own"}, {name: "given"}) == [{"x-a": "given", "x-b": "own"}] * 2


@pytest.mark.parametrize(
    "properties",
    [{"headers.X-A": "a\nb"}, {"headers.X A": "a"}, {"headers.": "a"}, {"headers.X-A": "a\x00"}],
)
def test_what_http_forbids_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="HTTP forbids"):
        sent(properties, {})


# allowedHeaders


def allowed(value: Any, *, of: str = "agent") -> tuple[str, ...]:
    """Return the headers that are passed on; `of` says in which layer the property is."""
    document = skill_document("s")
    layers: dict[str, dict[str, Any]] = {layer: {} for layer in LAYERS}
    layers[of]["allowedHeaders"] = value
    document["properties"] = [{"name": name, "defaultValue": one} for name, one in layers["default"].items()]
    made = agent_from_json(agent_document(["s"], [("input", "s.in"), ("s.out", "output")]))
    reference = SkillReference(skill_name="s", ref_id="s", properties=layers["reference"])
    made = replace(made, skills=(reference,), properties=layers["agent"])
    return compile_agent(made, {"s": skill_from_json(document)}, "start", layers["invocation"]).headers


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("X-A", ("X-A",)),
        (" X-A ,x-b,,", ("X-A", "x-b")),
        ("x-a, X-A", ("X-A",)),
        (["X-A", "x-b"], ("X-A", "x-b")),
        ("", ()),
        (None, ()),
        ("Authorization, X-A", ("X-A",)),
        (", ".join(NEVER_PASSED).upper(), ()),
    ],
)
def test_allowed_headers_of_an_agent(value: Any, names: tuple[str, ...]) -> None:
    assert allowed(value) == names


@pytest.mark.parametrize("layer", ["default", "reference", "invocation"])
def test_only_the_agent_says_which_headers_are_passed_on(layer: str) -> None:
    assert allowed("X-A", of=layer) == ()


def test_a_skill_invoked_alone_says_so_by_its_default_but_no_caller_can() -> None:
    document = skill_document("s")
    document["properties"] = [{"name": "allowedHeaders", "defaultValue": "X-A"}]
    skill = skill_from_json(document)
    assert compile_skill(skill, "in", {"allowedHeaders": "X-B"}).headers == ("X-A",)
