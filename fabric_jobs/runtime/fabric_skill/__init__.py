"""The module for a skill's program: `message`, `messages`, `send_message`, `reject`, `flush`, `logger`.

    from fabric_skill import messages, send_message

    for record in messages():
        send_message({"seen": record})

Outside fabric-jobs, `python main.py '{"payload": {}}'` works too: `messages` then reads NDJSON from standard input, and
`send_message` prints NDJSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .envelope import message
    from .json_log import logger
    from .refusal import DO_NOT_RETRY, DoNotRetry
    from .rejection import reject
    from .stream import flush, messages, send_message

__all__ = ["DO_NOT_RETRY", "DoNotRetry", "flush", "logger", "message", "messages", "reject", "send_message"]

# Loaded on first use: a job that only reads its message need not load what streams and logs.
_PLACES = {
    "message": "envelope",
    "logger": "json_log",
    "DoNotRetry": "refusal",
    "DO_NOT_RETRY": "refusal",
    "reject": "rejection",
    "flush": "stream",
    "messages": "stream",
    "send_message": "stream",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'fabric_skill' has no attribute '{name}'")
    module = __import__(f"{__name__}.{_PLACES[name]}", fromlist=[name])
    return getattr(module, name)
