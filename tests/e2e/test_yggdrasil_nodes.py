"""Three real Yggdrasil nodes, an agent beside each: their network is a layer of the map, and a dead node is missed."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from live import Agent, client, running, until
from yggdrasil_network import YggdrasilNetwork, yggdrasil_network

Need = Callable[[str], str]
LINE = [(0, 1), (1, 2)]
REPORTS = {"interval_s": 0.3}


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


@pytest.mark.tools
def test_three_nodes_are_a_layer_of_the_map_and_one_that_dies_is_missed_until_it_is_back(
    need: Need, tmp_path: Path
) -> None:
    program = need("yggdrasil")
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
        assert (link["layer"], link["source_rtt_s"], link["target_rtt_s"]) == ("yggdrasil", None, None)
        with client(three) as asking:
            node = asking.get("/api/v1/node").json()
        assert (node["node"], node["node_id"]) == ("yggdrasil", network.keys[2])
        assert (node["metrics"]["p2p_peers"], node["neighbours"]) == (1, [network.keys[1]])
        assert node["metrics"]["received_bytes"] > 0
        assert node["details"]["dht_entries"] >= 1

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
