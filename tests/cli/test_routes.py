"""The verbs of messages: in JSON and for people."""

import json

import pytest

from live import Agent
from peerscope.cli.text import sparkline
from peerscope.mesh.events import Delivered
from peerscope.records.identity import PeerRef, ref

MARKUP = "[red]x[/red]"


def test_without_messages_there_is_one_line(peerscope, sick: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERSCOPE_WEB__TOKEN", "0123456789abcdef")
    assert peerscope("routes", "--api", sick.http) == (0, "no message has arrived by any route yet\n", "")


def test_routes_for_scripts_and_for_people(peerscope, agent: Agent) -> None:
    me = ref(agent.monitor.peer.me)
    for hops_us in ((25_000,), (25_000,), (None,)):
        agent.loop.call(agent.monitor.traffic.note, Delivered((PeerRef(b"stranger"), me), hops_us))
    code, said, complaint = peerscope("routes", "--json", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert [(one["route"], one["delivered"], one["measured"]) for one in json.loads(said)] == [(f"?>{MARKUP}", 3, 2)]
    code, said, _ = peerscope("routes", "--by", "peer", "--api", agent.http)
    assert code == 0
    (line,) = said.splitlines()[1:]
    assert line.split()[:2] == [f"{b'stranger'.hex()[:10]}>{me.hex()[:10]}", "mesh"]
    assert line.count("25.0 ms") == 3
    assert MARKUP in peerscope("routes", "--api", agent.http)[1]


def test_throughput_is_two_lines_each_way(peerscope, agent: Agent) -> None:
    code, said, complaint = peerscope("throughput", "--json", "--api", agent.http)
    assert (code, complaint, json.loads(said)["node"]) == (0, "", None)
    agent.loop.call(agent.monitor.traffic.mesh.record, 0.0, 5000)
    code, said, _ = peerscope("throughput", "--api", agent.http)
    assert code == 0
    now_in, into, now_out, out, node = said.splitlines()
    assert (now_in.split()[:2], now_out.split()[:2]) == (["mesh", "in"], ["mesh", "out"])
    assert into.split()[0] == "·" * 59 + "█"
    assert out.split()[0] == "·" * 59 + "▁"
    assert node == "node: it reports no messages"


def test_a_sparkline_tells_unknown_from_nothing() -> None:
    assert sparkline([None, 0.0, 5.0, 10.0], low=0.0) == "·▁▅█"
    assert sparkline([0.0, 0.0], low=0.0) == "▁▁"
    assert sparkline([], low=0.0) == ""
