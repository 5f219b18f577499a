"""BitTorrent clients on loopback for tests: a torrent, a tracker that works, and the clients that share it.

The tracker (BEP 3, compact answers of BEP 23) keeps who announced itself. The torrent names a second tracker, which
nobody runs.
"""

import contextlib
import hashlib
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

READY_S = 60.0
PIECE_BYTES = 32768
DATA = bytes(range(256)) * 2000
DEAD_TRACKER = "http://127.0.0.1:1/announce?passkey=secret"


def bencode(value: object) -> bytes:
    """The encoding of BEP 3."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    raise TypeError(type(value))


def torrent(trackers: list[str]) -> bytes:
    """A torrent of one file, "data". Each tracker is a tier of its own, so that clients announce to all."""
    pieces = [hashlib.sha1(DATA[at : at + PIECE_BYTES]).digest() for at in range(0, len(DATA), PIECE_BYTES)]
    info = {"name": "data", "length": len(DATA), "piece length": PIECE_BYTES, "pieces": b"".join(pieces)}
    return bencode({"announce": trackers[0], "announce-list": [[one] for one in trackers], "info": info})


class Announcing(BaseHTTPRequestHandler):
    """Answers an announcement with all that announced themselves before."""

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path != "/announce":  # such as "/scrape"
            self.send_error(404)
            return
        peers: dict[tuple[str, int], None] = self.server.peers  # type: ignore[attr-defined]
        me = (self.client_address[0], int(parse_qs(place.query, errors="replace")["port"][0]))
        others = [peer for peer in peers if peer != me]
        peers[me] = None
        compact = b"".join(socket.inet_aton(host) + struct.pack("!H", port) for host, port in others)
        body = bencode({"interval": 5, "min interval": 1, "complete": 1, "incomplete": 1, "peers": compact})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def tracker() -> Iterator[str]:
    """A tracker that works; the URL for announcements."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Announcing)
    server.peers = {}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/announce"
    finally:
        server.shutdown()
        server.server_close()


class Clients:
    """Processes of one program; only these are ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: list[int] = []
        """Of the control interface of each."""
        self._processes: list[subprocess.Popen[bytes]] = []

    def place(self, number: int) -> Path:
        """The folder of a client, with what it shares."""
        place = self.folder / f"client-{number}"
        place.mkdir(exist_ok=True)
        return place

    def start(self, command: list[str], port: int, environment: dict[str, str] | None = None) -> None:
        """Start the next client."""
        self.ports.append(port)
        with (self.folder / f"log-{len(self._processes)}").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
                )
            )

    def kill(self, number: int) -> None:
        """`kill -9` one client."""
        self._processes[number].kill()
        self._processes[number].wait()

    def close(self) -> None:
        """End all."""
        for number in range(len(self._processes)):
            self.kill(number)

    def ask(self, number: int, path: str, data: bytes | None = None, **headers: str) -> tuple[bytes, Message]:
        """One answer of a client's control interface; also a refusal."""
        url = f"http://127.0.0.1:{self.ports[number]}{path}"
        request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.read(), error.headers


def until(truth: Callable[[], object], what: str) -> None:
    """Wait until something holds, also while a client does not answer yet."""
    end = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError):
            if truth():
                return
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.2)
