"""`logger`: one JSON object per line on standard output, as code for Cortex Labs expects it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import date
from datetime import time as time_of_day
from typing import Any

LEVEL = "CORTEX_LOG_LEVEL"
DEPTH = 100  # levels of arrays and objects in a value
EXTRA = 8  # the position of `extra` among the arguments of makeRecord


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON; raises nothing, whatever is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, message and process, then the keys of a message that is a dictionary, then `extra`."""
        given = record.msg if isinstance(record.msg, dict) and not record.args else {}
        text = given.get("message") if given else _message(record)
        entry: dict[str, Any] = {"asctime": _time(record), "levelname": record.levelname}
        entry.update(message=text, process=record.process)
        _add(entry, {key: value for key, value in given.items() if key != "message"})
        if record.exc_info:
            _add(entry, {"exc_info": record.exc_text or self.formatException(record.exc_info)})
        if record.stack_info:
            _add(entry, {"stack_info": self.formatStack(record.stack_info)})
        _add(entry, getattr(record, "cortex_extra", {}))
        try:
            return json.dumps(entry, default=_other, allow_nan=False)
        except (
            Exception
        ):  # a key that is not text, a number that is not JSON, what contains itself, or code of the user
            return json.dumps(_plain(entry, ()))


class CortexLogger(logging.Logger):
    """A logger whose `extra` may have any keys."""

    def makeRecord(self, *args: Any, **options: Any) -> logging.LogRecord:
        """Return a log record that has `extra` in one attribute, since the original raises where a name is taken."""
        given = list(args)
        extra = given[EXTRA] if len(given) > EXTRA else options.pop("extra", None)
        given[EXTRA : EXTRA + 1] = [None] * (len(given) > EXTRA)
        record = super().makeRecord(*given, **options)
        vars(record)["cortex_extra"] = extra if isinstance(extra, dict) else {"extra": extra} if extra else {}
        return record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # what is logged does not fit its format, or is code of the user
        return f"{_other(record.msg)} {_other(record.args)}"


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created)) + f",{int(record.msecs):03d}"


def _add(entry: dict[str, Any], more: dict[Any, Any]) -> None:
    """Add keys; one that the line already has gets an underscore at its end."""
    for key, value in more.items():
        name = key if isinstance(key, str) else _other(key)
        if name.startswith("_"):
            continue
        while name in entry:
            name += "_"
        entry[name] = value


def _other(value: Any) -> str:
    """Return a value that JSON does not have as text."""
    try:
        return value.isoformat() if isinstance(value, (date, time_of_day)) else str(value)
    except Exception:  # code of the user
        return f"<{type(value).__name__}>"


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """Return a value with all that JSON does not have as text."""
    if isinstance(value, (dict, list, tuple)) and id(value) not in above and len(above) < DEPTH:
        inside = (*above, id(value))
        if isinstance(value, dict):
            return {key if isinstance(key, str) else _other(key): _plain(each, inside) for key, each in value.items()}
        return [_plain(each, inside) for each in value]
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float) and float("-inf") < value < float("inf"):
        return float(value)
    return _other(value)


def _make() -> logging.Logger:
    before = logging.getLoggerClass()
    logging.setLoggerClass(CortexLogger)
    made = logging.getLogger("cortex")
    logging.setLoggerClass(before)
    if not made.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
        made.addHandler(handler)
        made.propagate = False
    return made


def set_level() -> None:
    """Take the level from the environment: debug, info, warning or error."""
    level = os.environ.get(LEVEL, "").upper()
    logger.setLevel(level if level in ("DEBUG", "INFO", "WARNING", "ERROR") else "INFO")


logger = _make()
set_level()
