"""Bounded requests to the HTTP interface of a node."""

import asyncio
import os
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from answering import answering
from peerscope.errors import ConfigError, SourceError
from peerscope.sources.base import make_source
from peerscope.sources.endpoint import OPTIONS, Endpoint
from peerscope.sources.place import parse_place, secret, shown
from scripted_node import Answered, scripted_node

EXAMPLE = "http://127.0.0.1:8384"


class Door(BaseHTTPRequestHandler):
    """Answers with what it was asked with; "/short" breaks off."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        body = repr(sorted(self.headers.items())).encode()
        self.send_response({"/closed": 401, "/away": 302, "/part": 206}.get(path, 200))
        self.send_header("Content-Length", str(len(body) + 7 * (path == "/short")))
        self.send_header("Content-Type", "text/html" if path == "/page" else "application/json")
        if path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        if path == "/away":
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def door() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_part_of_a_page_is_refused(door: str) -> None:
    with pytest.raises(SourceError, match="a part of its page"):
        endpoint(door).get("/part")


def endpoint(argument: str) -> Endpoint:
    return Endpoint(parse_place(argument, OPTIONS), EXAMPLE)


def test_an_argument_has_an_address_a_word_and_options() -> None:
    place = parse_place("http://h:1/a#kubo&token_file=/k=y", OPTIONS)
    assert (place.address, place.word, place.options) == ("http://h:1/a", "kubo", {"token_file": "/k=y"})
    assert parse_place("h#ca_file=x", OPTIONS).word == ""
    assert parse_place("", OPTIONS).address == ""


@pytest.mark.parametrize("argument", ["h#a&b", "h#token=x", "h#kubo&token_file=", "h#=x"])
def test_a_wrong_option_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match="option"):
        parse_place(argument, OPTIONS)


@pytest.mark.parametrize(
    "argument",
    [
        "localhost",
        "file:///etc/passwd",
        "http://u:p@h",
        "http://[::1",
        "http://h#user=me",
        "http://h#header=X-Key",
        "http://h#ca_file=/nowhere",
    ],
)
def test_a_wrong_address_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError):
        endpoint(argument)


def test_secrets_come_from_files_and_are_never_shown(door: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    asked = endpoint(f"{door}#token_file={file}").get("/x").data.decode()
    assert "('Authorization', 'Bearer s3cret')" in asked
    assert "('X-Api-Key', 's3cret')" in endpoint(f"{door}#token_file={file}&header=X-API-Key").get().data.decode()
    assert "Basic bWU6czNjcmV0" in endpoint(f"{door}#user=me&password_file={file}").get().data.decode()
    with pytest.raises(SourceError, match="does not accept these") as refused:
        endpoint(f"{door}#token_file={file}").get("/closed")
    assert "s3cret" not in str(refused.value)
    file.write_text("new")
    assert "Bearer new" in endpoint(f"{door}#token_file={file}").get("/x").data.decode()


@pytest.mark.parametrize("text", ["", "two\nlines", "a" * 5000, "nul\x00"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(SourceError, match="no secret"):
        secret(str(tmp_path / "token"))
    with pytest.raises(SourceError, match="cannot be read"):
        secret(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/short", "broke off: 7 bytes"),
        ("/closed", "wants credentials"),
        ("/away", "answers 302"),
        ("/packed", "packed"),
    ],
)
def test_what_is_no_whole_answer_is_refused(door: str, path: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        endpoint(door).get(path)


def test_a_refusal_can_be_an_answer(door: str) -> None:
    page = endpoint(door).get("/closed", accepted=(401,))
    assert (page.status, page.data[:1], page.headers["content-type"]) == (401, b"[", "application/json")
    with pytest.raises(SourceError, match="answers 401"):
        endpoint(door).post("/closed", b"", accepted=(409,))


def test_a_secret_that_nobody_named_stays_on_this_machine(door: str, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    endpoint(door).check_listener(tmp_path / "key", "#token_file=PATH")
    for url in ("http://10.0.0.1", "https://127.0.0.1.example/a"):
        with pytest.raises(SourceError, match="not on this machine"):
            endpoint(url).check_listener(tmp_path / "key", "#token_file=PATH")
    with pytest.raises(SourceError, match=r"\[::1\]:443 does not answer"):
        endpoint("https://[::1]").check_listener(tmp_path / "key", "#token_file=PATH")


def test_a_query_is_asked_and_never_shown(door: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    for url in (
        f"{door}/away?token=QSECRET",
        f"{door}/short?token=QSECRET",
        f"{door}/closed?token=QSECRET",
        f"{door}/closed?token=QSECRET#token_file={tmp_path / 'key'}",
        f"{door}/page?token=QSECRET",
        "http://127.0.0.1:1/m?token=QSECRET",
    ):
        with pytest.raises(SourceError) as refused:
            endpoint(url).json("", int)
        assert "QSECRET" not in str(refused.value)
        assert "?..." in str(refused.value)
    one = endpoint(f"{door}/x?token=QSECRET")
    assert b"QSECRET" not in one.url.encode() + one.at("/a?b=QSECRET").encode()
    with answering() as node:
        node.by_path["/x?token=QSECRET"] = b"1"
        assert endpoint(f"{node.url}/x?token=QSECRET").json("", int) == 1


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("kubo", "kubo"),
        ("yggdrasil:/run/a@b.sock", "yggdrasil:/run/a@b.sock"),
        ("prometheus:http://h:1/m?token=S#kubo&token_file=/k", "prometheus:http://h:1/m?...#kubo&token_file=/k"),
        ("prometheus:http://u:S@h/m", "prometheus:http://...@h/m"),
        ("prometheus:http://u:S#S/S?S@h:1/m", "prometheus:http://...@h:1/m"),
        ("kubo:u:S@h:1", "kubo:u:...@h:1"),
        ("consul:http://h#token=S&user=me", "consul:http://h#token=...&user=me"),
        ("aria2:#rpc-secret=S", "aria2:#rpc-secret=..."),
    ],
)
def test_a_spec_is_shown_without_its_secrets(text: str, result: str) -> None:
    assert shown(text) == result


@pytest.mark.parametrize(
    "spec",
    [
        "prometheus:http://u:QSECRET@h",
        "kubo:http://u:QSECRET#x@h",
        "kubo:u:QSECRET@h",
        "consul:#token=QSECRET",
        "prometheus:http://h?a=QSECRET#nothing",
    ],
)
def test_a_refused_spec_shows_no_secret(spec: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_source(spec)
    assert "QSECRET" not in str(refused.value)


class Mirror(socketserver.StreamRequestHandler):
    """Answers with the key that it was sent, where `line` says."""

    line = b""

    def handle(self) -> None:
        key = b""
        while (line := self.rfile.readline()).strip():
            key = line.partition(b":")[2].strip() if line.lower().startswith(b"x-api-key") else key
        self.wfile.write(self.line.replace(b"KEY", key))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"HTTP/1.1 999999 KEY\r\n\r\n", "no valid HTTP"),
        (b"KEY\r\n\r\n", "no valid HTTP"),
        (b"KEY/1.1 200 OK\r\n\r\n", "no valid HTTP"),
        (b"HTTP/1.1 500 KEY\r\nContent-Length: 0\r\n\r\n", "answers 500 Internal Server Error"),
        (b"HTTP/1.1 599 KEY\r\nContent-Length: 0\r\n\r\n", "answers 599"),
        (b"HTTP/1.1 302 a\r\nLocation: KEY\r\nContent-Length: 0\r\n\r\n", "answers 302 Found"),
        (b'HTTP/1.1 500 a\r\nContent-Length: 21\r\n\r\n{"error": "a s3cret"}\n', "answers 500 Internal Server Error"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: KEY\r\nContent-Length: 0\r\n\r\n", "packed"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a/KEY\r\nContent-Length: 1\r\n\r\nx", "it is of another kind"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\n", "no valid HTTP"),
    ],
)
def test_the_words_of_a_server_never_repeat_the_key(tmp_path: Path, line: bytes, reason: str) -> None:
    (tmp_path / "key").write_text("s3cret")
    with socketserver.TCPServer(("127.0.0.1", 0), type("One", (Mirror,), {"line": line})) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(SourceError, match=reason) as refused:
            endpoint(f"{url}#header=X-API-Key&token_file={tmp_path / 'key'}").json("/x", int)
        assert "s3cret" not in str(refused.value)


def test_a_secret_that_no_header_may_hold_is_refused(door: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s\u20acret")
    with pytest.raises(SourceError, match="its secret has letters that no header may hold") as refused:
        endpoint(f"{door}#header=X-API-Key&token_file={tmp_path / 'key'}").get()
    assert "cret" not in str(refused.value).replace("its secret", "")


def test_a_fifo_holds_no_secret_and_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceError, match="no regular file"):
        secret(str(tmp_path / "fifo"))


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("transmission", "#user=NAME&password_file=PATH"),
        ("etcd", "#user=NAME&password_file=PATH"),
        ("consul", "#header=X-Consul-Token&token_file=PATH"),
        ("monero", "#user=NAME&password_file=PATH"),
        ("kubo", "#token_file=PATH"),
    ],
)
def test_each_program_names_its_own_options(program: str, options: str) -> None:
    with scripted_node() as node:
        node.answer = lambda _: Answered(b"", 401)
        with pytest.raises(SourceError, match=f"wants credentials; name their file, as in {options}$"):
            asyncio.run(make_source(f"{program}:{node.url}").read())


def test_a_page_instead_of_json_is_named(door: str) -> None:
    with pytest.raises(SourceError, match="it is text/html"):
        endpoint(door).json("/page", dict)
    with pytest.raises(SourceError, match="expected JSON"):
        endpoint(door).json("/json", dict)


def test_the_words_of_a_refusal_are_shown_where_they_are_json_with_a_message() -> None:
    with answering() as node:
        one = endpoint(node.url)
        refusals = {
            b'{"Message": "offline"}': "answers 500 offline",
            b'{"error": {"code": -28, "message": "Loading"}}': "answers 500 Loading",
            b'{"error": {"message": ["x"]}}': "answers 500 Internal",
            b"[" * 2000: "answers 500 Internal",
            b"<html>": "answers 500 Internal",
            b"": "answers 500 Internal",
        }
        for body, words in refusals.items():
            node.by_path["/"] = (500, body)
            with pytest.raises(SourceError, match=words):
                one.get("/")


def test_a_cookie_of_user_and_password_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cookie").write_text("__cookie__:00ff\n")
    with answering() as node:
        node.by_path["/"] = b"{}"
        place = parse_place(f"{node.url}#cookie_file={tmp_path / 'cookie'}", OPTIONS | {"cookie_file"})
        Endpoint(place, EXAMPLE).get("/")
        assert node.asked[0][3]["Authorization"] == "Basic X19jb29raWVfXzowMGZm"


def test_an_interface_that_is_not_there_comes_with_advice() -> None:
    with pytest.raises(SourceError, match="refused; start it"):
        Endpoint(parse_place("http://127.0.0.1:1", OPTIONS), EXAMPLE, advice="start it").get()
