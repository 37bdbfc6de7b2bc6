"""The web socket of an agent: it takes invocations, and tells of every record that answers one (docs/howto/agent-events.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from fabric_jobs.documents import agent_from_json
from fabric_jobs.errors import FabricJobsError, InvalidInput, NotFound
from fabric_jobs.gateway import invoke
from fabric_jobs.gateway.caller import authorize
from fabric_jobs.gateway.errors import answer_error
from fabric_jobs.gateway.json_response import dumps, object_in
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.parameters import WAIT_SECONDS, P
from fabric_jobs.gateway.parts import Parts, parts_of
from fabric_jobs.gateway.response import CHUNK_BYTES, response_channels
from fabric_jobs.gateway.snapshots import frozen
from fabric_jobs.records import Activation, Channel, SavedDefinition
from fabric_jobs.routing import SOURCE, sending_id
from fabric_jobs.store import activations, definitions

INVOKE = "invokeAgent"
ROLE = "run"
TOGETHER = 100  # activations that one connection follows at a time
KEYS = (
    "payload",
    "properties",
    "sessionId",
    "correlationId",
    "activationId",
    "key",
    "ifExists",
    "callbackUrl",
)  # passed on


async def serve(websocket: WebSocket) -> None:
    """Serve one connection, until its other side or the gateway ends."""
    request = cast(Request, websocket)  # what is read of it is the same
    try:
        authorize(request, ROLE)
        conversation = Conversation(websocket, parts_of(request))
        conversation.check_agent()
    except FabricJobsError as error:
        await websocket.send_denial_response(await answer_error(request, error))
        return
    await websocket.accept()
    await conversation.run()


class Conversation:
    """What is said over one connection."""

    def __init__(self, websocket: WebSocket, parts: Parts) -> None:
        self._websocket = websocket
        self._parts = parts
        self._project: str = websocket.path_params["project"]
        self._agent: str = websocket.path_params["name"]  # or the id of a snapshot
        self._following: set[asyncio.Task[None]] = set()

    def check_agent(self) -> None:
        """Raise NotFound if there is no such agent."""
        self._saved()

    def _saved(self) -> SavedDefinition:
        sql, name, version = self._parts.store.read, self._agent, None
        if (snapshot := frozen(sql, self._project, name)) is not None:
            name, version = snapshot.agent_name, snapshot.pins["agent"]["version"]
        saved = definitions.find(sql, self._project, "agent", name, version)
        if saved is None:
            raise NotFound(f"there is no agent '{name}'.", hint="List them with `fabric-jobs agents list`.")
        return saved

    def _service(self, given: Any) -> str:
        """Return the service that a message names, by default the only one."""
        if isinstance(given, str) and given:
            return given
        names = [port.name for port in agent_from_json(self._saved().body).inputs]
        if given or len(names) != 1:
            raise InvalidInput(
                "'serviceName' is not one of the agent's services.", hint=f"Choose one: {', '.join(names)}."
            )
        return names[0]

    async def run(self) -> None:
        """Take messages until the end. Activations go on, also when nobody hears of them any more."""
        try:
            with suppress(WebSocketDisconnect):
                await self._listen()
        finally:
            for task in self._following:
                task.cancel()

    async def _listen(self) -> None:
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            await self._take(message.get("text") or message.get("bytes") or "")

    async def _take(self, message: str | bytes) -> None:
        said: Any = None
        try:
            said = object_in(message)
            activation = await self._invoke(said)
        except FabricJobsError as error:
            hint = {"hint": error.hint} if error.hint else {}
            known = {key: said[key] for key in ("activationId", "correlationId") if said and key in said}
            await self._tell({"eventType": "agent.error", "message": error.message, **hint, **known})
            return
        payload = activations.payload(self._parts.store.read, activation.activation_id)
        await self._tell(self._event("agent.input", activation, sending_id(activation.activation_id, SOURCE), payload))
        task = asyncio.create_task(self._tell_all(activation))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _invoke(self, said: Mapping[str, Any]) -> Activation:
        if said.get("action") != INVOKE:
            raise InvalidInput(f"'action' is '{INVOKE}'.", hint='Send {"action": "invokeAgent", "payload": …}.')
        if len(self._following) >= TOGETHER:
            what = f"this connection already follows {TOGETHER} activations."
            raise InvalidInput(what, hint="Wait for the end of one, or open another connection.")
        call = Call(self._scope(said), self._websocket.receive)
        authorize(call, ROLE)  # again: a token may expire or be revoked while a connection is open
        call.object = {key: said[key] for key in KEYS if key in said}
        call.take_defaults(*invoke.ASKED)
        begun = await invoke.begin(call, "agent")
        found = activations.find(self._parts.store.read, begun.activation_id)
        assert found is not None
        return found

    def _scope(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scope of the request that would do the same."""
        names = {"project": self._project, "name": self._agent, "entry": self._service(said.get("serviceName"))}
        scope = {**self._websocket.scope, "type": "http", "method": "POST", "query_string": b"", "path_params": names}
        if (token := said.get("token")) is not None:
            others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
            scope["headers"] = [*others, (b"authorization", f"Bearer {token}".encode("latin-1", "replace"))]
        return scope

    async def _tell_all(self, activation: Activation) -> None:
        with suppress(WebSocketDisconnect):
            try:
                await self._follow(activation)
            except FabricJobsError as error:  # its records are damaged
                await self._tell({**_about("agent.error", activation), "message": error.message})

    async def _follow(self, activation: Activation) -> None:
        """Tell of each record of the response as it comes, and of the end."""
        activation_id, done = activation.activation_id, dict[int, int]()
        while not self._parts.live.closing:
            now = activations.find(
                self._parts.store.read, activation_id
            )  # before its records: at its end, they are all there
            if now is None:
                return  # it was pruned
            found, is_new = response_channels(self._parts, now), False
            for channel in found:
                while done.get(channel.channel_id, 0) < channel.next_offset:
                    done[channel.channel_id] = await self._pass_on(now, channel, done.get(channel.channel_id, 0))
                    is_new = True
            if now.ended:
                await self._tell_end(now)
                return
            if not is_new:  # otherwise something may have come while it was sent
                keys = [("channel", channel.channel_id) for channel in found]
                await self._parts.live.wait([("over", activation_id), *keys], WAIT_SECONDS)

    async def _pass_on(self, activation: Activation, channel: Channel, offset: int) -> int:
        """Send some records of a channel from `offset` on; return where to go on."""
        segment = self._parts.store.records(channel.channel_id, offset, max_bytes=CHUNK_BYTES)
        if segment is None:
            return channel.next_offset
        segment = segment.part(offset, channel.next_offset - offset)
        for line in segment.bytes.split(b"\n")[: segment.count]:
            await self._tell(self._event("agent.output", activation, channel.sending_id, line))
        return segment.end

    async def _tell_end(self, activation: Activation) -> None:
        about: dict[str, Any] = {"status": activation.state.value}
        if activation.cause:
            about["cause"] = activation.cause
        if activation.error is not None:
            about["error"] = activation.error
        await self._tell({**_about("agent.end", activation), **about})

    def _event(self, kind: str, activation: Activation, channel_id: str, payload: bytes) -> dict[str, Any]:
        return {**_about(kind, activation), "channelId": channel_id, "payload": orjson.Fragment(payload)}

    async def _tell(self, event: Mapping[str, Any]) -> None:
        text = dumps({**event, "timestamp": round(time.time() * 1000)}).decode()
        await self._websocket.send_text(text)


def _about(kind: str, activation: Activation) -> dict[str, Any]:
    return {
        "eventType": kind,
        "requestId": activation.activation_id,
        "correlationId": activation.correlation_id,
        "agentName": activation.name,
        "serviceName": activation.entry,
        "sessionId": activation.session_id,
        "projectId": activation.project_id,
        "username": activation.username,
    }


ROUTES = (WebSocketRoute(P + "/agentevents/{name:path}", serve),)
