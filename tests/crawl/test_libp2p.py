"""A crawl of libp2p among peers that lie or fail, through a dialer that is none. Real nodes are in tests/e2e."""

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from peerscope.crawl import libp2p
from peerscope.crawl.dialer import DialAnswer, Dialer
from peerscope.crawl.libp2p import Libp2pOptions, crawl_libp2p, libp2p_seeds
from peerscope.crawl.multiaddr import ALPHABET
from peerscope.errors import ConfigError, RemoteError, TransportError
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.views.crawl import CrawlView, Share

Entries = Sequence[tuple[str, tuple[str, ...]]]


def peer(number: int) -> str:
    return f"12D3KooW{ALPHABET[number // 58 % 58]}{ALPHABET[number % 58]}"


def at(number: int, host: str = "127.0.0.1") -> tuple[str, tuple[str, ...]]:
    return peer(number), (f"/ip4/{host}/tcp/{number + 1}",)


class FakeDialer:
    """A network in a dictionary: the entries of each peer, or its error."""

    def __init__(self, network: dict[str, Entries | Exception]) -> None:
        self.network = network
        self.dialled: list[str] = []
        self.connected: set[str] = set()

    async def dial(self, name: str, addresses: list[str]) -> DialAnswer:
        self.dialled += addresses
        found = self.network.get(name, TransportError("connection refused"))
        if isinstance(found, TransportError):
            raise found
        self.connected.add(name)
        return DialAnswer(remote=addresses[0], agent=f"fake/1\x1b[2J{'x' * 100}")

    async def find(self, name: str, key: str) -> Entries:
        found = self.network[name]
        if isinstance(found, Exception):
            raise found
        return found[:20]

    def hang_up(self, name: str) -> None:
        self.connected.discard(name)

    async def __aenter__(self) -> "FakeDialer":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def crawled(dialer: Any, monkeypatch: pytest.MonkeyPatch, *, limit: int = 100, host: str = "127.0.0.1") -> CrawlView:
    async def start(_: object, __: object) -> Any:
        return dialer

    async def run() -> CrawlView:
        config = WalkConfig(peers_max=limit, timeout_s=20.0)
        options = Libp2pOptions(rate=5000.0)
        places = [f"/ip4/{host}/tcp/1/p2p/{peer(0)}"]
        return await crawl_libp2p(places, config, options, stopping=asyncio.Event(), progress=lambda _: None)

    monkeypatch.setattr(libp2p.Dialer, "start", start)
    return asyncio.run(run())


def test_peers_are_mapped_and_dial_errors_are_a_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    dialer = FakeDialer(
        {
            peer(0): [at(1), at(2), at(3), (peer(4), ("/ip4/127.0.0.1/udp/1/quic-v1",)), at(0)],
            peer(1): [at(0)],
            peer(2): RemoteError("bad answer"),
        }
    )
    view = crawled(dialer, monkeypatch)
    assert {found.peer_id for found in view.peers} == {peer(0), peer(1)}
    assert {gone.peer_id: gone.reason for gone in view.unreachable} == {
        peer(2): "bad answer",
        peer(3): "connection refused",
        peer(4): "has no address that can be dialled",
    }
    assert [share.peers for share in view.errors] == [1, 1, 1]
    assert view.versions == (Share(("fake/1[2J" + "x" * 100)[:64], 2),)
    assert dialer.connected == set()
    assert view.network == "libp2p"


def test_one_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    view = crawled(FakeDialer({peer(0): []}), monkeypatch)
    assert (len(view.peers), view.links, view.unreachable) == (1, (), ())


def test_a_seed_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    view = crawled(FakeDialer({}), monkeypatch)
    assert (view.peers, view.errors) == ((), (Share("connection refused", 1),))


def test_a_public_node_cannot_send_the_crawl_to_private_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ("10.0.0.1", "127.0.0.1", "169.254.169.254", "8.8.4.4", "224.0.0.1", "192.168.1.1")
    dialer = FakeDialer({peer(0): [at(number + 1, host) for number, host in enumerate(hosts)]})
    view = crawled(dialer, monkeypatch, host="8.8.8.8")
    assert {address.split("/")[2] for address in dialer.dialled} == {"8.8.8.8", "8.8.4.4"}
    assert view.refused == 5
    assert dict.fromkeys(share.value for share in view.errors).keys() == {
        "connection refused",
        "has no address that can be dialled",
    }


def test_a_thousand_invented_peers_cost_the_limit_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = [at(number) for number in (1, 2, 3)]

    class Liar(FakeDialer):
        async def find(self, name: str, key: str) -> Entries:
            if name != peer(9):
                return await super().find(name, key)
            start = 100 + 20 * len(self.dialled)
            return [at(start + number) for number in range(20)]

    network: dict[str, Entries | Exception] = {peer(0): [*honest, at(9)], peer(9): []}
    network |= {name: [at(0)] for name, _ in honest}
    view = crawled(Liar(network), monkeypatch, limit=20)
    assert {found.peer_id for found in view.peers} == {peer(0), peer(9), *(name for name, _ in honest)}
    assert view.asked <= 20


def test_options_of_specs() -> None:
    place = f"/ip4/127.0.0.1/tcp/1/p2p/{peer(0)}"
    places, options = libp2p_seeds([f"libp2p:{place}#protocol=/ipfs/lan/kad/1.0.0&dialer=/x", f"libp2p:{place}"])
    assert places == [place, place]
    assert options == Libp2pOptions(protocol="/ipfs/lan/kad/1.0.0", dialer="/x")


@pytest.mark.parametrize(
    "spec",
    [
        "libp2p:",
        "libp2p:/ip4/127.0.0.1/tcp/1",
        f"libp2p:/ip4/127.0.0.1/tcp/1/p2p/{peer(0)}#protocol=kad",
        f"libp2p:/ip4/127.0.0.1/tcp/1/p2p/{peer(0)}#rate=-1",
        f"libp2p:/ip4/127.0.0.1/tcp/1/p2p/{peer(0)}#y=1",
    ],
)
def test_a_wrong_spec_is_named(spec: str) -> None:
    with pytest.raises(ConfigError):
        libp2p_seeds([spec])


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A `node` on the path that is a shell script, and a folder for it."""
    node = folder / "node"
    node.write_text(f"#!/bin/sh\n{script}\n")
    node.chmod(node.stat().st_mode | stat.S_IXUSR)
    (folder / "node_modules").mkdir()
    (folder / "dial.mjs").touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return str(folder)


def asked(folder: str) -> DialAnswer:
    async def run() -> DialAnswer:
        async with await Dialer.start(folder, "/kad") as dialer:
            return await dialer.dial("x", [])

    return asyncio.run(run())


def test_the_answer_to_an_order_and_errors_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = """'{"ready":true}' '{"id":7}' '{"id":1,"agent":"a"}'"""
    folder = program(tmp_path, f"printf '%s\\n' {lines}; cat >/dev/null", monkeypatch)
    assert asked(folder).agent == "a"


@pytest.mark.parametrize(
    ("line", "told"),
    [('{"id":1,"error":"ECONNREFUSED"}', "connection refused"), ('{"id":1,"error":"Weird"}', "other error")],
)
def test_errors_are_words_of_ours(line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program(tmp_path, f"""printf '%s\\n' '{{"ready":true}}'; read order; echo '{line}'; read x""", monkeypatch)
    with pytest.raises(TransportError, match=told):
        asked(folder)


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo '{}'"])
def test_a_program_that_does_not_start_is_named(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="does not start"):
        asked(program(tmp_path, script, monkeypatch))


def test_a_program_that_ends_ends_the_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransportError):
        asked(program(tmp_path, """echo '{"ready":true}'; read order""", monkeypatch))


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program(tmp_path, "exit 1", monkeypatch)
    (tmp_path / "node_modules").rmdir()
    with pytest.raises(ConfigError, match="npm ci"):
        asked(folder)
    (tmp_path / "dial.mjs").unlink()
    with pytest.raises(ConfigError, match="dialer=FOLDER"):
        asked(folder)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match=r"Node\.js"):
        asked(folder)
