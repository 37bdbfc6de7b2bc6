"""A server that lists a bucket with any number of objects in S3's way; nothing but listing works."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

PAGE = 1000


class HugeStore:
    """Use it in a `with`. Its keys are data/0000000.json, data/0000001.json, …"""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pages = 0  # that were asked for
        store = self

        class Handler(_Handler):
            huge = store

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HugeStore:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def page(self, first: int) -> bytes:
        """Return the objects from a number on."""
        self.pages += 1
        below = min(first + PAGE, self.count)
        listed = "".join(
            f"<Contents><Key>data/{number:07}.json</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{number}"</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for number in range(first, below)
        )
        more = f"<NextContinuationToken>{below}</NextContinuationToken>" if below < self.count else ""
        is_cut = "true" if more else "false"
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name><Prefix>data/</Prefix>'
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{is_cut}</IsTruncated>{more}{listed}</ListBucketResult>"
        ).encode()


class _Handler(BaseHTTPRequestHandler):
    huge: HugeStore
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        after = asked.get("start-after", [""])[0]
        first = 0 if after < "data/0" else int(after[5:12].ljust(7, "0")) + 1
        body = self.huge.page(int(asked.get("continuation-token", [str(first)])[0]))
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
