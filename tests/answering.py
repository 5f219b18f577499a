"""An HTTP interface whose answers may be changed at any time: recorded ones, wrong ones, none."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answers:
    """By path; each an object that becomes JSON, bytes, or a function of the question."""

    def __init__(self) -> None:
        self.url = ""
        self.by_path: dict[str, Any] = {}
        self.status = 200
        self.short_by = 0
        """Bytes that are announced and never come."""
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []
        """Method, path, question and headers."""

    def answer(self, path: str, question: Any) -> tuple[int, bytes]:
        """Status and body."""
        found = self.by_path.get(path)
        if found is None:
            return 404, b"404 page not found"
        if callable(found):
            call: Callable[[Any], Any] = found
            found = call(question)
        if isinstance(found, tuple):
            status, body = found
            return int(status), body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.status, found if isinstance(found, bytes) else json.dumps(found).encode()


@contextlib.contextmanager
def answering() -> Iterator[Answers]:
    """On a free port of loopback."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            question = json.loads(data) if data else None
            answers.asked.append((self.command, self.path, question, dict(self.headers)))
            status, body = answers.answer(self.path, question)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) + answers.short_by))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
