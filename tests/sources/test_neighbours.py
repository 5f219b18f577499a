"""Addresses and round trips of a node's neighbours, as many programs give them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.sources.neighbours import duration_s, is_address, mean, multiaddress, reach, rtt_us


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("519µs", 519e-6),
        ("3.598704ms", 3.598704e-3),
        ("1m2.5s", 62.5),
        ("1h0m0s", 3600.0),
        ("12ns", 12e-9),
        ("n/a", None),
        ("", None),
        ("-1s", None),
        ("1", None),
        ("1e3s", None),
        ("9" * 50 + "s", None),
    ],
)
def test_durations_of_go_programs(text: str, seconds: float | None) -> None:
    found = duration_s(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=60))
def test_no_text_breaks_a_parser(text: str) -> None:
    found = duration_s(text)
    assert found is None or found >= 0
    address = multiaddress(text)
    assert address is None or is_address(address)


@given(st.floats())
def test_a_round_trip_is_plausible_or_unknown(seconds: float) -> None:
    found = rtt_us(seconds)
    assert found is None or 1 <= found <= 600_000_000
    average = mean([seconds])
    assert average is None or 0 < average <= 600


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWa", "203.0.113.5:4001"),
        ("/ip6/2001:db8::1/tcp/4001", "[2001:db8::1]:4001"),
        ("/dns4/node.example.org/tcp/443/wss/p2p/12D3KooWa", "node.example.org:443"),
        ("/ip4/203.0.113.5/udp/4001/quic-v1", None),
        ("/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWa/p2p-circuit/p2p/12D3KooWb", None),
        ("/ip4/203.0.113.5/tcp/0", None),
        ("/ip4/a b/tcp/1", None),
        ("/unix/x/tcp/1", None),
    ],
)
def test_addresses_that_are_reached_by_tcp(text: str, address: str | None) -> None:
    assert multiaddress(text) == address


def test_addresses_that_everybody_reaches_come_first() -> None:
    known = ["127.0.0.1:1", "192.168.0.1:1", "[::1]:1", "8.8.8.8:1", "name.example.org:1"]
    assert sorted(known, key=reach) == ["8.8.8.8:1", "name.example.org:1", "192.168.0.1:1", "127.0.0.1:1", "[::1]:1"]
