"""The web socket that follows the logs of a job."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from fabric_jobs.gateway.stream_logs import NOTHING, shown
from tests.acceptance.live import Live
from tests.gateway.jobs import Apis

LOGGING = """
    from cortex_internal.lib.log import logger

    class Task:
        def __call__(self, config):
            print("plain", flush=True)
            open(config["gate"]).read()
            logger.info("of the logger", extra={"accuracy": 0.97})
            print("without an end", end="", flush=True)
    """


def listen(apis: Apis, path: str, token: str) -> list[str]:
    """Return the frames that a web socket sends."""

    async def listened() -> list[str]:
        headers = {"Authorization": f"Bearer {token}"}
        host, port = apis.caller.place
        url = f"ws://{host}:{port}{path}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
            return [frame.data async for frame in socket]

    return asyncio.run(listened())


def test_it_sends_what_is_printed_until_the_job_ends(live: Live) -> None:
    apis = Apis(live)
    gate = live.gate("gate")
    apis.deploy("talk", LOGGING, "TaskAPI", config={"gate": str(gate)})
    job_id = apis.submit("/tasks/talk")["job_id"]
    live.release(gate)
    frames = listen(apis, f"/streamlogs/talk?jobID={job_id}", apis.caller.address.token)
    assert [frames.index(line) for line in ("plain", "of the logger", "without an end")] == [0, 1, 2]
    apis.deploy("silent", "class Task:\n    def __call__(self, config): pass\n", "TaskAPI")
    job_id = apis.submit("/tasks/silent")["job_id"]
    assert listen(apis, f"/streamlogs/silent?jobID={job_id}", apis.caller.address.token) == [NOTHING]


def test_it_is_refused_like_other_calls(live: Live) -> None:
    apis = Apis(live)
    apis.deploy("ask", "class Task:\n    def __call__(self, config): pass\n", "TaskAPI")
    token = apis.caller.address.token
    for path, given, status in (
        ("/streamlogs/ask", token, 400),
        ("/streamlogs/ask?jobID=0123456789abcdef", token, 400),
        ("/streamlogs/none?jobID=0123456789abcdef", token, 400),
        ("/streamlogs/ask?jobID=0", "wrong", 401),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            listen(apis, path, given)
        assert caught.value.status == status, path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", "plain"),
        ("{not JSON", "{not JSON"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"message": 7}', '{"message": 7}'),
        (json.dumps({"message": "m", "process": 1}), "m"),
        (json.dumps({"msg": "m"}), "m"),
        (json.dumps({"message": "m", "exc_info": "Traceback\n  x"}), "m\nTraceback\n  x"),
        ("", ""),
    ],
)
def test_of_json_only_the_message_is_shown(line: str, expected: str) -> None:
    assert shown(line) == expected
