"""HTTP Digest against a server that calls the nonce of any other connection stale, as monerod does."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.sources.digest import DigestEndpoint
from peerscope.sources.endpoint import OPTIONS
from peerscope.sources.place import parse_place

EXAMPLE = "http://127.0.0.1:18081"
OFFERS = (
    'Digest qop="auth",algorithm=MD5,realm="monero-rpc",nonce="{nonce}",stale=false',
    'Digest qop="auth",algorithm=MD5-sess,realm="monero-rpc",nonce="{nonce}",stale=false',
)


class LockedDoor(BaseHTTPRequestHandler):
    """Opens to monitor and secret."""

    protocol_version = "HTTP/1.1"
    offers: tuple[str, ...] = OFFERS

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        nonce = str(id(self))  # of this connection
        is_right = self._is_right(self.headers.get("Authorization", ""), nonce)
        body = data if is_right else b"<html>Unauthorized</html>"
        self.send_response(200 if is_right else 401)
        for offer in () if is_right else self.offers:
            self.send_header("WWW-authenticate", offer.format(nonce=nonce))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def _is_right(self, proof: str, nonce: str) -> bool:
        parts = dict(part.strip().split("=", 1) for part in proof.removeprefix("Digest ").split(",") if "=" in part)
        said = {name: value.strip('"') for name, value in parts.items()}
        if said.get("nonce") != nonce:
            return False
        ours = _hash("monitor:monero-rpc:secret"), _hash(f"POST:{self.path}")
        return said["response"] == _hash(f"{ours[0]}:{nonce}:{said['nc']}:{said['cnonce']}:auth:{ours[1]}")

    def log_message(self, *_: object) -> None:
        pass


def _hash(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def door() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), LockedDoor)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    LockedDoor.offers = OFFERS
    server.shutdown()
    server.server_close()


def endpoint(url: str, folder: Path, word: str = "secret") -> DigestEndpoint:
    (folder / "password").write_text(word)
    place = parse_place(f"{url}#user=monitor&password_file={folder / 'password'}", OPTIONS)
    return DigestEndpoint(place, EXAMPLE, advice="start it")


def test_it_answers_the_challenge_on_the_connection_that_brought_it(door: str, tmp_path: Path) -> None:
    one = endpoint(door, tmp_path)
    assert [one.post("/json_rpc", data).data for data in (b"{}", b"[1]")] == [b"{}", b"[1]"]


def test_a_wrong_password_is_refused_after_one_attempt(door: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not accept these credentials"):
        endpoint(door, tmp_path, "wrong").post("/json_rpc", b"{}")


@pytest.mark.parametrize(
    "offers", [(), ("Basic realm=x",), ('Digest realm="x",nonce="y",algorithm=XYZ',), ("Digest x",)]
)
def test_a_challenge_of_another_kind_is_refused(door: str, tmp_path: Path, offers: tuple[str, ...]) -> None:
    LockedDoor.offers = offers
    with pytest.raises(SourceError, match="of a kind"):
        endpoint(door, tmp_path).post("/json_rpc", b"{}")


def test_nothing_there_comes_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="start it"):
        endpoint("http://127.0.0.1:1", tmp_path).post("/json_rpc", b"{}")


def test_a_password_needs_plain_http(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only over http"):
        endpoint("https://127.0.0.1:1", tmp_path)
