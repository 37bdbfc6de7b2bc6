"""skill.yaml → Skill, and every kind of error."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.definitions import (
    Parameter,
    Parameters,
    Resources,
    Retries,
    Routing,
    Rule,
    SkillInput,
    Target,
)
from fabric_jobs.documents import parse_skill, skill_from_json, to_json
from fabric_jobs.errors import InvalidDefinition

CASE = "Names must differ in more than case"
FULL = """\
camel: 1.0.0
name: cortex/score
title: Score
description: Scores.
tags: [{label: Team, value: 7}]
inputs:
  - name: request
    title: Request
    parameters: [{name: params, type: object, required: "true", format: any}]
    routing:
      property: mode
      default: {action: work, runtime: cortex/jobs, output: result}
      rules:
        - {match: 5, action: listen, runtime: cortex/daemons, output: error}
        - {match: call, runtime: cortex/external-api, output: error}
  - name: other
    parameters: {$ref: some-type}
    routing: {field: kind, default: {action: work, runtime: cortex/jobs, output: result}}
outputs:
  - {name: result, title: Result}
  - {name: error}
properties:
  - {name: mode, type: Enum, defaultValue: call, validValues: [call, 5], required: "False", secure: true}
actions:
  - name: work
    type: job
    image: org/work:1
    command: [python, main.py]
    jobTimeout: 60
    timeout: 60.0
    environmentVariables: '"A"="1"'
    podSpec: [{path: /nodeSelector, value: {disk: ssd}}]
    k8sResources: ['{"kind": "ConfigMap"}']
    receives: message
    response: json
    workers: 2
    retries: {limit: 3, backoff_seconds: 0.5}
    onError: continue
    resources: {cpu: 0.5, memory: 512Mi, gpu: 1}
  - {name: listen, type: daemon, port: "5000", scaleCount: 2, concurrency: 4}
datasets: [{name: d}]
deployStatus: ok
_version: 3
"""


def skill(text: str) -> Any:
    return parse_skill(text, "skill.yaml")[0]


def problems_of(text: str) -> list[str]:
    try:
        return [str(problem).removeprefix("skill.yaml:") for problem in parse_skill(text, "skill.yaml")[1]]
    except InvalidDefinition as error:
        return [str(problem).removeprefix("skill.yaml:") for problem in error.problems]


def action(line: str) -> str:
    return f"name: a\nactions:\n  - name: work\n    {line}\n"


def routed(routing: str, rest: str = "") -> str:
    actions = "actions: [{name: work}, {name: listen, type: daemon}]"
    return (
        f"name: a\n{actions}\noutputs: [{{name: response}}]\ninputs:\n  - name: request\n    routing: {routing}\n{rest}"
    )


def test_every_key_is_read() -> None:
    full, warnings = parse_skill(FULL, "skill.yaml")
    assert warnings == ()
    assert (full.name, full.title, full.tags) == ("cortex/score", "Score", ({"label": "Team", "value": "7"},))
    work = Target(action="work", runtime="cortex/jobs", output="result")
    assert full.inputs == (
        SkillInput(
            name="request",
            title="Request",
            parameters=Parameters(listed=(Parameter(name="params", type="object", required=True, format="any"),)),
            routing=Routing(
                kind="property",
                selector="mode",
                default=work,
                rules=(
                    Rule(match="5", target=Target(action="listen", runtime="cortex/daemons", output="error")),
                    Rule(match="call", target=Target(action="", runtime="cortex/external-api", output="error")),
                ),
            ),
        ),
        SkillInput(
            name="other",
            parameters=Parameters(ref="some-type"),
            routing=Routing(kind="field", selector="kind", default=work),
        ),
    )
    (mode,) = full.properties
    assert (mode.type, mode.default_value, mode.valid_values, mode.required, mode.secure) == (
        *("enum", "call", ("call", 5)),
        *(False, True),
    )
    assert full.datasets == ({"name": "d"},)


def test_every_key_of_an_action_is_read() -> None:
    job, daemon = skill(FULL).actions
    assert (job.command, job.image, job.timeout) == (("python", "main.py"), "org/work:1", 60)
    assert (job.environment, job.on_error, job.workers, job.response) == ({"A": "1"}, "continue", 2, "json")
    assert job.pod_spec == ({"path": "/nodeSelector", "value": {"disk": "ssd"}},)
    assert job.k8s_resources == ('{"kind": "ConfigMap"}',)
    assert job.retries == Retries(limit=3, backoff_seconds=0.5, max_backoff_seconds=60)
    assert job.resources == Resources(cpu="0.5", memory="512Mi", gpu=1)
    assert (daemon.type, daemon.port, daemon.scale_count, daemon.concurrency) == ("daemon", "5000", 2, 4)


def test_the_json_of_a_file_is_the_same_skill() -> None:
    assert skill_from_json(to_json(FULL, "skill.yaml")) == skill(FULL)


def test_null_is_absent() -> None:
    assert skill("name: a\ninputs:\nactions: [{name: b, command: ~, timeout: null}]") == skill(
        "name: a\nactions: [{name: b}]"
    )


def test_all_problems_of_a_file_come_at_once_and_in_order() -> None:
    text = "nam: a\ntags: [x]\nactions:\n  - {name: work, typ: job, workers: 0}\n"
    text += "  - {name: WORK, type: jobb}\noutputs: 5\n"
    assert problems_of(text) == [
        "1:1: error: nam: unknown key 'nam'. Did you mean 'name'?",
        "1:1: error: the key 'name' is missing: give the skill a name",
        "2:8: error: tags[0]: this is text, but must be a mapping",
        "4:18: error: actions[0].typ: unknown key 'typ'. Did you mean 'type'?",
        "4:37: error: actions[0].workers: 0 is out of range; the range is 1 to 1,000",
        f"5:12: error: actions[1].name: a second action is called 'WORK'; the first is at 4:12. {CASE}",
        "5:24: error: actions[1].type: 'jobb' is not a known value. Did you mean 'job'?",
        "6:10: error: outputs: this is a number, but must be a list",
    ]


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("prot: 1", "4:5: error: actions[0].prot", "unknown key 'prot'. Did you mean 'port'?"),
        (
            "port: 1",
            "4:5: error: actions[0].port",
            "'port' is only for an action of type daemon, and this one is a job; remove it",
        ),
        ("image: 5", "4:12: error: actions[0].image", "this is a number, but must be text; put it in quotes"),
        (
            "command: python main.py",
            "4:14: error: actions[0].command",
            ('the command is a list: one item for the program and one for each argument, like ["python", "main.py"]'),
        ),
        (
            "command: []",
            "4:14: error: actions[0].command",
            "the command is empty; remove this key, or name the program",
        ),
        ("command: [sleep, 5]", "4:22: error: actions[0].command[1]", "each item must be text; put it in quotes"),
        ("timeout: 0", "4:14: error: actions[0].timeout", "0 is out of range; the range is 0.001 to 31,622,400"),
        ("timeout: true", "4:14: error: actions[0].timeout", "this is a boolean, but must be a number"),
        ("workers: 1.5", "4:14: error: actions[0].workers", "this is a number, but must be a whole number"),
        (
            "resources: {cpu: many}",
            "4:22: error: actions[0].resources.cpu",
            "'many' is not an amount of processors; write it like 2, 0.5 or 500m",
        ),
        (
            "resources: {memory: 2 GB}",
            "4:25: error: actions[0].resources.memory",
            "'2 GB' is not an amount of memory; write it like 512Mi or 2Gi",
        ),
        (
            "retries: {backoff_seconds: 9, max_backoff_seconds: 3}",
            "4:56: error: actions[0].retries.max_backoff_seconds",
            "3 is out of range; the range is 9 to 86,400",
        ),
        (
            "podSpec: [{path: nodeSelector, value: 1}]",
            "4:22: error: actions[0].podSpec[0].path",
            "'nodeSelector' is not a JSON pointer; it starts with '/', like /containers/0/resources",
        ),
        (
            "k8sResources: ['[]']",
            "4:20: error: actions[0].k8sResources[0]",
            "each item must be a Kubernetes object as JSON text, and this is not a JSON object",
        ),
        ("preload: [numpy]", "4:5: warning: actions[0].preload", "'preload' has no effect here; write it below 'warm'"),
        (
            "warm: {preload: [a-b]}",
            "4:22: error: actions[0].warm.preload[0]",
            "'a-b' is not the name of a Python module",
        ),
        ("warm: [numpy]", "4:11: error: actions[0].warm", "this is a list, but must be true or false"),
    ],
)
def test_what_is_wrong_with_an_action(line: str, place: str, message: str) -> None:
    assert problems_of(action(line)) == [f"{place}: {message}"]


def test_two_timeouts_that_differ() -> None:
    assert problems_of(action("timeout: 5\n    jobTimeout: 6")) == [
        "5:5: error: actions[0].jobTimeout: 'timeout' and 'jobTimeout' mean the same and differ here; remove one"
    ]


def test_only_a_job_that_receives_batches_says_how_long_they_are() -> None:
    (problem,) = problems_of(action("receives: stream\n    batch: {size: 2}"))
    assert problem.startswith("5:5: error: actions[0].batch: 'batch' is only for a job that receives batches")
    assert problems_of(action("receives: batch")) == []


def test_a_daemon_has_no_timeout() -> None:
    (problem,) = problems_of(action("type: daemon\n    jobTimeout: 6"))
    assert problem.startswith("5:5: error: actions[0].jobTimeout: 'jobTimeout' is only for an action of type job")


@pytest.mark.parametrize("port", ["0", "65536", "http", "[1]"])
def test_a_port_is_a_number_of_sixteen_bits(port: str) -> None:
    (problem,) = problems_of(action(f"type: daemon\n    port: {port}"))
    assert problem.startswith("5:11: error: actions[0].port: ")


@pytest.mark.parametrize(
    ("routing", "place", "message"),
    [
        (
            "{all: {action: wrk, runtime: cortex/jobs, output: response}}",
            "6:29: error: inputs[0].routing.all.action",
            "'wrk' is not an action of this skill. Did you mean 'work'?",
        ),
        (
            "{all: {action: work, runtime: cortex/jobs, output: respnse}}",
            "6:65: error: inputs[0].routing.all.output",
            "'respnse' is not an output of this skill. Did you mean 'response'?",
        ),
        (
            "{all: {action: work, runtime: cortex/daemons, output: response}}",
            "6:44: warning: inputs[0].routing.all.runtime",
            "cortex/daemons runs a daemon, but the action 'work' is a job; it runs as a job",
        ),
        (
            "{all: {action: listen, runtime: cortex/jobs, output: response}}",
            "6:46: warning: inputs[0].routing.all.runtime",
            "cortex/jobs runs a job, but the action 'listen' is a daemon; it runs as a daemon",
        ),
        (
            "{all: {action: work, runtime: cortex/external-api, output: response}}",
            "6:21: error: inputs[0].routing.all.action",
            "cortex/external-api calls the property 'url' and runs no action; remove this key",
        ),
        (
            "{all: {runtime: cortex/jobs, output: response}}",
            "6:20: error: inputs[0].routing.all",
            "the key 'action' is missing: cortex/jobs runs an action of this skill",
        ),
        (
            "{all: {action: work, runtime: cortex/jobs}}",
            "6:20: error: inputs[0].routing.all",
            "the key 'output' is missing: name the output that the response goes to",
        ),
        (
            "{property: mode, default: {action: work, runtime: cortex/jobs, output: response}}",
            "6:25: error: inputs[0].routing.property",
            "'mode' is not a property of this skill.",
        ),
        (
            "{field: kind}",
            "6:14: error: inputs[0].routing",
            "the key 'default' is missing: name the target of messages that no rule matches",
        ),
        (
            "{}",
            "6:14: error: inputs[0].routing",
            "a routing must have exactly one of the keys 'all', 'property' and 'field'",
        ),
        ("all", "6:14: error: inputs[0].routing", "this is text, but must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_routing(routing: str, place: str, message: str) -> None:
    assert problems_of(routed(routing)) == [f"{place}: {message}"]


def test_a_rule_is_checked_like_the_default() -> None:
    target = "runtime: cortex/jobs, output: response"
    routing = f"{{field: k, default: {{action: work, {target}}}, rules: [{{action: x, {target}}}]}}"
    assert problems_of(routed(routing)) == [
        "6:98: error: inputs[0].routing.rules[0]: the key 'match' is missing: write the value that selects this rule",
        "6:107: error: inputs[0].routing.rules[0].action: 'x' is not an action of this skill. Known: listen, work.",
    ]


def test_an_action_may_be_defined_elsewhere_when_the_skill_lists_none() -> None:
    text = "name: a\noutputs: [{name: o}]\n"
    text += "inputs: [{name: i, routing: {all: {action: x, runtime: cortex/jobs, output: o}}}]"
    assert problems_of(text) == ["3:44: warning: inputs[0].routing.all.action: 'x' is not an action of this skill."]
    assert problems_of(text + "\nactions: []")[0].startswith("3:44: error:")


@pytest.mark.parametrize("name", ["a/../b", "a//b", "a/./b", "1a", "a-", "a b", "''"])
def test_names_that_climb_or_cannot_be_names(name: str) -> None:
    (problem,) = problems_of(f"name: {name}")
    assert problem.startswith("1:7: error: name: ")


def test_an_unknown_version_and_type_are_warnings() -> None:
    assert problems_of("name: a\ncamel: 2.0\nproperties: [{name: p, type: Strng}]") == [
        "2:8: warning: camel: the version '2.0' is unknown; the file is read as 1.0.0",
        "3:30: warning: properties[0].type: 'strng' is not a known type of property. Did you mean 'string'?",
    ]


def test_problems_of_json_have_no_place() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        skill_from_json({"name": "a", "actons": [], "outputs": [{"name": "x"}, {"name": "X"}]})
    assert [str(problem) for problem in caught.value.problems] == [
        "error: actons: unknown key 'actons'. Did you mean 'actions'?",
        f"error: outputs[1].name: a second output is called 'X'. {CASE}",
    ]


def test_of_very_many_problems_the_first_are_shown_and_the_rest_is_counted() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        skill_from_json({"name": "x", "actions": [{"naem": 1}] * 1000})
    assert len(caught.value.problems) == 201
    assert "more problems are not shown" in caught.value.problems[-1].message
