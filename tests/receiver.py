"""An HTTP receiver for tests: remembers every request, and answers as it is told."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

PATIENCE_S = 30.0


class Request(Struct):
    """One POST or GET."""

    path: str
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes
    method: str = "POST"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Listens on loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[Request] = []
        self.status = 200
        self.answer_headers: dict[str, str] = {}
        self.free = threading.Event()
        """Until it is set, nobody is answered."""
        self.free.set()

    def wait_for(self, count: int) -> list[Request]:
        """So many requests have come; all of them."""
        end = time.monotonic() + PATIENCE_S
        while len(self.requests) < count:
            assert time.monotonic() < end, f"{len(self.requests)} requests instead of {count}"
            time.sleep(0.01)
        return list(self.requests)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.requests.append(Request(self.path, headers, body, self.command))
        receiver.free.wait()
        with contextlib.suppress(OSError):  # it gave up meanwhile
            self.send_response(receiver.status)
            for name, value in receiver.answer_headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on any free port; gone on the way out."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_port)
    server.receiver = receiver  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.free.set()
        server.shutdown()
        server.server_close()
        thread.join()
