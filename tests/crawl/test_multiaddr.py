"""Multiaddrs and ids of libp2p: only plain TCP over IP is dialled, and everything else is left alone."""

from hashlib import sha256
from ipaddress import ip_address

import pytest

from peerscope.crawl.multiaddr import TcpAddress, kad_id, seed, tcp_address

PEER = "12D3KooWKXsuiFygxRYkpgKrZVBAAN3EL47GHQ9z5JMp8pviAPPk"
OTHER = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"


def test_a_plain_address_is_read_and_written() -> None:
    assert tcp_address("/ip4/127.0.0.1/tcp/4001") == TcpAddress(ip_address("127.0.0.1"), 4001)
    assert tcp_address(f"/ip6/::1/tcp/1/p2p/{PEER}", PEER) == TcpAddress(ip_address("::1"), 1)
    assert str(tcp_address("/ip6/::1/tcp/1")) == "/ip6/::1/tcp/1"


@pytest.mark.parametrize(
    "text",
    [
        *("", "/ip4/127.0.0.1", "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/65536", "/ip4/127.0.0.1/udp/1/quic-v1"),
        *("/dns4/a.example/tcp/1", "/ip4/127.0.0.1/tcp/1/ws", "/ip4/::1/tcp/1", "/ip6/127.0.0.1/tcp/1"),
        *(f"/ip4/127.0.0.1/tcp/1/p2p/{OTHER}", f"/ip4/1.1.1.1/tcp/1/p2p/{PEER}/p2p-circuit", "/ip4/1.2.3/tcp/1"),
        *("/ip4/127.0.0.1/tcp/1\n", "/ip4/١.1.1.1/tcp/1", "/ip6/fe80::1%eth0/tcp/1"),
    ],
)
def test_everything_else_is_left_alone(text: str) -> None:
    assert tcp_address(text, PEER) is None


def test_a_seed_has_an_id_and_may_have_a_name() -> None:
    assert seed(f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}") == (PEER, "127.0.0.1", 4001)
    assert seed(f"/dns4/boot.example.org/tcp/4001/p2p/{OTHER}") == (OTHER, "boot.example.org", 4001)
    assert seed("/ip4/127.0.0.1/tcp/4001") is None
    assert seed(f"/ip4/127.0.0.1/tcp/0/p2p/{PEER}") is None
    assert seed(f"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/{PEER}") is None


def test_the_place_of_a_peer_in_the_key_space() -> None:
    digest = bytes.fromhex("068c7f3c3a1e3cd0a0a1ad4d8f6d2d0c")  # any: the round trip is what counts
    assert kad_id("1") == int.from_bytes(sha256(b"\0").digest())
    assert kad_id("2") == int.from_bytes(sha256(b"\1").digest())
    assert kad_id(encoded(b"\x12\x20" + digest)) == int.from_bytes(sha256(b"\x12\x20" + digest).digest())
    assert kad_id("0OIl") is None
    assert kad_id("") is None
    assert kad_id("1" * 65) is None


def encoded(data: bytes) -> str:
    alphabet, number, text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(data), ""
    while number:
        number, rest = divmod(number, 58)
        text = alphabet[rest] + text
    return text
