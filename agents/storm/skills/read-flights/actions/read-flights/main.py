"""read-flights: sends every flight of a gzipped file, which has one JSON object per line."""

import gzip
import json
import os
from pathlib import Path

from fabric_skill import message, send_message

path = Path(os.environ.get("FABRIC_JOBS_WORKSPACE", ""), message()["payload"]["path"])
try:
    with gzip.open(path) as lines:
        for line in lines:
            send_message(json.loads(line))
except OSError as error:
    raise SystemExit(f"read-flights: cannot read {path}: {error.strerror or error}") from error
