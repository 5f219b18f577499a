"""Floods of connections by one remote: who it is, and nothing where many open a few each."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import meshed
from peerscope.threats.findings import Finding
from peerscope.threats.remotes import COUNTED_MAX, Remotes, user_of
from peerscope.threats.threats import ThreatConfig, Threats
from signatures import signatures


@pytest.mark.parametrize(
    ("remote", "host"),
    [
        ("192.0.2.7:4001", "192.0.2.7"),
        ("[2001:db8::1]:4001", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW", "192.0.2.7"),
        ("/ip6/2001:db8::1/udp/4001/quic-v1", "2001:db8::1"),
        ("/dns4/node.example/tcp/443/wss", "node.example"),
        ("12D3KooWabc", "12D3KooWabc"),
        ("", ""),
        ("/ip4/192.0.2.9/tcp/4001/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWUser", "12D3KooWUser"),
        ("/ip4/192.0.2.9/tcp/4001/p2p/12D3KooWRelay/p2p-circuit", None),
        ("node:12", "node:12"),
        ("2001:db8::1:1234", "2001:db8::1:1234"),
        ("[2001:DB8:0::1]:4001", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("tcp://192.0.2.7:99", "192.0.2.7"),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", "fe80::1"),
    ],
)
def test_connections_from_many_ports_are_of_one_remote(remote: str, host: str | None) -> None:
    assert user_of(remote) == host


@given(st.text(max_size=60))
def test_any_text_is_a_remote(remote: str) -> None:
    assert user_of(remote) or not remote or "/p2p-circuit" in remote


@given(st.lists(st.integers(0, 400), max_size=2000), st.integers(0, 300))
def test_the_busiest_never_has_more_than_it_opened(others: list[int], often: int) -> None:
    opened = ["attacker"] * often + [f"r{number}" for number in others]
    Random(often).shuffle(opened)
    remotes = Remotes()
    for remote in opened:
        remotes.opened(remote, 1.0)
    found = remotes.busiest(2.0)
    if found is None:
        assert not opened
        return
    assert found.opened <= opened.count(found.remote)
    assert found.of == len(opened)
    if len(set(opened)) <= COUNTED_MAX:
        assert found.opened == max(map(opened.count, set(opened)))


def threats() -> Threats:
    return Threats(ThreatConfig(), signatures(), meshed(2)[0], 0.0)


def found(one: Threats, now: float) -> dict[str, Finding]:
    return {each.detection: each for each in one.own(meshed(2).snapshot(now), now)}


def test_one_remote_that_opens_again_and_again_is_named_among_a_thousand_others() -> None:
    one = threats()
    for number in range(1000):
        one.connection(f"10.1.{number % 250}.{number // 250}:1", opened=True, now=60.0 + number / 20)
        if number % 4 == 0:
            one.connection(f"192.0.2.7:{number}", opened=True, now=60.0 + number / 20)
    flood = found(one, 115.0)["remote-flood"]
    assert dict(flood.evidence)["remote"] == "192.0.2.7"
    assert (flood.severity, flood.unit) == ("medium", "new connections")
    assert 0.9 < flood.confidence <= 1.0
    assert "remote-flood" not in found(one, 190.0), "it is over a minute later"


def test_many_remotes_that_open_a_few_each_are_no_flood_of_one() -> None:
    one = threats()
    for number in range(5000):
        one.connection(f"10.{number % 200}.0.1:{number}", opened=True, now=60.0 + number / 100)
    assert "remote-flood" not in found(one, 111.0)
    assert "connection-flood" in found(one, 111.0)


def test_a_relay_is_not_blamed_for_its_users() -> None:
    one = threats()
    for number in range(70):
        relayed = f"/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWUser{number}"
        one.connection(relayed, opened=True, now=60.0 + number / 20)
        one.connection(relayed.rpartition("/p2p/")[0], opened=True, now=60.0 + number / 20)
    assert "remote-flood" not in found(one, 65.0)


def test_a_user_that_floods_through_relays_is_named() -> None:
    one = threats()
    for number in range(70):
        relayed = f"/ip4/203.0.113.{number}/tcp/4001/p2p/12D3KooWRelay{number}/p2p-circuit/p2p/12D3KooWUser"
        one.connection(relayed, opened=True, now=60.0 + number / 20)
    assert dict(found(one, 65.0)["remote-flood"].evidence)["remote"] == "12D3KooWUser"


@pytest.mark.parametrize("edge", [60.0, 61.3, 119.9])
def test_a_burst_counts_wherever_minutes_begin(edge: float) -> None:
    remotes = Remotes()
    for step in range(80):
        remotes.opened("192.0.2.7:1", edge - 1.0 + step / 40)
    busiest = remotes.busiest(edge + 2.0)
    assert busiest is not None
    assert (busiest.opened, busiest.of) == (80, 80)
    assert remotes.busiest(edge + 62.0) is None


def test_less_than_the_limit_in_each_minute_is_no_flood() -> None:
    remotes = Remotes()
    for second in range(600):
        remotes.opened("192.0.2.7:1", float(second))
        busiest = remotes.busiest(second + 0.5)
        assert busiest is not None
        assert busiest.opened <= 60
