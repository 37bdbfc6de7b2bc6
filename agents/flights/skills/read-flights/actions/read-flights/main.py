"""read-flights: sends every flight of a file that holds one JSON object per line, plain or gzipped (`.gz`)."""

import gzip
import json
import os
import sys
import zlib
from pathlib import Path


class BadInput(Exception):
    """What the payload names cannot be read; the text says what and where."""


def path_of(payload):
    """Return the file that the payload names; a relative path starts at the workspace."""
    path = payload.get("path") if isinstance(payload, dict) else None
    if not isinstance(path, str) or not path:
        raise BadInput('the payload names no file; it looks like {"path": "data/2013-01.ndjson.gz"}')
    return Path(os.environ.get("FABRIC_JOBS_WORKSPACE", ""), path)


def flights(path):
    """Yield every flight of the file, in order; raise BadInput for a line that is none, an empty file, or no file."""
    flight = None
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    flight = json.loads(line)
                except ValueError:
                    if not line.strip():
                        continue
                    flight = None
                if not isinstance(flight, dict):
                    raise BadInput(f"line {number} of {path} is not a JSON object")
                yield flight
        if flight is None:
            raise BadInput(f"{path} holds no flights")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def main():
    """Send every flight; end with exit code 2 and one line on stderr when the input is wrong."""
    from fabric_skill import message, send_message

    try:
        for flight in flights(path_of(message()["payload"])):
            send_message(flight)
    except BadInput as error:
        print(f"read-flights: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
