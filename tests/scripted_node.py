"""An HTTP interface that answers from a table, for sources under test."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Asked:
    """One request."""

    def __init__(self, path: str, headers: Any, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body


class Answered:
    """One answer."""

    def __init__(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.body, self.status = body, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ScriptedNode:
    """Answers with what `answer` says, and keeps the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Asked] = []
        self.answer: Callable[[Asked], Answered] = lambda asked: Answered(b"{}")


@contextlib.contextmanager
def scripted_node() -> Iterator[ScriptedNode]:
    """A node on loopback."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.path, self.headers, body)
            node.requests.append(asked)
            answered = node.answer(asked)
            self.send_response(answered.status)
            headers = {"Content-Length": str(len(answered.body)), "Content-Type": "application/json"}
            for name, value in (headers | answered.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answered.body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    node = ScriptedNode(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
