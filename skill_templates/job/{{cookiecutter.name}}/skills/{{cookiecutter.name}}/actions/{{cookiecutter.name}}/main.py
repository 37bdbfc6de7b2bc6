"""{{ cookiecutter.name }}: prints the payload of the message that it is invoked with.

Try it here, without anything else:  python3 main.py '{"payload": "hello"}'
"""

import json
import sys
from pathlib import Path


def payload_of(message):
    """Return the payload; one that is too large for a command line comes in a file."""
    if "payloadFile" in message:
        return json.loads(Path(message["payloadFile"]).read_text(encoding="utf-8"))
    return message["payload"]


if __name__ == "__main__":
    message = json.loads(sys.argv[-1])
    print(f"Received: {payload_of(message)}")
