"""One hostile peer on real QUIC among five real agents: the victim keeps its links, its judgement and its manners."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo_network import DemoNetwork, demo_network, eventually, get

pytestmark = pytest.mark.e2e
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "under_attack.py"
SECONDS = 3


def attacked(victim: dict[str, Any], kind: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), "--victim", victim["ticket"], "--kinds", kind, "--seconds", str(SECONDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def all_well(network: DemoNetwork) -> bool:
    """Every honest peer says of every other that it is alive: nobody misses anybody."""
    ids = {peer["peer_id"] for peer in network.peers}
    views = [{one["peer_id"]: one["verdict"] for one in get(peer, "/api/v1/peers")} for peer in network.peers]
    return all({view.get(peer) for peer in ids} == {"alive"} for view in views)


def test_a_victim_keeps_its_links_and_answers_while_it_is_flooded(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=5) as network:
        victim = network.peers[0]
        eventually(lambda: all_well(network), "all are well", within_s=60)
        for kind, offence in (("forged", "forged"), ("pings", "flooding")):
            hostile = attacked(victim, kind)
            while hostile.poll() is None:
                verdicts = {one["peer_id"]: one["verdict"] for one in get(victim, "/api/v1/peers")}
                assert {verdicts[peer["peer_id"]] for peer in network.peers} == {"alive"}
            did = json.loads(hostile.communicate()[0])
            assert did["sent"] > 0
            assert did["hung_up_on"] > 0
            conduct = get(victim, "/api/v1/conduct")
            assert ("banned", [offence]) in [(one["state"], list(one["reasons"])) for one in conduct]
        eventually(lambda: all_well(network), "all are well still", within_s=60)
        banned = {one["peer_id"] for one in get(victim, "/api/v1/conduct")}
        assert banned.isdisjoint(peer["peer_id"] for peer in network.peers)
