"""`peerscope crawl` where something is wrong with what it was given: one clear line, and the right exit code."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from peerscope.cli import main
from peerscope.cli.crawl_text import notes, show_crawl
from peerscope.cli.text import counted
from peerscope.mesh.crawling.traversal import Candidates
from peerscope.views.crawl import foreign_view

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The whole program with these arguments: its exit code and standard error."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["peerscope", "crawl", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing argument 'TICKET...'"),
        (("nonsense",), "not a ticket: 'nonsense'"),
        (("nonsense", "--limit", "0"), "'--limit'"),
        (("nonsense", "--timeout", "nan"), "'nan' is no number in the digits 0 to 9"),
        (("nonsense", "--secret-file", "/nowhere/secret"), "/nowhere/secret: cannot be read: No such file"),
        (("nonsense", "--config", "/nowhere/peerscope.toml"), "no such file"),
        (("nonsense", "--network", ""), "network.name"),
        (("yggdrasil:/a", "yggdrasil:/b"), "must be the only ticket"),
        (("yggdrasil:nonsense",), "the admin socket is 'nonsense'"),
        (("bittorrent:nowhere",), "the place of bittorrent is 'nowhere'"),
        (("bittorrent:127.0.0.1:1#fast=1",), "'fast' is no option; known are questions, rate, samples"),
        (("bittorrent:127.0.0.1:1", "libp2p:/x"), "is not of the network bittorrent"),
        (("libp2p:/ip4/127.0.0.1/tcp/1",), "is no multiaddr of TCP with an id"),
        (
            ("--compare", "/nowhere/old.json", "--compare", "b"),
            "--compare /nowhere/old.json: cannot be read: No such file",
        ),
        (("--compare", __file__, "--compare", "b"), "test_crawl.py is no result of `peerscope crawl --json`"),
        (("yggdrasil:/nowhere/socket",), "no Yggdrasil admin socket at /nowhere/socket: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told(run: Run, arguments: tuple[str, ...], told: str) -> None:
    code, errors = run(*arguments)
    assert code == 2
    assert told in errors


def test_a_socket_where_something_else_answers_is_told(run: Run, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "other.sock"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        code, errors = run(f"yggdrasil:{tmp_path}/other.sock")
        thread.join()
    assert code == 2
    assert errors.startswith(f"peerscope: {tmp_path}/other.sock is no admin socket of Yggdrasil (malformed-answer: ")
    assert len(errors.splitlines()) == 1


def test_one_peer_is_no_plural_and_an_address_keeps_its_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    seen: Candidates[str] = Candidates(
        depths={"ab" * 20: 0},
        links={("127.0.0.1:46881", "ab" * 20): True},
        unreachable={"127.0.0.1:46881": "no answer within 2 s"},
        unasked=1,
        surplus=0,
        stopped="the limit of time",
        seconds=1.0,
    )
    view = foreign_view(seen, {"ab" * 20: "127.0.0.1:46880"}, asked=2)
    show_crawl(view)
    said = capsys.readouterr().out
    assert "1 peer, 1 link, in 1.0 s" in said
    assert "1 unreachable: no answer within 2 s: 127.0.0.1:46881\n" in said
    assert notes(view, stopped=False) == ["not complete: the limit of time, 1 known peer was not asked"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 peers are"), (1, "1 peer is"), (2, "2 peers are")])
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "peer is", "peers are") == text
