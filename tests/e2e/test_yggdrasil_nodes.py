"""Three real Yggdrasil nodes, an agent beside each: their network is a layer of the map, and a dead node is missed."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import first_line, get, start
from live import Agent, client, running, until
from peerscope.records.measures import Measure
from peerscope.sources.base import make_source
from yggdrasil_network import YggdrasilNetwork, yggdrasil_network

Need = Callable[[str], str]
LINE = [(0, 1), (1, 2)]
REPORTS = {"interval_s": 0.3}


SETTLED = [(0, 1), (1, 2), (1, 0)]
"""Both ends of the first link dial each other."""


@contextlib.contextmanager
def agents_beside(network: YggdrasilNetwork, folder: Path) -> Iterator[list[Agent]]:
    """One agent for each node, all in one mesh."""
    with contextlib.ExitStack() as stack:
        agents: list[Agent] = []
        for number in range(len(network.keys)):
            join = [agents[0].monitor.self_view().ticket] if agents else []
            node = {"sources": [f"yggdrasil:{network.socket(number)}"]}
            state = folder / f"agent-{number}"
            agents.append(stack.enter_context(running(state, peer={"join": join}, node=node, report=REPORTS)))
        yield agents


def overlay(agent: Agent) -> dict[frozenset[str], dict[str, Any]]:
    """Links of the nodes' own network as an agent shows them, by their ends."""
    with client(agent) as asking:
        found = asking.get("/api/v1/topology").json()
    return {frozenset((link["source"], link["target"])): link for link in found["links"] if link["kind"] == "overlay"}


def node_check(agent: Agent, of: Agent) -> dict[str, Any]:
    with client(agent) as asking:
        return (asking.get(f"/api/v1/peers/{of.peer_id}").json()["checks"] or {}).get("node", {})


RELEASES = ["0.4", "0.5"]


@pytest.fixture(params=RELEASES)
def program(request: pytest.FixtureRequest, need: Need, need_current: Need) -> str:
    """Debian's release, and a current one where it is there."""
    return need("yggdrasil") if request.param == "0.4" else need_current("yggdrasil-0.5")


@pytest.mark.tools
def test_three_nodes_are_a_layer_of_the_map_and_one_that_dies_is_missed_until_it_is_back(
    program: str, tmp_path: Path
) -> None:
    is_current = "0.5" in program
    with yggdrasil_network(program, tmp_path, 3, LINE) as network, agents_beside(network, tmp_path) as agents:
        one, two, three = agents
        pairs = {frozenset((one.peer_id, two.peer_id)), frozenset((two.peer_id, three.peer_id))}
        for agent in agents:
            until(lambda agent=agent: overlay(agent).keys() == pairs, "the layer is on every map")
            until(
                lambda agent=agent: all(node_check(agent, of).get("status") == "healthy" for of in agents),
                "all see all nodes answer",
            )
        link = overlay(one)[frozenset((two.peer_id, three.peer_id))]
        assert link["layer"] == "yggdrasil"
        rtts_s = [link["source_rtt_s"], link["target_rtt_s"]]
        if is_current:
            assert all(0 < rtt_s < 1 for rtt_s in rtts_s)
        else:
            assert rtts_s == [None, None]
        with client(three) as asking:
            node = asking.get("/api/v1/node").json()
        assert (node["node"], node["node_id"]) == ("yggdrasil", network.keys[2])
        assert (node["metrics"]["p2p_peers"], node["neighbours"]) == (1, [network.keys[1]])
        assert node["metrics"]["received_bytes"] > 0
        assert node["details"]["routing_entries" if is_current else "dht_entries"] >= 1

        network.kill(2)
        until(lambda: node_check(one, three).get("status") == "unhealthy", "its agent says that it is gone")
        assert "admin socket" in node_check(one, three)["message"]
        until(lambda: overlay(one).keys() == {frozenset((one.peer_id, two.peer_id))}, "its link is gone from the map")
        with client(three) as asking:
            node = asking.get("/api/v1/node").json()
            checks = asking.get(f"/api/v1/peers/{three.peer_id}").json()["checks"]
        assert set(node["metrics"].values()) == {None}
        assert (node["node"], node["node_id"]) == ("yggdrasil", network.keys[2])  # it is still its node
        assert {checks[name]["status"] for name in ("cpu", "memory", "storage", "network", "p2p")} == {"healthy"}

        again = subprocess.Popen(
            [program, "-useconffile", str(tmp_path / "2.json"), "-logto", "stdout"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: node_check(one, three).get("status") == "healthy", "it answers again")
            until(lambda: overlay(one).keys() == pairs, "the map is whole again")
        finally:
            again.kill()
            again.wait()


@pytest.mark.tools
def test_a_source_reads_what_the_node_itself_says(program: str, tmp_path: Path) -> None:
    with yggdrasil_network(program, tmp_path, 3, SETTLED) as network:
        for number in range(3):
            source = make_source(network.spec(number))
            before, reading, after = network.truth(number), asyncio.run(source.read()), network.truth(number)
            metrics = reading.metrics
            assert (reading.node_id, reading.node) == (network.keys[number], "yggdrasil")
            assert (metrics.active_connections, metrics.p2p_peers) == (
                before["active_connections"],
                before["p2p_peers"],
            )
            assert {link.node: link.rtt_us for link in reading.overlay if link.rtt_us is not None}.keys() == set(
                before["rtts_us"]
            )
            assert before["received_bytes"] <= metrics.received_bytes <= after["received_bytes"]
            assert before["sent_bytes"] <= metrics.sent_bytes <= after["sent_bytes"]
            assert Measure("dht_nodes", before["dht_nodes"]) in reading.measures
        assert network.truth(1)["p2p_peers"] == 2


@pytest.mark.tools
def test_a_peer_that_cannot_be_reached_spoils_nothing(need_current: Need, tmp_path: Path) -> None:
    """0.4 does not list it."""
    with yggdrasil_network(
        need_current("yggdrasil-0.5"), tmp_path, 2, [(0, 1)], unreachable="tls://127.0.0.1:1"
    ) as network:
        source = make_source(network.spec(0))
        readings = []

        def is_known() -> bool:
            readings[:] = [asyncio.run(source.read())]
            return readings[0].details.get("not up: tls://127.0.0.1:1") is not None

        until(is_known, "the node has dialled it")
        (reading,) = readings
        assert "refused" in str(reading.details["not up: tls://127.0.0.1:1"])
        assert [link.node for link in reading.overlay] == [network.keys[1]]
        assert Measure("dead_links", 1) in reading.measures
        assert Measure("links_configured", 1) in reading.measures


PAGE = Path(__file__).parents[2] / "docs/howto/nodes/yggdrasil.md"


@pytest.mark.tools
def test_the_command_of_the_page_attaches_a_node(program: str, tmp_path: Path) -> None:
    (line,) = (line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("    peerscope run"))
    with yggdrasil_network(program, tmp_path, 2, [(0, 1)]) as network:
        words = line.replace("/var/run/yggdrasil.sock", network.socket(1)).split()[1:]
        assert network.spec(1) in words
        command = [sys.executable, "-m", "peerscope", *words, "--json", "--until-eof", "--http", "127.0.0.1:0"]
        process = start([*command, "--state", str(tmp_path / "agent")], stdin=subprocess.PIPE)
        try:
            ready = json.loads(first_line(process))
            until(lambda: get(ready, "/api/v1/node")["neighbours"] == [network.keys[0]], "the node is read")
        finally:
            process.communicate(timeout=60)
