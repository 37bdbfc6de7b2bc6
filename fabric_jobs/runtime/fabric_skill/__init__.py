"""What a skill's program uses: `message`, `messages`, `send_message`, `flush`, `logger`.

    from fabric_skill import messages, send_message

    for record in messages():
        send_message({"seen": record})

Outside fabric-jobs, `python main.py '{"payload": {}}'` works too: `messages` then reads NDJSON from standard input, and
`send_message` prints NDJSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .envelope import message
from .stream import flush, messages, send_message

if TYPE_CHECKING:
    import logging

    logger: logging.Logger

__all__ = ["flush", "logger", "message", "messages", "send_message"]


def __getattr__(name: str) -> Any:
    if name == "logger":  # imported late: most jobs do not log, and logging takes longer to import than all of this
        from .json_log import logger

        return logger
    raise AttributeError(f"module 'fabric_skill' has no attribute '{name}'")
