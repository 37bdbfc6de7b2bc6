"""judge-mood: a web server that is started once, loads its words, and answers every line with its mood."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORDS = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))


def judge(record):
    """Return a line with its mood: the sum of what its words are worth."""
    mood = sum(WORDS.get(word, 0) for word in re.findall(r"\w+", record["line"].lower()))
    return {"number": record["number"], "mood": mood}


class Handler(BaseHTTPRequestHandler):
    """Answers a call with {"payload": …}; a status of 400 or above means that this one message failed."""

    protocol_version = "HTTP/1.1"  # keeps connections open between calls

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self.answer(200, {"payload": judge(message["payload"])})
        except (KeyError, TypeError, AttributeError):
            self.answer(422, {"error": 'the payload is no line, which looks like {"number": 1, "line": "…"}'})

    def answer(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "5000"))
    ThreadingHTTPServer(address, Handler).serve_forever()
