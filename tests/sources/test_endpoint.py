"""Bounded requests to the HTTP interface of a node."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from answering import answering
from peerscope.errors import ConfigError, SourceError
from peerscope.sources.endpoint import OPTIONS, Endpoint
from peerscope.sources.place import parse_place, secret

EXAMPLE = "http://127.0.0.1:8384"


class Door(BaseHTTPRequestHandler):
    """Answers with what it was asked with; "/short" breaks off."""

    def do_GET(self) -> None:
        body = repr(sorted(self.headers.items())).encode()
        self.send_response({"/closed": 401, "/away": 302, "/part": 206}.get(self.path, 200))
        self.send_header("Content-Length", str(len(body) + 7 * (self.path == "/short")))
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/json")
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/away":
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


def test_a_secret_that_nobody_named_stays_on_this_machine() -> None:
    urls = ("http://127.0.0.1:1", "http://[::1]", "http://localhost/a", "http://10.0.0.1", "http://127.0.0.1.example")
    assert [endpoint(url).is_local for url in urls] == [True, True, True, False, False]


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
