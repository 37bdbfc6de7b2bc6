"""A tiny API server with TLS that knows one token at a time, and a kubeconfig for it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

VERSION = {"gitVersion": "v1.34.4"}


class ApiServer:
    """It answers /version to the bearer of `token`, and 401 to others."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self.token = "right"
        self.asked: list[str] = []  # the tokens that came
        self.certificate, key = directory / "ca.crt", directory / "ca.key"
        words = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:cluster.test,IP:127.0.0.1"]
        words += ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]
        words += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(["openssl", "req", *words], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_port)
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def config(self, user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
        """Return a kubeconfig for a user."""
        where = {"server": self.url, "certificate-authority": str(self.certificate), **cluster}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tiny",
            "clusters": [{"name": "tiny", "cluster": where}],
            "contexts": [{"name": "tiny", "context": {"cluster": "tiny", "user": "me", "namespace": "mine"}}],
            "users": [{"name": "me", "user": user}],
        }

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that do not trust it."""


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        token = (self.headers["Authorization"] or "").split(" ")[-1]
        self.api.asked.append(token)
        is_known = token == self.api.token
        status = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
        body = json.dumps(VERSION if is_known else status).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Tunnels:
    """A proxy that opens tunnels (CONNECT) to one port of this machine, whatever host is asked for."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                incoming, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(incoming,), daemon=True).start()

    def _serve(self, incoming: socket.socket) -> None:
        with incoming, socket.create_connection(("127.0.0.1", self._to)) as outgoing:
            said = b""
            while b"\r\n\r\n" not in said:
                said += incoming.recv(4096)
            self.asked.append(said.split(b" ")[1].decode())
            incoming.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(outgoing, incoming), daemon=True)
            back.start()
            _pass_on(incoming, outgoing)
            back.join()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)


def written(path: Path, config: Any) -> Path:
    """Write a kubeconfig."""
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return path
