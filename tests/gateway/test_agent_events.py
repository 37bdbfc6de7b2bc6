"""The web socket of an agent, with a real client: invocations in, records out while they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.access import make_project, make_token
from tests.gateway.test_users import Caller, skill

ECHO = "print(message()['payload'], end='')"
STREAM = "for n in range(3): send_message(n); flush(); open(ROOT / f'gate-{n}').read()"
SECONDS = 60.0

Talk = Callable[["Socket"], Awaitable[None]]


class Socket:
    """A connection to an agent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self._socket.send_str(json.dumps(message))

    async def text(self, text: str) -> None:
        """Send any text."""
        await self._socket.send_str(text)

    async def hear(self, kind: str = "") -> Any:
        """Return the next event, which has to be of this kind."""
        event = await asyncio.wait_for(self._socket.receive_json(), SECONDS)
        assert kind in ("", event["eventType"]), event
        return event

    async def ended(self) -> int | None:
        """Wait for the end of the connection, and return its code."""
        while not self._socket.closed:
            await asyncio.wait_for(self._socket.receive(), SECONDS)
        return self._socket.close_code


def url_of(live: Live, agent: str, prefix: str = "") -> str:
    return f"{live.published().url.replace('http', 'ws', 1)}{prefix}{PROJECT}/agentevents/{agent}"


def talk(live: Live, agent: str, talking: Talk, **given: Any) -> None:
    """Open a connection, and talk over it."""
    live.ok("tasks", "list")
    asyncio.run(_talk(url_of(live, agent, given.pop("prefix", "")), live.published().token, talking, **given))


async def _talk(url: str, token: str, talking: Talk, **headers: str) -> None:
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=sent) as socket:
        await talking(Socket(socket))


def refused(live: Live, path: str, token: str | None = None) -> int:
    """Return the status of the answer to a handshake that is refused."""
    live.ok("tasks", "list")
    address = live.published()

    async def nothing(socket: Socket) -> None:
        pytest.fail("it was accepted")

    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        asyncio.run(_talk(address.url.replace("http", "ws", 1) + path, token or address.token, nothing))
    return caught.value.status


def saved(live: Live) -> Caller:
    """Save the agent `both` of two skills by invoking it, and return a caller."""
    live.skill("first", "send_message(message()['payload'])")
    live.skill("echo", ECHO)
    live.agent("both", ("input", "first"), ("first", "echo"), ("echo", "output"))
    live.invoke("both", 0, kind="agents")
    return Caller(live)


def test_an_agent_is_invoked_and_answers(live: Live) -> None:
    caller = saved(live)
    heard: list[Any] = []

    async def talking(socket: Socket) -> None:
        more = {"serviceName": "input", "sessionId": "s1", "correlationId": "c1"}
        await socket.say(action="invokeAgent", payload={"größe": 10**30}, **more)
        heard.extend([await socket.hear(kind) for kind in ("agent.input", "agent.output", "agent.end")])

    talk(live, "both", talking)
    given, answer, end = heard
    record = caller.get(f"/activations/{given['requestId']}")
    assert (record["agentName"], record["sessionId"], record["correlationId"]) == ("both", "s1", "c1")
    assert (given["payload"], answer["payload"]) == ({"größe": 10**30}, record["response"])
    for event in heard:
        assert (event["agentName"], event["serviceName"], event["projectId"]) == ("both", "input", "local")
        assert (event["sessionId"], event["requestId"]) == ("s1", record["activationId"])
        assert isinstance(event["timestamp"], int)
    assert given["channelId"] != answer["channelId"]
    assert (end["status"], "cause" in end) == ("COMPLETE", False)
    assert "token" not in given


def test_records_are_told_while_the_program_runs(live: Live) -> None:
    live.skill("three", STREAM)
    live.skill("echo", ECHO)
    live.agent("slow", ("input", "three"), ("three", "output"))
    gates = [live.gate(f"gate-{n}") for n in range(3)]
    activation = live.detach("slow", kind="agents")
    for gate in gates:
        live.release(gate)
    live.wait(activation)

    async def talking(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload=1)
        await socket.hear("agent.input")
        for n, gate in enumerate(gates):
            assert (await socket.hear("agent.output"))["payload"] == n
            await asyncio.to_thread(live.release, gate)
        assert (await socket.hear("agent.end"))["status"] == "COMPLETE"

    talk(live, "slow", talking)


def test_many_invocations_share_a_connection_and_a_failure_is_told(live: Live) -> None:
    saved(live)
    live.skill("fails", "sys.exit(7)")
    live.agent("bad", ("input", "fails"), ("fails", "output"))
    live.run("agents", "invoke", "bad", "--payload", "1")

    async def talking(socket: Socket) -> None:
        for number in range(5):
            await socket.say(action="invokeAgent", payload=number, correlationId=str(number))
        events = [await socket.hear() for _ in range(15)]
        for number in range(5):
            own = [event for event in events if event["correlationId"] == str(number)]
            assert [event["eventType"] for event in own] == ["agent.input", "agent.output", "agent.end"]
            assert own[1]["payload"] == str(number)

    talk(live, "both", talking, prefix="/px")

    async def failing(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload=1)
        await socket.hear("agent.input")
        end = await socket.hear("agent.end")
        assert (end["status"], end["error"]["exitCode"]) == ("ERROR", 7)

    talk(live, "bad", failing)


def test_what_is_wrong_is_told_and_the_connection_stays(live: Live) -> None:
    caller = saved(live)
    before = len(caller.get("/activations")["activations"])
    wrong: list[dict[str, Any]] = [
        {"payload": 1},
        {"action": "deleteAgent", "payload": 1},
        {"action": "invokeAgent"},
        {"action": "invokeAgent", "payload": 1, "serviceName": "none"},
        {"action": "invokeAgent", "payload": 1, "serviceName": 5},
        {"action": "invokeAgent", "payload": 1, "sessionId": 5},
        {"action": "invokeAgent", "payload": 1, "properties": []},
        {"action": "invokeAgent", "payload": 1, "callbackUrl": "http://127.0.0.1/"},
        {"action": "invokeAgent", "payload": 1, "activationId": "a/b"},
        {"action": "invokeAgent", "payload": 1, "token": "wrong"},
        {"action": "invokeAgent", "payload": 1, "token": "größe\n\u20ac"},
        {"action": "invokeAgent", "payload": 1, "token": 5},
    ]

    async def talking(socket: Socket) -> None:
        for message in wrong:
            await socket.say(**message, correlationId="c")
            error = await socket.hear("agent.error")
            assert (error["correlationId"], bool(error["message"])) == ("c", True), message
        for text in ("", "no JSON", "[]", "5", '{"a": NaN}', '{"sessionId": "\\ud800"}', "[" * 100_000):
            await socket.text(text)
            assert (await socket.hear("agent.error"))["message"]
        await socket.say(action="invokeAgent", payload=1, token=live.published().token)
        await socket.hear("agent.input")

    talk(live, "both", talking)
    assert len(caller.get("/activations")["activations"]) == before + 1


def test_a_handshake_needs_a_token_and_an_agent(live: Live) -> None:
    saved(live)
    assert refused(live, f"{PROJECT}/agentevents/both", "wrong") == 401
    assert refused(live, f"{PROJECT}/agentevents/none") == 404
    assert refused(live, f"{PROJECT}/agentevents/first") == 404  # a skill
    assert refused(live, f"{PROJECT}/skills") == 403
    assert refused(live, "/nothing") == 403
    Caller(live).refused(404, "GET", f"{PROJECT}/agentevents/both")


def test_an_activation_goes_on_when_its_caller_has_gone(live: Live) -> None:
    live.skill("held", "open(ROOT / 'gate').read(); print('through', end='')")
    live.agent("alone", ("input", "held"), ("held", "output"))
    gate = live.gate("gate")
    live.detach("alone", kind="agents")
    live.release(gate)
    ids: list[str] = []

    async def talking(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload=1)
        ids.append((await socket.hear("agent.input"))["requestId"])

    talk(live, "alone", talking)
    live.release(gate)
    assert live.wait(ids[0])["response"] == "through"


def test_a_message_that_is_sent_again_attaches_and_hears_everything_again(live: Live) -> None:
    caller = saved(live)
    before = len(caller.get("/activations")["activations"])

    async def talking(socket: Socket) -> None:
        for _ in range(2):
            await socket.say(action="invokeAgent", payload="x", key="once")
            heard = [await socket.hear(kind) for kind in ("agent.input", "agent.output", "agent.end")]
            assert [event.get("payload") for event in heard] == ["x", "x", None]
        await socket.say(action="invokeAgent", payload="y", key="once")
        assert "payload" in (await socket.hear("agent.error"))["message"]
        await socket.say(action="invokeAgent", payload="x", key="once", ifExists="fail")
        assert "exists" in (await socket.hear("agent.error"))["message"]

    for _ in range(2):
        talk(live, "both", talking)
    assert len(caller.get("/activations")["activations"]) == before + 1


def test_a_snapshot_has_a_web_socket_too(live: Live) -> None:
    saved(live)
    key = live.ok("agents", "create-snapshot", "both").out.strip()

    async def talking(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload="x")
        assert (await socket.hear("agent.input"))["agentName"] == "both"
        assert (await socket.hear("agent.output"))["payload"] == "x"

    talk(live, key, talking)


def test_a_message_over_the_limit_ends_the_connection(live: Live) -> None:
    saved(live)

    async def talking(socket: Socket) -> None:
        await socket.text(" " * ((64 << 20) + 1))
        assert await socket.ended() == 1009

    talk(live, "both", talking)
    saved(live)  # the gateway still works


def test_the_gateway_ends_its_connections_when_it_ends(live: Live) -> None:
    caller = saved(live)

    async def talking(socket: Socket) -> None:
        live.stop_owner()
        assert await socket.ended() == 1012

    talk(live, "both", talking)
    live.ok("tasks", "list")
    assert live.owner() != caller.address.pid


def test_an_owner_stays_while_a_connection_is_open(live: Live, tmp_path: Path) -> None:
    live.environment["FABRIC_JOBS_IDLE_SECONDS"] = "0.2"
    saved(live)

    async def talking(socket: Socket) -> None:
        pid = live.owner()
        other = live.start("serve", "--until-idle", "--state-dir", str(tmp_path / "other"))
        await asyncio.to_thread(other.finish)  # as long as an idle one takes
        await socket.say(action="invokeAgent", payload=1)
        await socket.hear("agent.input")
        assert live.owner() == pid

    talk(live, "both", talking)
    until(lambda: live.address() is None, "the owner ends")


def test_an_agent_with_several_services_wants_one_named(live: Live) -> None:
    caller = Caller(live)
    caller.post("/skills", skill())
    inputs = [{"name": name, "signalId": name, "output": "output"} for name in ("a", "b")]
    mappings = [{"from": {"input": {"signalId": name}}, "to": "output"} for name in ("a", "b")]
    caller.post("/agents", {"name": "two", "inputs": inputs, "skills": [], "mappings": mappings})

    async def talking(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload=1)
        assert "a, b" in (await socket.hear("agent.error"))["hint"]
        await socket.say(action="invokeAgent", payload=1, serviceName="b")
        assert (await socket.hear("agent.input"))["serviceName"] == "b"
        assert (await socket.hear("agent.output"))["payload"] == 1

    talk(live, "two", talking)


def test_a_personal_token_needs_the_role_run_in_the_project_and_is_asked_for_each_message(live: Live) -> None:
    caller = saved(live)
    make_project(caller, "other")
    path = f"{PROJECT}/agentevents/both"
    runs, reads, others = (
        make_token(caller, "runs"),
        make_token(caller, "reads", "read"),
        make_token(caller, "others", "admin", "other"),
    )
    assert refused(live, path, reads.jwt()) == 403
    assert refused(live, path, others.jwt()) == 403
    assert refused(live, path, runs.jwt(seconds=-5)) == 401

    async def talking(socket: Socket) -> None:
        await socket.say(action="invokeAgent", payload=1)
        assert (await socket.hear("agent.input"))["username"] == "runs"
        await socket.hear("agent.output")
        await socket.hear("agent.end")
        await socket.say(action="invokeAgent", payload=1, token=reads.jwt())
        assert "'run'" in (await socket.hear("agent.error"))["message"]
        await asyncio.to_thread(caller.call, "DELETE", f"{PROJECT}/tokens/runs")
        await socket.say(action="invokeAgent", payload=1)
        assert "revoked" in (await socket.hear("agent.error"))["message"]

    asyncio.run(_talk(url_of(live, "both"), runs.jwt(), talking))
