"""Receivers of remote write and OTLP on loopback that answer as told, and what was sent to them, decoded."""

import contextlib
import gzip
import http.server
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cramjam

from peerscope.export.wire import STALE, WriteRequest

TAKEN = (204, {})
NO_ANSWER = (0, {})
"""The connection is closed instead."""


class Asked(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """Of the client: one for each connection."""


class Written(NamedTuple):
    """One sample of remote write."""

    name: str
    labels: dict[str, str]
    at_ms: int
    value: float

    @property
    def is_stale(self) -> bool:
        """It ends its series."""
        return struct.pack("<d", self.value) == struct.pack("<d", STALE)


class Receiver:
    """An HTTP server; `answers` says what to answer to each request."""

    def __init__(self, answers: Callable[[Asked], tuple[int, dict[str, str]]]) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        """Every request, in order."""
        self.taken: list[Asked] = []
        """Those that were answered with 2xx."""
        self.lock = threading.Lock()
        self.url = ""

    def written(self) -> list[Written]:
        """The samples of all requests that were taken."""
        with self.lock:
            return [sample for one in self.taken for sample in decoded(one.body)]


def decoded(body: bytes) -> list[Written]:
    """The samples of one request of remote write."""
    request = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    found = []
    for series in request.timeseries:
        labels = {label.name: label.value for label in series.labels}
        assert list(labels) == sorted(labels), "labels are sorted by name"
        assert len(labels) == len(series.labels), "no label comes twice"
        assert all(labels.values()), "no label is empty"
        name = labels.pop("__name__")
        found += [Written(name, labels, sample.timestamp, sample.value) for sample in series.samples]
    return found


class Page(http.server.BaseHTTPRequestHandler):
    """Keeps connections, as stores do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a refusal, headers and text, takes the 40 ms of a delayed acknowledgement

    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = Asked(
            self.path, {name.lower(): value for name, value in self.headers.items()}, body, self.client_address[1]
        )
        status, headers = receiver.answers(asked)
        text = headers.get("says", "").encode()
        with receiver.lock:
            receiver.asked.append(asked)
            if 200 <= status < 300:
                receiver.taken.append(asked)
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            if name != "says":
                self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def receiving(
    answers: Callable[[Asked], tuple[int, dict[str, Any]]] = lambda _: TAKEN, port: int = 0
) -> Iterator[Receiver]:
    """A receiver, closed on the way out; on any free port, or one that it had before."""
    receiver = Receiver(answers)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    server.daemon_threads = True
    server.receiver = receiver  # type: ignore[attr-defined]
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
