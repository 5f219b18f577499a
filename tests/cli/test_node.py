"""The verb of the node beside a peer, and how sources are given on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from live import Agent, running, until
from peerscope.cli.metrics import _show_node
from peerscope.sources import probing
from peerscope.sources.detection import READABLE, REFUSED, UNSUPPORTED, LocalNode
from peerscope.sources.probing import NodeSearch


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent whose node tells by telemetry, while its other source has nobody to ask."""
    sources = ["yggdrasil:/nowhere/admin", "telemetry:[red]toy[/red]"]
    report = {"interval_s": 0.1}
    with running(tmp_path_factory.mktemp("beside"), node={"sources": sources}, report=report) as agent:
        agent.monitor.telemetry.gauge("tunnels", 1234)
        until(lambda: agent.loop.call(agent.monitor.node.current) is not None, "telemetry is read")
        yield agent


def test_without_a_node_it_says_how_to_attach_one(peerscope, agent: Agent) -> None:
    code, said, complaint = peerscope("node", "--api", agent.http)
    assert (code, complaint) == (0, "")
    assert "no node is attached" in said
    assert "--node-source" in said


def test_a_node_is_shown_with_its_values_and_what_is_wrong_with_its_sources(peerscope, beside: Agent) -> None:
    code, said, _ = peerscope("node", "--api", beside.http)
    assert code == 1
    assert "node [red]toy[/red]" in said
    assert "1,234" in said
    assert "yggdrasil:/nowhere/admin  unhealthy  no Yggdrasil admin socket at /nowhere/admin" in said
    assert "telemetry:[red]toy[/red]  healthy    answers" in said
    code, said, _ = peerscope("node", "--json", "--api", beside.http)
    found = json.loads(said)
    assert (code, found["metrics"]["tunnels"], found["metrics"]["messages"]) == (1, 1234, None)


def test_a_mean_latency_of_earlier_is_shown_with_its_age(peerscope, beside: Agent) -> None:
    beside.monitor.telemetry.message("in", 1, latency_s=0.25)

    def shown() -> str:
        return peerscope("node", "--api", beside.http)[1]

    until(lambda: "250.0 ms" in shown(), "the latency is known")
    until(lambda: "250.0 ms (0 s ago)" in shown() or "250.0 ms (1 s ago)" in shown(), "its age is shown")


def test_values_of_a_node_have_units_and_those_that_only_this_agent_has_a_heading(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {"received_bytes": 5 * 2**20, "active_connections": 1234, "messages": None}
    found = {"node": "toy", "version": "1", "node_id": "id", "metrics": metrics, "latency_s": 0.25, "neighbours": ["a"]}
    found |= {"measures": [{"name": "cache", "value": 2**30, "unit": "bytes"}], "details": {"path": "/x", "n": 1e6}}
    _show_node(Console(), {**found, "sources": []})
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "node toy 1  id",
        "  received_bytes      5.0 MiB",
        "  active_connections  1,234",
        "  latency_s           250.0 ms",
        "  neighbours          1",
        "  measures",
        "    cache             1.0 GiB",
        "  only here",
        "    path              /x",
        "    n                 1,000,000",
    ]


def test_a_peer_shows_its_node_and_the_check_of_it(peerscope, beside: Agent) -> None:
    def shown() -> str:
        return peerscope("peer", beside.peer_id, "--api", beside.http)[1]

    until(lambda: "[red]toy[/red]" in shown(), "the profile tells of the node")
    until(lambda: "degraded" in shown(), "one of two sources fails")
    assert "yggdrasil: no Yggdrasil admin socket" in shown()


def test_a_source_that_is_not_known_stops_the_run_before_it_starts(peerscope, tmp_path: Path) -> None:
    code, said, complaint = peerscope("run", "--state", str(tmp_path), "--http", "off", "--node-source", "yggdrsil:/x")
    assert (code, said) == (2, "")
    assert complaint.startswith("peerscope: node.sources: no source is called 'yggdrsil' (from 'yggdrsil:/x')")


def test_check_config_knows_a_wrong_source(peerscope, tmp_path: Path) -> None:
    file = tmp_path / "peerscope.toml"
    file.write_text('[node]\nsources = ["beam", "prometheus:nonsense"]\n')
    code, _, complaint = peerscope("check-config", str(file))
    assert code == 2
    assert "'prometheus:nonsense'" in complaint
    file.write_text('[node]\nsources = ["beam"]\n')
    assert peerscope("check-config", str(file))[0] == 0


def test_detect_prints_the_setting_of_each_program_and_the_remedy_of_those_that_cannot_be_read(
    peerscope, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = "put its token into a file: kubo:http://127.0.0.1:5001#token_file=PATH"
    found = (
        LocalNode("kubo", "127.0.0.1:5001", 7, "kubo", REFUSED, "[red]it wants a token", advice),
        LocalNode("tor", "127.0.0.1:9051", 8, "tor", READABLE),
        LocalNode("etcd", "127.0.0.1:2379", None, "etcd", READABLE),
        LocalNode("serf", "", 9, None, UNSUPPORTED, "no source 'serf' is installed"),
    )
    monkeypatch.setattr(probing, "look", lambda: NodeSearch(found, ("a note",)))
    code, said, complaint = peerscope("node", "detect")
    assert (code, complaint) == (0, "")
    assert said.splitlines() == [
        "kubo         127.0.0.1:5001 pid 7  cannot be read",
        "  [red]it wants a token",
        f"  {advice}",
        "tor          127.0.0.1:9051 pid 8  can be read  (attached at the start of an agent)",
        '  sources = ["tor"]',
        "etcd         127.0.0.1:2379  can be read",
        '  sources = ["etcd"]',
        "serf         pid 9  no source",
        "  no source 'serf' is installed",
        "note: a note",
        "one node is monitored per peer; to choose another, put its line under [node]",
    ]
    for arguments in (("node", "detect", "--json"), ("node", "--json", "detect")):
        code, said, _ = peerscope(*arguments)
        answer = json.loads(said)
        assert (code, answer["choice"], answer["notes"], len(answer["found"])) == (0, "tor", ["a note"], 4)


def test_detect_says_that_nothing_is_there(peerscope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "look", lambda: NodeSearch((), ()))
    code, said, _ = peerscope("node", "detect")
    assert code == 1
    assert "no P2P program was found" in said
    code, said, _ = peerscope("node", "detect", "--json")
    assert (code, json.loads(said)) == (1, {"found": [], "choice": None, "notes": []})
