"""Everything that `lint` finds in a workspace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fabric_jobs.routing import compile_agent
from fabric_jobs.workspace.lint.problems import lint
from fabric_jobs.workspace.tree import Workspace

MESSAGE = '{"payload": 1}'
RUNS_AS_A_JOB = "cortex/daemons runs a daemon, but the action 'one' is a job; it runs as a job"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def add_skill(
    name: str,
    *,
    receives: str = "message",
    outputs: str = "[{name: response}]",
    more: str = "",
    second_input: bool = False,
) -> None:
    """Write a correct skill: an input `request`, a job with a Dockerfile, a message."""
    text = f"name: {name}\noutputs: {outputs}\n"
    routing = f"{{all: {{action: {name}, runtime: cortex/jobs, output: response}}}}"
    names = ("request", "again") if second_input else ("request",)
    text += f"inputs: [{', '.join(f'{{name: {each}, routing: {routing}}}' for each in names)}]\n"
    text += f"actions:\n  - name: {name}\n    receives: {receives}\n{more}"
    write(f"skills/{name}/skill.yaml", text)
    write(f"skills/{name}/actions/{name}/Dockerfile", "FROM python")
    for each in names:
        write(f"skills/{name}/invoke/{each}/message.json", MESSAGE)


def add_agent(*mappings: str, skills: str = "one two", name: str = "flow", more: str = "") -> None:
    lines = [f"name: {name}", "skills:", *(f"  - skillName: {skill}" for skill in skills.split())]
    lines += ["mappings:", *(f"  - {{{mapping}}}" for mapping in mappings), more]
    write("agents/flow.yaml", "\n".join(lines))


def found(root: Path) -> list[str]:
    return [str(problem) for problem in lint(Workspace(root))]


FILES = (  # of those that `add_whole` writes, the ones that people write
    "skills/one/skill.yaml",
    "skills/one/actions/one/Dockerfile",
    "skills/one/actions/one/requirements.txt",
    "skills/one/invoke/request/message.json",
    "skills/one/invoke/request/expected.json",
    "agents/flow.yaml",
)


def add_whole() -> None:
    """Write a correct workspace with a file of each kind."""
    add_skill("one")
    write("skills/one/actions/one/requirements.txt", "-r more.txt")
    write("skills/one/actions/one/more.txt", "needed==1")
    write("skills/one/invoke/request/expected.json", '{"response": 1}')
    add_agent("from: input, to: one", "from: one, to: output", skills="one")


CHAIN = ("from: input, to: one", "from: one, to: two", "from: two, to: output")


def test_nothing_is_wrong_with_a_good_workspace(root: Path) -> None:
    add_skill("one")
    add_skill("two", receives="stream")
    add_agent(*CHAIN)
    assert found(root) == []
    assert lint(Workspace(root / "skills")) == ()


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_read_with_its_byte_order_mark_and_refused_in_another_encoding(root: Path, path: str) -> None:
    add_whole()
    text = Path(path).read_text()
    Path(path).write_text(f"\ufeff{text}")
    assert found(root) == []
    Path(path).write_bytes(text.encode("utf-16"))
    takes_it = path.endswith("requirements.txt")  # as pip does
    assert [problem for problem in found(root) if path in problem and "it is in UTF-16" in problem] or takes_it
    assert (found(root) == []) == takes_it


@pytest.mark.parametrize("path", FILES)
def test_what_is_no_file_or_leads_out_of_the_workspace_is_an_error_and_no_hang(
    root: Path, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    add_whole()
    text = Path(path).read_text()
    inside, outside = root / "skills" / "kept", tmp_path_factory.mktemp("elsewhere") / "kept"
    inside.write_text(text)
    outside.write_text(text)
    Path(path).unlink()
    os.mkfifo(path)
    assert [problem for problem in found(root) if path in problem and "error: " in problem and "is a pipe" in problem]
    for target in (Path("/dev/zero"), outside, inside):
        Path(path).unlink()
        Path(path).symlink_to(target)
        wrong = [problem for problem in found(root) if path in problem and "error: " in problem]
        assert any("a device" in problem or "outside of the workspace" in problem for problem in wrong) == (
            target != inside
        )
    assert found(root) == []


def test_a_definition_has_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_whole()
    monkeypatch.setenv("FABRIC_JOBS_DEFINITION_BYTES", "20")
    assert any("skill.yaml: error: the file cannot be read: it is longer than 20 bytes" in line for line in found(root))


def test_problems_of_all_files_come_together(root: Path) -> None:
    write("skills/b/skill.yaml", "name: b\nactons: []")
    write("skills/a/skill.yaml", "name: [")
    write("agents/x.yaml", "name: x\nskils: []")
    assert [problem.split(" ")[0] for problem in found(root)] == [
        "skills/a/skill.yaml:2:1:",
        "skills/b/skill.yaml:2:1:",
        "agents/x.yaml:2:1:",
    ]


def test_names_are_used_once(root: Path) -> None:
    add_skill("one")
    write("skills/other/skill.yaml", "title: x\nname: ONE")
    add_agent("from: input, to: one", "from: one, to: output", skills="one")
    write("agents/z.json", '{"name": "Flow"')
    write("agents/zz.json", '{"name": "Flow", "skills": 5}')
    assert [problem for problem in found(root) if "a second" in problem] == [
        (
            "skills/other/skill.yaml:2:7: error: name: a second skill is called 'ONE'; "
            "the first is at skills/one/skill.yaml:1. Rename one of them"
        ),
        (
            "agents/zz.json:1:10: error: name: a second agent is called 'Flow'; "
            "the first is at agents/flow.yaml:1. Rename one of them"
        ),
    ]


def test_a_job_needs_a_program(root: Path) -> None:
    add_skill("one")
    Path("skills/one/actions/one/Dockerfile").unlink()
    assert found(root) == [
        (
            "skills/one/skill.yaml:5:11: error: actions[0].name: the action has no program: "
            "write skills/one/actions/one/Dockerfile, or give the action a 'command'"
        )
    ]
    add_skill("one", more="    command: [python, main.py]\n")
    Path("skills/one/actions/one/Dockerfile").unlink()
    assert found(root) == []


def test_an_action_that_no_input_leads_to(root: Path) -> None:
    add_skill("one", more="  - {name: idle, command: [x]}\n")
    assert found(root) == ["skills/one/skill.yaml:7:12: warning: actions[1].name: no input leads to the action 'idle'"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{\n  x", ":2:3: error: the file is not JSON: Expecting property name enclosed in double quotes"),
        ("{}", ":1:1: error: the message has no 'payload'; write {\"payload\": …}"),
        ("[1]", ":1:1: error: the message has no 'payload'; write {\"payload\": …}"),
        ("[" * 100_000, ": error: the file is not a message: it is nested deeper than 513 levels"),
    ],
)
def test_a_message_is_json_with_a_payload(root: Path, text: str, problem: str) -> None:
    add_skill("one")
    write("skills/one/invoke/request/message.json", text)
    assert found(root) == [f"skills/one/invoke/request/message.json{problem}"]


def test_a_message_should_be_there(root: Path) -> None:
    add_skill("one")
    Path("skills/one/invoke/request/message.json").unlink()
    assert found(root) == [
        (
            "skills/one/skill.yaml:3:17: warning: inputs[0].name: there is no message to try this input with; "
            "write skills/one/invoke/request/message.json"
        )
    ]


def test_keys_without_effect_say_why(root: Path) -> None:
    more = "    podSpec: [{path: /a, value: 1}]\n    k8sResources: ['{}']\n"
    more += "    onError: continue\n    retries: {limit: 1}\n"
    more += "  - {name: d, type: daemon, scaleCount: 2}\n"
    more += "properties: [{name: p, qualifiedBy: q}]\ndatasets: [{name: d}]\n"
    add_skill("one", more=more)
    assert [problem for problem in found(root) if " is " in problem and "this version" not in problem] == [
        "skills/one/skill.yaml:7:14: warning: actions[0].podSpec: 'podSpec' is only applied on Kubernetes",
        "skills/one/skill.yaml:8:19: warning: actions[0].k8sResources: 'k8sResources' is only applied on Kubernetes",
        "skills/one/skill.yaml:11:41: warning: actions[1].scaleCount: 'scaleCount' is only applied on Kubernetes",
        (
            "skills/one/skill.yaml:12:37: warning: properties[0].qualifiedBy: 'qualifiedBy' is kept "
            "for the forms of Fabric's console, which fabric-jobs does not have"
        ),
        "skills/one/skill.yaml:13:11: warning: datasets: 'datasets' is kept, but no action can read a dataset",
    ]


def test_an_agent_uses_skills_that_are_there(root: Path) -> None:
    add_skill("one")
    write("skills/broken/skill.yaml", "name: broken\nx: 1")
    add_agent("from: input, to: onee", "from: onee, to: broken", "from: broken, to: output", skills="onee broken")
    assert [problem for problem in found(root) if problem.startswith("agents")] == [
        "agents/flow.yaml:3:16: error: skills[0].skillName: the workspace has no skill 'onee'. Did you mean 'one'?"
    ]


def test_a_mapping_joins_ports_that_are_there(root: Path) -> None:
    add_skill("one", outputs="[{name: response}, {name: failed}]", second_input=True)
    add_skill("two")
    add_agent("from: input, to: one.reqest", "from: one.faild, to: two", "from: one, to: two", "from: two, to: output")
    assert found(root) == [
        "agents/flow.yaml:3:5: warning: skills[0]: no mapping takes 'one.failed'; what is sent there is dropped",
        "agents/flow.yaml:6:23: error: mappings[0].to: the skill 'one' has no input 'reqest'. Did you mean 'request'?",
        "agents/flow.yaml:7:12: error: mappings[1].from: the skill 'one' has no output 'faild'. Did you mean 'failed'?",
    ]


def test_what_fabric_took_is_a_warning(root: Path) -> None:
    add_skill("one", more="    scaleCount: 2\nproperties: [{name: p, defaultValue: 1}, {name: p, defaultValue: 2}]\n")
    uses = "properties: [{name: p, value: 3}, {name: p, value: 4}]"
    add_agent("from: input, to: one.reqest", "from: one.respons, to: output", skills="one", more=uses)
    text = Path("skills/one/skill.yaml").read_text(encoding="utf-8").replace("cortex/jobs", "cortex/daemons")
    Path("skills/one/skill.yaml").write_text(text, encoding="utf-8")
    second = "a second property is called 'p'; the first is at"
    assert [problem.partition(": warning: ")[2] for problem in found(root)] == [
        f"inputs[0].routing.all.runtime: {RUNS_AS_A_JOB}",
        "actions[0].scaleCount: 'scaleCount' has no effect on a job, which ends",
        f"properties[1].name: {second} 8:21. The last one is used",
        "mappings[0].to: the skill 'one' has no input 'reqest'; its only one, 'request', is used",
        "mappings[1].from: the skill 'one' has no output 'respons'; its only one, 'response', is used",
        f"properties[1].name: {second} 7:21. The last one is used",
    ]
    workspace = Workspace(root)
    skill, agent = workspace.skill("one").skill, workspace.agent("flow").agent
    assert (skill.defaults(), agent.properties) == ({"p": 2}, {"p": 4})
    plan = compile_agent(agent, {"one": skill}, "input", {})
    assert [str(wire) for wire in plan.wires] == ["input → one", "one.response → output"]
    assert plan.nodes["one.request"].action.type == "job"


def test_the_long_form_is_checked_at_its_port(root: Path) -> None:
    add_skill("one", second_input=True)
    add_agent("from: input, to: {skill: {refId: one, input: x}}", "from: one, to: output", skills="one")
    assert found(root) == [
        "agents/flow.yaml:5:51: error: mappings[0].to.skill.input: the skill 'one' has no input 'x'. Known: again, request."
    ]


def test_dead_ends_and_skills_that_never_run(root: Path) -> None:
    add_skill("one")
    add_skill("two")
    more = "inputs: [{name: a, output: x}, {name: b, output: y}]\noutputs: [{name: x}, {name: y}]"
    add_agent("from: a, to: one", "from: one, to: x", "from: two, to: y", more=more)
    assert found(root) == [
        "agents/flow.yaml:4:5: warning: skills[1]: 'two' never runs: no mapping leads to it from an input",
        "agents/flow.yaml:9:39: warning: inputs[1].name: no mapping starts at the input 'b'",
        (
            "agents/flow.yaml:10:29: warning: outputs[1].name: the output 'y' never gets a record: "
            "no mapping leads to it from an input"
        ),
    ]


def test_what_a_local_process_does_not_get_is_a_warning(root: Path) -> None:
    more = "    resources: {cpu: 500m}\n"
    add_skill("one", more=more)
    add_skill("two")
    add_agent(*CHAIN[:-1], "from: two, to: output, when: {a: 1}")
    warnings = [problem.partition(": warning: ")[2] for problem in found(root) if "local processes" in problem]
    assert sorted(warnings) == [
        "actions[0].resources: 'resources' limits containers, not local processes",
    ]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("[python, main.py]", ""),
        ("[/usr/bin/python3.12, -O, -m, work]", ""),
        ("[node, main.js]", "'node' is not a Python"),
        ("[python, -i, main.py]", "'python -i' cannot be started warm"),
        ("[sh, -c, exec python main.py]", "'sh' is not a Python"),
    ],
)
def test_warm_is_for_programs_of_python(root: Path, command: str, reason: str) -> None:
    add_skill("one", more=f"    command: {command}\n    warm: true\n")
    expected = f"skills/one/skill.yaml:8:11: warning: actions[0].warm: 'warm' has no effect: {reason}"
    assert found(root) == ([expected] if reason else [])


def test_warm_looks_at_the_program_of_the_dockerfile(root: Path) -> None:
    add_skill("one", more="    warm: {preload: [json]}\n")
    write("skills/one/actions/one/Dockerfile", 'FROM python\nENTRYPOINT ["python", "/app/main.py"]\n')
    assert found(root) == []
    write("skills/one/actions/one/Dockerfile", 'FROM node\nENTRYPOINT ["node", "main.js"]\n')
    assert "'warm' has no effect: 'node' is not a Python" in "\n".join(found(root))


def test_what_a_run_here_will_not_find_is_said(root: Path) -> None:
    add_skill("one", more='    python: "2.1"\n')
    place = Path("skills/one/actions/one")
    (place / "requirements.txt").write_text("idna\n-r more.txt\n")
    (place / "Dockerfile").write_text("FROM python:3\n\nRUN apt-get install -y git\n")
    problems = [problem.partition(": actions[0]")[0][:70] for problem in sorted(found(root))]
    assert problems == [
        f"{place}/Dockerfile:3:1: warning: apt-get is not run on this machine"[:70],
        f"{place}/requirements.txt: error: {root}/{place}/more.txt"[:70],
        "skills/one/skill.yaml:7:13: warning",
    ]


def test_a_cycle_through_messages_is_allowed(root: Path) -> None:
    add_skill("one")
    add_skill("two")
    add_agent(*CHAIN, "from: two, to: one")
    assert found(root) == []


def test_a_cycle_through_a_stream_never_ends(root: Path) -> None:
    add_skill("one")
    add_skill("two", receives="stream")
    add_agent(*CHAIN, "from: two, to: one")
    assert found(root) == [
        (
            "agents/flow.yaml:7:5: error: mappings[1]: this closes a cycle through 'two', which reads a stream "
            "that would never end; remove a mapping, or use 'receives: message'"
        )
    ]


def test_a_cycle_through_a_join_never_ends(root: Path) -> None:
    add_skill("one")
    add_skill("two")
    add_agent(*CHAIN, "from: two, to: one, join: all")
    assert [problem for problem in found(root) if ": error: " in problem] == [
        ("agents/flow.yaml:9:5: error: mappings[3]: this join waits for its own end; remove it from the cycle")
    ]


def test_the_example_workspace_is_clean() -> None:
    example = Path(__file__).parents[2] / "agents" / "flights"
    assert lint(Workspace(example)) == ()


def test_values_that_do_not_fit_their_property_are_warnings(root: Path) -> None:
    more = "properties:\n"
    more += "  - {name: mode, type: Enum, defaultValue: onlin, validValues: [batch, online, 5]}\n"
    more += "  - {name: limit, type: integer, defaultValue: 1.5}\n"
    more += "  - {name: fast, type: boolean, defaultValue: maybe}\n"
    more += "  - {name: names, type: array, defaultValue: a}\n"
    more += '  - {name: right, type: Number, defaultValue: "1.5"}\n'
    more += '  - {name: key, type: number, secure: true, defaultValue: "#SECURE.key"}\n'
    add_skill("one", more=more)
    add_agent("from: input, to: one", "from: one, to: output", skills="one")
    agent = Path("agents/flow.yaml")
    properties = "\n    properties: [{name: mode, value: 5}, {name: fast, value: 7}, {name: other, value: x}]"
    agent.write_text(agent.read_text().replace("skillName: one", f"skillName: one{properties}"))
    assert [problem.partition(": warning: ")[2] for problem in found(root)] == [
        "properties[0].defaultValue: 'onlin' is not one of the validValues of the property 'mode'. Did you mean 'online'?",
        "properties[1].defaultValue: '1.5' is no integer, which the property 'limit' is",
        "properties[2].defaultValue: 'maybe' is neither true nor false, as the property 'fast' requires",
        "properties[3].defaultValue: 'a' is no array, which the property 'names' is",
        "skills[0].properties: '7' is neither true nor false, as the property 'fast' requires",
    ]


def test_a_secure_value_in_clear_is_a_warning_that_does_not_show_it(root: Path) -> None:
    more = "properties:\n"
    more += "  - {name: key, secure: true, defaultValue: hunter2}\n"
    more += '  - {name: other, secure: true, defaultValue: "#SECURE.key"}\n'
    more += "  - {name: none, secure: true}\n"
    add_skill("one", more=more)
    add_agent("from: input, to: one", "from: one, to: output", skills="one")
    agent = Path("agents/flow.yaml")
    given = "\n    properties: [{name: other, value: hunter2}]"
    agent.write_text(agent.read_text().replace("skillName: one", f"skillName: one{given}"))
    said = found(root)
    assert [problem.partition(": warning: ")[2].partition(",")[0] for problem in said] == [
        "properties[0].defaultValue: the value of 'key'",
        "skills[0].properties: the value of 'other'",
    ]
    assert "hunter2" not in "".join(said)


def test_headers_that_are_never_passed_on_are_a_warning(root: Path) -> None:
    add_skill("one")
    add_agent("from: input, to: one", "from: one, to: output", skills="one")
    agent = Path("agents/flow.yaml")
    agent.write_text(agent.read_text() + 'properties: [{name: allowedHeaders, value: "X-A, host, Authorization"}]\n')
    (said,) = found(root)
    assert "properties: 'allowedHeaders' has no effect for authorization, host" in said


def test_a_rule_that_no_valid_value_takes_is_a_warning(root: Path) -> None:
    add_skill("one", more="properties: [{name: mode, defaultValue: a, validValues: [a, b]}]\n")
    path = Path("skills/one/skill.yaml")
    target = "action: one, runtime: cortex/jobs, output: response"
    rules = f"{{property: mode, default: {{{target}}}, rules: [{{match: b, {target}}}, {{match: c, {target}}}]}}"
    path.write_text(path.read_text().replace(f"{{all: {{{target}}}}}", rules))
    (problem,) = found(root)
    assert "inputs[0].routing.rules[1]" in problem
    assert "this rule never matches: 'c' is not one of the validValues of the property 'mode'. Known: a, b." in problem


def test_a_message_has_what_its_input_requires(root: Path) -> None:
    add_skill("one")
    path = Path("skills/one/skill.yaml")
    parameters = "parameters: [{name: a, required: true}, {name: b, required: true}, {name: c}]"
    path.write_text(path.read_text().replace("name: request,", f"name: request, {parameters},"))
    assert found(root) == []  # the payload is a number, which has no fields
    message = "skills/one/invoke/request/message.json"
    write(message, '{"payload": {"a": 1}}')
    assert found(root) == [f"{message}: warning: the payload has no 'b', which the input 'request' requires"]


def test_messages_and_expectations_of_cases_are_checked(root: Path) -> None:
    add_skill("one")
    add_agent("from: input, to: one", "from: one, to: output", skills="one")
    write("skills/one/invoke/request/more/message.json", MESSAGE)
    write("skills/one/invoke/request/more/expected.json", '{"$subst": 1}')
    write("skills/one/invoke/requst/message.json", MESSAGE)
    write("agents/invoke/flow/input/message.json", "{}")
    write("agents/invoke/flow/input/lone/expected.json", "1")
    said = "\n".join(found(root))
    for part in (
        "Did you mean '$subset'?",
        "Did you mean 'request'?",
        "has no 'payload'",
        "has no message.json next to it",
    ):
        assert part in said, said


@pytest.mark.parametrize(
    "program",
    [
        "from fabric_skill import messages, send_message\n\nfor n in messages(): send_message(n)\n",
        "from fabric_skill import messages as read\n\ndef main(): return list(read('end'))\n",
        "import fabric_skill as fs\n\nall = [n for n in fs.messages()]\n",
    ],
)
def test_a_program_that_reads_a_stream_wants_the_line_that_says_so(root: Path, program: str) -> None:
    add_skill("one")
    write("skills/one/actions/one/main.py", program)
    (problem,) = found(root)
    assert "warning" in problem
    assert "skills/one/actions/one/main.py:3 calls messages(), but the action is not a stream" in problem
    add_skill("one", receives="stream")
    assert found(root) == []


@pytest.mark.parametrize(
    "program", ["messages()", "def messages(): ...\nmessages()", "no python (", "from fabric_skill import messages"]
)
def test_other_programs_want_no_line(root: Path, program: str) -> None:
    add_skill("one")
    write("skills/one/actions/one/main.py", program)
    assert found(root) == []


@pytest.mark.parametrize("lines", ["WORKDIR {root}/x", "COPY . {root}"])
def test_an_image_with_its_program_where_the_workspace_is_mounted(root: Path, lines: str) -> None:
    add_skill("one")
    write("skills/one/actions/one/Dockerfile", f"FROM python\n{lines.format(root=root)}\nCMD x\n")
    (problem,) = found(root)
    assert problem.startswith("skills/one/actions/one/Dockerfile: warning: the image has its program at")
    assert "containers get the workspace elsewhere" in problem
    Path("skills/one/actions/one/Dockerfile").rename("skills/one/Dockerfile")  # as in older skills
    Path("skills/one/actions/one").rmdir()
    assert [
        each for each in found(root) if each.startswith("skills/one/Dockerfile: warning: the image has its program")
    ]
