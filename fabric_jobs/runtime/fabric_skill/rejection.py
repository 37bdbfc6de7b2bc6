"""`reject`: turns a record that cannot be handled into a dead letter, and the program goes on."""

from __future__ import annotations

import json
import sys
from typing import Any

from . import stream
from .envelope import message
from .failure import bounded, one_line, words


def reject(record: Any, reason: object, /, **details: Any) -> None:
    """Make the record at hand a dead letter with a reason, in the next commit; the program goes on with the next one.

    `record` is the last one from `messages()`, or the message or its payload; the dead letter keeps it unchanged. `reason` is a
    text or an exception. `details` are stored with it: as JSON or text, up to 8,000 characters.

    A rejected record has no output: what was sent for it and is not yet committed is dropped, and sending more raises
    RuntimeError. Raises ValueError for any other record, or without a reason.
    """
    text = words(reason) if isinstance(reason, BaseException) else one_line(str(reason))
    if not text:
        raise ValueError("reject() needs a reason for the dead letter")
    kept = bounded(details)
    sender, hand = stream.at_hand()
    if sender is None:
        shown = json.dumps(record, default=str)
        print(f"fabric_skill: rejected: {text}: {shown}", *[json.dumps(kept)] * bool(kept), file=sys.stderr, flush=True)
        return
    if not (record is hand or record == hand or (sender.work.hand() is None and record is message())):
        raise ValueError("reject() takes the current record, as messages() or message() returned it")
    sender.reject(text, kept)
