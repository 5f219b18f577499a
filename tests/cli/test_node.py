"""The verb of the node beside a peer, and how sources are given on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import Agent, running, until


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

    until(lambda: "0.25" in shown(), "the latency is known")
    until(lambda: "0.25 (0 s ago)" in shown() or "0.25 (1 s ago)" in shown(), "its age is shown")


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
