"""Jobs that make Fabric's HTTP call themselves, with `requests`, as those written for Fabric do."""

from __future__ import annotations

import pytest

from tests.acceptance.live import Live, until

PLAIN = """
import json, os, sys
import requests

message = json.loads(sys.argv[-1])
base = message["apiEndpoint"] + {port!r}

def send(payload, output, **headers):
    answer = requests.post(
        f"{{base}}/internal/messages/{{message['activationId']}}/{{message['channelId']}}/{{output}}",
        json=payload,
        headers={{"Authorization": "Bearer " + message["token"], **headers}},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["success"] is True
"""


@pytest.mark.parametrize("port", ["", ":5000"])
def test_the_fabric_call_sends_a_record(live: Live, port: str) -> None:
    program = PLAIN.format(port=port) + "for n in range(5): send({'n': n}, message['outputName'])\nprint('not this')"
    live.skill("plain", program, prelude="")
    live.skill("each", "print(message()['payload']['n'])", response="json", workers=1)
    live.agent("pair", ("input", "plain"), ("plain", "each"), ("each", "output"))
    assert live.invoke("plain")["response"] == [{"n": n} for n in range(5)]
    assert live.invoke("pair", kind="agents")["response"] == list(range(5))


def test_it_names_any_output_and_is_not_altered(live: Live) -> None:
    program = (
        PLAIN.format(port="")
        + """
odd = {"big": 12345678901234567890123, "text": "é \\n\\u2028", "nested": [[], {}]}
send(odd, "b")
send("for a", "a")
requests.post(
    f"{base}/internal/messages/{message['activationId']}/{message['channelId']}/b",
    data=b'{\\n  "pretty":\\r\\n 1.50 }\\n',
    headers={"Authorization": "Bearer " + message["token"]},
    timeout=30,
).raise_for_status()
"""
    )
    live.skill("plain", program, prelude="", outputs=("a", "b"))
    assert live.invoke("plain")["response"] == [
        "for a",
        {"big": 12345678901234567890123, "text": "é \n\u2028", "nested": [[], {}]},
        {"pretty": 1.5},
    ]


def test_a_key_makes_a_repeated_call_count_once(live: Live) -> None:
    program = PLAIN.format(port="") + "for key in 'aab': send(key, 'response', **{'Idempotency-Key': key})"
    live.skill("plain", program, prelude="")
    assert live.invoke("plain")["response"] == ["a", "b"]


def test_wrong_calls_are_refused_with_a_reason(live: Live) -> None:
    program = (
        PLAIN.format(port="")
        + """
def status(path, token=message["token"], data=b"1"):
    answer = requests.post(base + path, data=data, headers={"Authorization": "Bearer " + token}, timeout=30)
    assert answer.json()["success"] is False and answer.json()["message"], answer.text
    return answer.status_code

good = f"/internal/messages/{message['activationId']}/{message['channelId']}/response"
print(json.dumps([
    status(good, token="x.y.z"),
    status(good, token=message["token"] + "x"),
    status(f"/internal/messages/{message['activationId']}/else/response"),
    status(f"/internal/messages/someactivation/{message['channelId']}/response"),
    status(good + "s"),
    status(good, data=b"not json"),
    status(good, data=b"NaN"),
    status(good, data=b""),
    status(good, data=b'"' + b"x" * (16 << 20) + b'"'),
    status("/fabric/v4/projects/local/skills"),
]))
"""
    )
    live.skill("plain", program, prelude="", response="json")
    assert live.invoke("plain")["response"] == [401, 401, 401, 401, 400, 400, 400, 400, 413, 403]


def test_a_sender_waits_at_the_end_of_the_credit_of_its_consumer(live: Live) -> None:
    """With 16 MiB a record and 64 MiB of credit, further calls are answered only once the consumer has begun."""
    program = (
        PLAIN.format(port="")
        + """
for n in range(6):
    send("x" * (15 << 20), "response")
    open(os.path.join(os.environ["FABRIC_JOBS_WORKSPACE"], f"sent-{n}"), "w").close()
"""
    )
    live.skill("plain", program, prelude="")
    live.skill(
        "late", "open(ROOT / 'gate').read()\nprint(sum(1 for r in messages()))", receives="stream", response="json"
    )
    live.skill("other", "print(1)")
    live.agent("slow", ("input", "plain"), ("plain", "late"), ("late", "output"))
    gate = live.gate("gate")
    activation = live.detach("slow", kind="agents")
    until((live.root / "sent-4").exists, "64 MiB are sent")
    live.invoke("other")
    assert not (live.root / "sent-5").exists()
    live.release(gate)
    assert live.wait(activation)["response"] == 6
