"""Tunnels as `wg` shows them: which are dead, which are merely idle, and what is no such output."""

import asyncio
import os
from pathlib import Path

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.programs.wireguard import DEAD_S, Tunnel, WireguardSource, parse

OWN, ONE, OTHER = ("A" * 42 + "w=", "B" * 42 + "w=", "C" * 42 + "w=")
PRIVATE = "K" * 42 + "w="
NOW = 1_796_064_006.0


def interface(name: str = "wg0", key: str = OWN) -> str:
    return "\t".join((name, PRIVATE, key, "51820", "off"))


def peer(key: str = ONE, *, ago: float = 5, received: int = 100, sent: int = 200, keepalive: str = "off") -> str:
    at = 0 if ago == float("inf") else int(NOW - ago)
    endpoint = "192.0.2.1:51820"
    return "\t".join(("wg0", key, "(none)", endpoint, "10.0.0.1/32", str(at), str(received), str(sent), keepalive))


def dump(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def dead(source: WireguardSource, *lines: str) -> float | None:
    reading = source.reading(parse(dump(*lines)), NOW)
    return next(one.value for one in reading.measures if one.name == "dead_links")


def test_links_with_a_fresh_handshake_are_neighbours() -> None:
    text = dump(interface(), peer(ONE), peer(OTHER, ago=DEAD_S + 1))
    reading = WireguardSource().reading(parse(text), NOW)
    assert reading.node_id == OWN
    assert [link.node for link in reading.overlay] == [ONE]
    assert reading.metrics == NodeMetrics(
        tunnels=2, active_connections=1, p2p_peers=1, received_bytes=200, sent_bytes=400
    )
    assert reading.measures == (Measure("dead_links", 0, "links"), Measure("links_configured", 2, "links"))
    assert reading.details["idle_links"] == 1
    assert PRIVATE not in repr(reading)


def test_a_link_without_traffic_is_idle_and_one_that_sends_in_vain_is_dead() -> None:
    source = WireguardSource()
    assert dead(source, interface(), peer(ago=900, sent=200)) == 0  # seen for the first time: nobody knows
    assert dead(source, interface(), peer(ago=900, sent=200)) == 0
    assert dead(source, interface(), peer(ago=900, sent=348)) == 1
    assert dead(source, interface(), peer(ago=900, sent=348)) == 1  # still nothing came
    assert dead(source, interface(), peer(ago=900, sent=348, received=192)) == 0
    assert dead(source, interface(), peer(ago=1, sent=500, received=300)) == 0


def test_a_link_that_is_kept_up_is_dead_without_traffic_too() -> None:
    assert dead(WireguardSource(), interface(), peer(ago=DEAD_S + 1, keepalive="25")) == 1
    assert dead(WireguardSource(), interface(), peer(ago=float("inf"), keepalive="25")) == 1
    assert dead(WireguardSource(), interface(), peer(ago=DEAD_S - 1, keepalive="25")) == 0


def test_a_link_without_an_address_is_never_dead() -> None:
    waiting = peer(ago=float("inf"), keepalive="25").replace("192.0.2.1:51820", "(none)")
    assert dead(WireguardSource(), interface(), waiting) == 0


def test_one_of_several_interfaces() -> None:
    found = parse(dump(interface("wg1", OTHER), interface(), peer()))
    assert WireguardSource().reading(found, NOW).node_id is None
    assert WireguardSource("wg1").reading(found, NOW).metrics.tunnels == 0
    assert WireguardSource("wg0").reading(found, NOW).node_id == OWN
    with pytest.raises(SourceError, match="no interface wg9 is up; there are wg0, wg1"):
        WireguardSource("wg9").reading(found, NOW)
    assert parse(dump(interface("wg0", "(none)"))).keys == {"wg0": None}


def test_no_interface_is_an_error_that_says_so() -> None:
    with pytest.raises(SourceError, match="no WireGuard interface is up"):
        WireguardSource().reading(parse(""), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        dump(interface(), peer("short")),
        dump(interface(), peer().replace("100", "-1")),
        dump(interface(), peer().replace("100", str(2**70))),
        dump(interface(), peer().replace("100", "many")),
        dump(interface(key="x\x1b[31m")),
        dump(interface(), peer())[:-20],
    ],
)
def test_what_is_no_such_output_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="shows something unexpected"):
        parse(text)


@pytest.mark.parametrize("name", ["a b", "x" * 16, "wg0;id", "../wg0"])
def test_a_name_that_no_interface_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no name of an interface"):
        WireguardSource(name)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'Unable to list interfaces: Permission denied' >&2; exit 1",
            "Permission denied; give the agent CAP_NET",
        ),
        ("exit 3", "says: nothing"),
        ("exec sleep 60", "has not answered"),
        ("head -c 5000000 /dev/zero", "more than"),
    ],
)
def test_a_tool_that_fails_is_an_error_with_its_reason(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "wg"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("peerscope.sources.programs.wireguard.TIMEOUT_S", 0.5)
    with pytest.raises(SourceError, match=reason):
        asyncio.run(WireguardSource().read())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="install wireguard-tools"):
        asyncio.run(WireguardSource().read())


def test_a_tunnel_is_what_the_line_says() -> None:
    (tunnel,) = parse(dump(interface(), peer(keepalive="25"))).tunnels
    assert tunnel == Tunnel("wg0", ONE, "192.0.2.1:51820", int(NOW) - 5, 100, 200, 25)
