"""Calls of an attempt to the gateway: its token is valid for its own attempt, inputs and outputs only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fabric_jobs.gateway.app import OPERATIONS
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection
from tests.acceptance.live import Live, until
from tests.gateway.routes import filled

HOLD = """
for record in [1]:
    (ROOT / f"message-{message()['activationId']}.part").write_text(json.dumps({
        **message(), "attempt": os.environ["FABRIC_JOBS_ATTEMPT"], "socket": os.environ["FABRIC_JOBS_SOCKET"]
    }))
    (ROOT / f"message-{message()['activationId']}.part").rename(ROOT / f"message-{message()['activationId']}")
    open(ROOT / "gate").read()
"""


class Job:
    """Makes the calls of a stream skill's attempt, whose own program only waits."""

    def __init__(self, live: Live, payload: object = "secret", *, activation: str = "") -> None:
        """Invoke the skill, unless `activation` is one that has begun."""
        activation = activation or live.detach("held", payload)
        file = live.root / f"message-{activation}"
        until(file.exists, "the job runs")
        self.message = json.loads(file.read_text())
        self.attempt = self.message["attempt"]
        self.sequence = 0
        self.channel = 0
        channel, first, record = self.pull()
        assert (first, record) == (0, payload)
        self.channel = channel

    def call(self, method: str, path: str, body: bytes = b"", *, token: str | None = None) -> Answer:
        connection = Connection(self.message["socket"], self.message["token"] if token is None else token)
        try:
            return connection.request(method, f"/px/internal/{path}", body, timeout=60)
        finally:
            connection.close()

    def pull(self, query: str = "") -> tuple[int, int, Any]:
        answer = self.call("GET", f"attempts/{self.attempt}/pull?{query}")
        assert answer.status == 200, answer
        return int(answer.headers["x-fabric-channel"]), int(answer.headers["x-fabric-first"]), json.loads(answer.body)

    def commit(self, data: bytes = b"", **head: Any) -> Answer:
        self.sequence += 1
        whole = {"sequence": self.sequence, "acks": [], "hand": None, "hold": False, "outputs": [], **head}
        return self.call("POST", f"attempts/{self.attempt}/commit", json.dumps(whole).encode() + b"\n" + data)

    def out(self, live: Live) -> int:
        return int(live.progress(self.message["activationId"])["held"]["out"])


@pytest.fixture
def held(live: Live) -> Iterator[Live]:
    live.skill("held", HOLD, receives="stream")
    live.gate("gate")
    yield live
    live.ok("activations", "list")
    for activation in live.get("/activations?status=pending")["activations"]:
        live.ok("activations", "cancel", activation["activationId"])


def refused(answer: Answer, status: int) -> str:
    """Check an error; return its message."""
    value = json.loads(answer.body)
    assert answer.status == status, value
    assert value["success"] is False
    message: str = value["message"]
    return message


def test_a_commit_is_stored_once_however_often_it_comes(held: Live) -> None:
    job = Job(held)
    for _ in range(3):
        job.sequence = 0
        assert job.commit(b"1\n2\n", outputs=[["response", 2, 4]]).status == 200
    assert job.out(held) == 2
    assert job.commit(b"3\n", outputs=[["response", 1, 2]], acks=[[job.channel, 0, 1]]).status == 200
    assert job.out(held) == 3
    answer = job.call("GET", f"attempts/{job.attempt}/pull")
    assert (answer.status, answer.headers["x-fabric-end"]) == (204, "1")


MALFORMED = [
    b"",
    b"\n",
    b"{}",
    b"{}\n",
    b"[]\n",
    b"not json\n",
    b'{"sequence": 1}\n',
    b'{"sequence": "x", "acks": [], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": 3, "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [[1]], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [["a", "b", "c"]], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [[1, null, 2]], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [[99999999999999999999999, 0, 1]], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 99999999999999999999999, "acks": [], "hand": null, "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [], "hand": [1], "hold": false, "outputs": []}\n',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 2, 2]]}\n1\n',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 1, 3]]}\n1\n',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 1, 1]]}\n1',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 0, 0]]}\n',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 1, -2]]}\n1\n',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o", 1, 2]]}\n1\ntrailing',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": []}\ntrailing',
    b'{"sequence": 1, "acks": [], "hand": null, "hold": false, "outputs": [["o"]]}\n1\n',
]


def test_malformed_commits_are_400_and_store_nothing(held: Live) -> None:
    job = Job(held)
    for body in MALFORMED:
        assert refused(job.call("POST", f"attempts/{job.attempt}/commit", body), 400)
    assert job.out(held) == 0
    assert job.commit(b"1\n", outputs=[["response", 1, 2]]).status == 200


def test_only_own_inputs_are_acknowledged_and_only_what_is_there(held: Live) -> None:
    job, other = Job(held), Job(held, "of another")
    for ack in (
        [other.channel, 0, 1],
        [job.channel, 0, 2],
        [job.channel, 1, 1],
        [job.channel + 1, 0, 1],
        [987_654, 0, 1],
        [-1, 0, 1],
    ):
        assert refused(job.commit(b"1\n", acks=[ack], outputs=[["response", 1, 2]]), 400)
    assert job.out(held) == 0
    assert other.pull() == (other.channel, 0, "of another")


def test_a_record_in_hand_is_one_of_the_own_inputs(held: Live) -> None:
    """Otherwise the next attempt would be given another task's record."""
    job, other = Job(held), Job(held, "of another")
    assert refused(job.commit(b"1\n", hand=[other.channel, 0], outputs=[["response", 1, 2]]), 400)
    assert job.pull() == (job.channel, 0, "secret")


def test_positions_of_other_channels_read_nothing_of_them(held: Live) -> None:
    job, other = Job(held), Job(held, "of another")
    assert job.pull(f"at={other.channel}:0") == (job.channel, 0, "secret")
    for at in ("x", "1", "1:x", "1:2:3", ":"):
        assert refused(job.call("GET", f"attempts/{job.attempt}/pull?at={at}"), 400)


def test_a_token_is_good_for_its_own_attempt(held: Live) -> None:
    job, other = Job(held), Job(held, "of another")
    task = job.attempt.partition("-")[0]
    for attempt in (other.attempt, f"{task}-2", f"{task}-0", "x", "..%2f", f"{task}-1-1"):
        assert refused(job.call("GET", f"attempts/{attempt}/pull"), 401 if "%" not in attempt else 404)
        assert job.call("POST", f"attempts/{attempt}/commit", b"{}\n").status in (401, 404)
    for token in ("", "x", "a.b.c", job.message["token"][:-2], other.message["token"]):
        assert refused(job.call("GET", f"attempts/{job.attempt}/pull", token=token), 401)


def test_a_token_of_a_task_opens_nothing_of_an_admin_or_the_user(held: Live) -> None:
    job = Job(held)
    connection = Connection(job.message["socket"], job.message["token"])
    for operation in OPERATIONS:
        if operation.caller == "user" and operation.needs in ("admin", "owner"):
            assert refused(connection.request(operation.method, filled(operation), timeout=60), 403)
    connection.close()


def test_messages_go_to_the_own_outputs_only(held: Live) -> None:
    job, other = Job(held), Job(held, "of another")
    mine, theirs = job.message, other.message
    for activation, channel in (
        (theirs["activationId"], theirs["channelId"]),
        (theirs["activationId"], mine["channelId"]),
        (mine["activationId"], theirs["channelId"]),
        ("..%2f", mine["channelId"]),
    ):
        answer = job.call("POST", f"messages/{activation}/{channel}/response", b"1")
        assert refused(answer, 404 if "%" in activation else 401)
    good = f"messages/{mine['activationId']}/{mine['channelId']}/response"
    assert json.loads(job.call("POST", good, b"1").body) == {"success": True}
    assert (job.out(held), other.out(held)) == (1, 0)


def test_a_record_over_the_limit_is_413(held: Live) -> None:
    job = Job(held)
    record = b'"' + b"x" * (16 << 20) + b'"\n'
    good = f"messages/{job.message['activationId']}/{job.message['channelId']}/response"
    assert refused(job.call("POST", good, record), 413)
    assert refused(job.commit(record, outputs=[["response", 1, len(record)]]), 413)
    assert refused(job.call("POST", f"attempts/{job.attempt}/commit", b"x" * ((64 << 20) + 1)), 413)
    assert job.out(held) == 0
    at_limit = b'"' + b"x" * ((16 << 20) - 3) + b'"\n'
    assert job.commit(at_limit, outputs=[["response", 1, len(at_limit)]]).status == 200


def test_an_attempt_of_a_cancelled_task_is_over(held: Live) -> None:
    job = Job(held)
    held.ok("activations", "cancel", job.message["activationId"])
    until(lambda: job.call("GET", f"attempts/{job.attempt}/pull").status == 409, "the attempt is over")
    assert refused(job.commit(b"1\n", outputs=[["response", 1, 2]]), 409)
    good = f"messages/{job.message['activationId']}/{job.message['channelId']}/response"
    assert refused(job.call("POST", good, b"1"), 409)


def test_many_at_once(held: Live) -> None:
    """Commits of several connections go into one log, whole and without loss."""
    from concurrent.futures import ThreadPoolExecutor

    job = Job(held)
    good = f"messages/{job.message['activationId']}/{job.message['channelId']}/response"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: job.call("POST", good, str(n).encode()).status, range(300)))
    assert set(answers) == {200}
    assert job.out(held) == 300
