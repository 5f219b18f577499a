"""Real agents and a real receiver: one of them sends heartbeats, and another one goes on when it is killed."""

import time
from pathlib import Path

import pytest

from demo_network import demo_network, eventually, get
from receiver import Receiver, receiving

pytestmark = pytest.mark.e2e
PEERS = 6
INTERVAL_S = 6.0


def senders(receiver: Receiver) -> list[str]:
    """Who sent each heartbeat until now."""
    return [one.json["sent_by"] for one in list(receiver.requests) if one.path == "/ping"]


def test_a_killed_sender_is_replaced_within_two_intervals_and_nobody_sends_when_all_are_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__HOOK__KIND", "webhook")
        monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__HOOK__URL", f"{receiver.url}/hook")
        monkeypatch.setenv("PEERSCOPE_NOTIFY__HEARTBEAT__URL", f"{receiver.url}/ping")
        monkeypatch.setenv("PEERSCOPE_NOTIFY__HEARTBEAT__INTERVAL_S", str(INTERVAL_S))
        monkeypatch.setenv("PEERSCOPE_NOTIFY__HEARTBEAT__TIMEOUT_S", "2")
        with demo_network(tmp_path, peers=PEERS) as network:
            eventually(lambda: get(network.peers[0], "/api/v1/health")["connectivity"] == 1.0, "at rest", within_s=90)
            ids = {peer["peer_id"]: place for place, peer in enumerate(network.peers)}
            eventually(
                lambda: len(senders(receiver)) >= 2 and len(set(senders(receiver)[-2:])) == 1, "one sends", within_s=90
            )
            count = len(senders(receiver))
            eventually(lambda: len(senders(receiver)) >= count + 2, "and goes on", within_s=60)
            first = senders(receiver)[-1]
            network.kill(ids[first])
            eventually(lambda: senders(receiver)[-1] != first, "another one sends", within_s=60)
            second = senders(receiver)[-1]
            count = len(senders(receiver))
            eventually(lambda: len(senders(receiver)) >= count + 2, "and goes on", within_s=60)
            assert set(senders(receiver)[count - 1 :]) == {second}, "it alone"
            state = [one.json for one in receiver.requests if one.path == "/ping"][-1]
            assert (state["peers"], state["up"], state["down"], state["is_whole"]) == (PEERS, PEERS - 1, 1, True)
            assert get(network.peers[ids[second]], "/api/v1/self")["heartbeat"]["counts"]["delivered"] >= 2
            for place in ids.values():
                if place != ids[first]:
                    network.kill(place)
            count = len(senders(receiver))
            time.sleep(2 * INTERVAL_S)
            assert len(senders(receiver)) == count, "nobody is left to send"
