"""Skills through the installed command: generate, invoke, follow, list, show, logs."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.live import Live, names, records

ECHO = "print(json.dumps(message()['payload']), end='')"


def test_a_generated_job_runs_at_once(live: Live) -> None:
    made = live.ok("workspaces", "generate", "word-count")
    assert "main.py" in made.out
    assert "fabric-jobs skills invoke word-count" in made.out

    message = live.root / "skills/word-count/invoke/request/message.json"
    ran = live.ok("skills", "invoke", "word-count", "request", "--params-file", message)

    assert ran.out.strip()
    assert names(live.ok("skills", "list", "--output", "json").value) == ["word-count"]


@pytest.mark.parametrize("template", ["send-message", "stream"])
def test_every_template_runs_with_its_own_message(live: Live, template: str) -> None:
    next_command = live.ok("workspaces", "generate", "made-here", "--template", template).out.strip().splitlines()[-1]
    words = next_command.split()
    assert words[0] == "fabric-jobs"
    assert live.ok(*words[1:], "--output", "json").value["status"] == "COMPLETE"


def test_generated_skills_chain_to_an_agent_that_runs(live: Live) -> None:
    live.ok("workspaces", "generate", "source", "--template", "send-message")
    live.ok("workspaces", "generate", "each", "--template", "stream")
    live.ok("workspaces", "generate-agent", "both", "source", "each")
    message = live.root / "skills/source/invoke/request/message.json"

    record = live.ok("agents", "invoke", "both", "--params-file", message, "--output", "json").value

    assert record["status"] == "COMPLETE"
    assert record["agentName"] == "both"
    assert names(live.ok("agents", "list", "-o", "json").value) == ["both"]
    assert live.ok("workspaces", "lint").err.startswith("No problems")


def test_the_payload_comes_from_a_file_from_stdin_or_from_the_command_line(live: Live) -> None:
    live.skill("echo", ECHO)
    file = live.root / "message.json"
    file.write_text('{"payload": {"from": "file"}}')

    invoke = ("skills", "invoke", "echo")
    assert live.ok(*invoke, "--params-file", file).out == '{"from": "file"}\n'
    assert live.ok(*invoke, "--params-file", "-", stdin='{"payload": "stdin"}').out == '"stdin"\n'
    assert live.ok(*invoke, "--params", '{"payload": [1, 2]}').out == "[1, 2]\n"
    assert live.ok(*invoke, "request", "--payload", "null").out == "null\n"


def test_a_file_with_a_byte_order_mark_is_read(live: Live) -> None:
    live.skill("echo", ECHO)
    (live.root / "m.json").write_bytes(b'\xef\xbb\xbf{"payload": 1}')
    assert live.ok("skills", "invoke", "echo", "--params-file", "m.json").out == "1\n"


def test_parameters_carry_properties_and_ids(live: Live) -> None:
    live.skill("show", "print(json.dumps(message()), end='')", response="json")
    params = {"payload": 1, "properties": {"depth": 3}, "sessionId": "s-1", "correlationId": "c-1"}

    record = live.ok("skills", "invoke", "show", "--params", json.dumps(params), "-o", "json").value

    seen = record["response"]
    assert (record["sessionId"], record["correlationId"]) == ("s-1", "c-1")
    assert seen["properties"] == {"depth": 3}
    assert seen["sessionId"] == "s-1"
    assert seen["outputName"] == "response"
    assert seen["skillName"] == "local-show"
    assert seen["projectId"] == "local"
    assert seen["agentName"] == ""
    assert seen["token"].count(".") == 2
    assert seen["apiEndpoint"].startswith(live.gateway_inside)
    assert seen["apiEndpoint"].endswith("/px")
    assert {"activationId", "channelId", "headers", "timestamp"} <= seen.keys()


def test_the_activation_record_has_the_fields_of_fabric(live: Live) -> None:
    live.skill("echo", ECHO)
    record = live.invoke("echo", {"a": 1})
    assert record["success"] is True
    assert record["activationId"] == record["requestId"] == record["correlationId"] == record["sessionId"]
    assert record["skillName"] == "echo"
    assert record["inputName"] == "request"
    assert record["projectId"] == "local"
    assert record["username"]
    assert record["payload"] == {"a": 1}
    assert record["properties"] == {}
    assert record["headers"] == {}
    assert isinstance(record["start"], int)
    assert record["start"] <= record["end"]
    assert record["status"] == "COMPLETE"
    assert record["response"] == '{"a": 1}'
    assert live.ok("activations", "show", record["activationId"], "-o", "json").value == record


def test_the_message_is_the_last_argument_and_in_the_environment(live: Live) -> None:
    program = """
    import json, os, sys
    last, variable = json.loads(sys.argv[-1]), json.loads(os.environ["CORTEX_PAYLOAD"])
    assert last == variable == json.loads(sys.argv[1])
    assert os.environ["CORTEX_TOKEN"] == last["token"] and os.environ["CORTEX_PROJECT"] == "local"
    assert os.environ["GREETING"] == "hello" and os.environ["PYTHONUNBUFFERED"] == "1"
    print(os.path.basename(os.getcwd()), last["payload"], sys.stdin.read())
    """
    live.skill("plain", program, prelude="", environmentVariables='"GREETING"="hello"')
    assert live.invoke("plain", 7)["response"] == f"{live.directory_inside('plain')} 7 \n"


def test_the_program_comes_from_the_dockerfile_without_a_command(live: Live) -> None:
    live.skill("boxed", "print('from', sys.argv[1])", command=None)
    definition = live.root / "skills/boxed/skill.yaml"
    document = json.loads(definition.read_text())
    del document["actions"][0]["command"]
    definition.write_text(json.dumps(document))
    dockerfile = 'FROM python:3.12-slim\nADD . /app\nENTRYPOINT ["scuttle", "python", "/app/main.py", "here"]\n'
    (live.root / "skills/boxed/actions/boxed/Dockerfile").write_text(dockerfile)
    assert live.invoke("boxed")["response"] == "from here\n"


def test_a_name_with_a_slash_works_everywhere(live: Live) -> None:
    live.skill("cortex/echo", ECHO)
    record = live.invoke("cortex/echo", "x")
    assert record["skillName"] == "cortex/echo"
    assert record["response"] == '"x"'
    assert names(live.ok("skills", "list", "-o", "json").value) == ["cortex/echo"]
    task = live.ok("tasks", "list", "--skill", "cortex/echo", "-o", "json").value[0]
    assert task["name"].startswith("local-cortex-echo-echo-")
    assert live.ok("tasks", "logs", "cortex/echo").out == '"x"'
    assert live.ok("tasks", "show", "cortex/echo", "-o", "json").value["name"] == task["name"]
    assert "cortex/unknown" in live.fails(3, "tasks", "logs", "cortex/unknown")


def test_detach_gives_an_id_to_wait_for(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("held", "open(ROOT / 'gate').read(); print('through', end='')")

    activation = live.detach("held")
    assert live.ok("activations", "show", activation, "-o", "json").value["status"] == "PENDING"
    assert live.ok("activations", "list", "--status", "pending", "-o", "json").value[0]["activationId"] == activation
    waiting = live.start("activations", "wait", activation)
    live.release(gate)

    assert waiting.finish().out == "through\n"
    shown = live.ok("activations", "show", activation)
    assert "status: COMPLETE" in shown.out
    assert "held" in shown.out
    assert live.ok("activations", "wait", activation, "-o", "json").value["response"] == "through"
    assert live.ok("activations", "list", "--status", "PENDING").out == ""


def test_detach_prints_json_when_asked(live: Live) -> None:
    live.skill("echo", ECHO)
    ran = live.ok("skills", "invoke", "echo", "--payload", "1", "--detach", "-o", "json")
    assert live.wait(ran.value["activationId"])["status"] == "COMPLETE"


def test_activations_are_listed_newest_first(live: Live) -> None:
    live.skill("echo", ECHO)
    ids = [live.invoke("echo", number)["activationId"] for number in range(3)]
    listed = live.ok("activations", "list", "-o", "json").value
    assert names(listed, "activationId") == ids[::-1]
    assert names(live.ok("activations", "list", "--limit", "1", "-o", "json").value, "activationId") == ids[-1:]
    assert live.ok("activations", "list", "--skill", "other").out == ""
    assert live.ok("activations", "list").out.count("COMPLETE") == 3


def test_tasks_are_found_by_the_name_of_their_skill_unless_there_are_several(live: Live) -> None:
    live.skill("talk", "print('out', message()['payload']); print('err', file=sys.stderr)")
    first = live.invoke("talk", 1)["activationId"]

    task = live.ok("tasks", "show", "talk", "-o", "json").value
    assert (task["state"], task["exitCode"], task["attempt"], task["activationId"]) == ("COMPLETE", 0, 1, first)
    assert [attempt["exitCode"] for attempt in task["attempts"]] == [0]
    logs = live.ok("tasks", "logs", "talk")
    assert (logs.out, logs.err) == ("out 1\n", "err\n")
    assert live.ok("tasks", "logs", task["name"], "--stream", "stderr").out == ""

    live.invoke("talk", 2)
    said = live.fails(2, "tasks", "logs", "talk")
    assert "several tasks" in said
    assert task["name"] in said
    assert first in said
    assert live.ok("tasks", "logs", task["name"]).out == "out 1\n"
    listed = live.ok("tasks", "list", "--activation", first, "-o", "json").value
    assert names(listed) == [task["name"]]
    assert live.ok("tasks", "list", "--state", "failed").out == ""


def test_logs_follow_a_running_task(live: Live) -> None:
    gate = live.gate("gate")
    live.skill("slow", "print('first'); open(ROOT / 'gate').read(); print('last', end='')")
    activation = live.detach("slow")
    following = live.start("tasks", "logs", "slow", "--follow")
    following.wait_for("first\n")
    live.release(gate)
    assert following.finish().out == "first\nlast"
    live.wait(activation)


def test_skills_and_agents_list_show_what_is_broken(live: Live) -> None:
    live.skill("fine", ECHO)
    (live.root / "skills/bad").mkdir()
    (live.root / "skills/bad/skill.yaml").write_text("name: bad\n  inputs: [")
    listed = live.ok("skills", "list")
    assert "fine" in listed.out
    assert "skills/bad/skill.yaml" in listed.out
    assert "PROBLEMS" in listed.out
    assert live.invoke("fine")["status"] == "COMPLETE"


def test_yaml_output(live: Live) -> None:
    live.skill("echo", ECHO)
    out = live.ok("skills", "invoke", "echo", "--payload", "1", "--output", "yaml").out
    assert "status: COMPLETE\n" in out
    assert live.ok("skills", "list", "-o", "yaml").out.startswith("- name: echo")


def test_a_workspace_is_found_from_below_and_by_option(live: Live) -> None:
    live.skill("echo", ECHO)
    below = live.root / "skills/echo/actions"
    assert live.ok("skills", "invoke", "echo", "--payload", "1", cwd=below).out == "1\n"
    elsewhere = live.root.parent
    assert live.ok("skills", "invoke", "echo", "--payload", "2", "--workspace", live.root, cwd=elsewhere).out == "2\n"
    assert (
        live.ok("skills", "list", "-o", "json", cwd=elsewhere, FABRIC_JOBS_WORKSPACE_ROOT=str(live.root)).value[0][
            "name"
        ]
        == "echo"
    )


def test_changed_files_take_effect_at_the_next_invocation(live: Live) -> None:
    live.skill("echo", "print('one', end='')")
    assert live.invoke("echo")["response"] == "one"
    live.skill("echo", "print('two', end='')", response="combined")
    assert live.invoke("echo")["response"] == "two"


def test_records_of_a_long_response_are_fetched_apart(live: Live) -> None:
    live.skill("many", "for n in range(2500): send_message({'n': n})")
    ran = live.ok("skills", "invoke", "many", "--payload", "null")
    assert ran.out == "2,500 records\n"
    assert "activations response" in ran.err
    activation = live.ok("activations", "list", "-o", "json").value[0]["activationId"]

    record = live.ok("activations", "show", activation, "-o", "json").value
    assert record["response"]["count"] == 2500
    assert record["response"]["href"].endswith(f"/activations/{activation}/response")
    everything = records(live.ok("activations", "response", activation).out)
    assert everything == [{"n": n} for n in range(2500)]
    part = live.ok("activations", "response", activation, "--skip", 990, "--limit", 20)
    assert records(part.out) == everything[990:1010]
    assert live.ok("activations", "response", activation, "--skip", 2500).out == ""
