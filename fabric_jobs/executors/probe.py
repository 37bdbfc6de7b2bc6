"""The program that tests from inside a container whether it reaches the gateway. It needs a Python of any 3.x."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

UNREACHED = 3  # exit code; the program has printed why
CHECK = f"""\
import http.client, sys, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(sys.argv[1], timeout=5).close()
except (OSError, http.client.HTTPException) as error:
    is_other = hasattr(error, "code")
    print(f"another server answers there, with {{error.code}}" if is_other else getattr(error, "reason", error), file=sys.stderr)
    sys.exit({UNREACHED})
"""


def command(url: str) -> list[str]:
    """Return the command line that asks the gateway at a URL."""
    return ["python3", "-c", CHECK, urlunsplit((*urlsplit(url)[:2], "/healthz", "", ""))]
