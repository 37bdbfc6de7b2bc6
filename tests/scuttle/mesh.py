"""A stub of a mesh's sidecar: Envoy's admin API, and Istio's API that ends the sidecar."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOK = "GET /envoy/server_info"
QUIT = "POST /istio/quitquitquit"
JOB = "POST /job"  # the request of the test's job when it starts


class Mesh:
    """Answers on one address, and keeps the requests in order. Envoy goes through `states`, and stays in the last."""

    def __init__(self, *states: str, host: str = "127.0.0.1") -> None:
        self.requests: list[str] = []
        self.job_runs = threading.Event()
        self._states = deque(states or ("LIVE",))
        self._lock = threading.Lock()
        self._server = _Server(self, host)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its address."""
        return f"http://{self._server.server_address[0]!s}:{self._server.server_port}"

    def variables(self) -> dict[str, str]:
        """Return the variables that point scuttle to it."""
        return {"ENVOY_ADMIN_API": f"{self.address}/envoy", "ISTIO_QUIT_API": f"{self.address}/istio"}

    def answer(self, request: str) -> dict[str, str]:
        """Keep a request, and return its answer."""
        with self._lock:
            self.requests.append(request)
            if request == JOB:
                self.job_runs.set()
            if request != LOOK:
                return {}
            return {"state": self._states.popleft() if len(self._states) > 1 else self._states[0]}

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(self, mesh: Mesh, host: str) -> None:
        self.mesh = mesh
        super().__init__((host, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        answer = json.dumps(self.server.mesh.answer(f"{self.command} {self.path}")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        self._read_body()
        self.do_GET()

    def _read_body(self) -> None:
        """Read a body, also scuttle's chunked one: closing with unread data would reset the connection."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
