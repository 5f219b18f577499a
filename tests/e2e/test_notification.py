"""Ten real agents with one receiver: a killed peer is one message, even when whoever should tell it dies as well."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo_network import DemoNetwork, demo_network, eventually, get
from peerscope.alerts.notification_log import ranked
from peerscope.records.identity import PeerId
from receiver import Receiver, receiving

pytestmark = pytest.mark.e2e
PEERS = 10
CALM_S = 25.0
"""Longer than the second in the order would wait."""


@contextmanager
def telling(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DemoNetwork, Receiver]]:
    """A network at rest, all of whose peers can tell people."""
    with receiving() as receiver:
        monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__HOOK__KIND", "webhook")
        monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__HOOK__URL", f"{receiver.url}/hook")
        with demo_network(place, peers=PEERS) as network:
            eventually(lambda: get(network.peers[0], "/api/v1/health")["connectivity"] == 1.0, "at rest", within_s=90)
            yield network, receiver


def key_of(network: DemoNetwork, index: int) -> str:
    return f"peer-down-{network.peers[index]['peer_id'][:16]}"


def told(receiver: Receiver, key: str, state: str = "firing") -> list[str]:
    """Who told it, in order."""
    found = [request.json for request in list(receiver.requests)]
    return [one["sent_by"] for one in found if (one["key"], one["state"]) == (key, state)]


def order(network: DemoNetwork, key: str, *gone: int) -> list[int]:
    """Indices of peers, whoever tells first at the head."""
    ids = {PeerId(bytes.fromhex(peer["peer_id"])): i for i, peer in enumerate(network.peers) if i not in gone}
    return [ids[peer] for peer in ranked(key, ids)]


def test_a_killed_peer_is_exactly_one_message_and_its_return_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(tmp_path, monkeypatch) as (network, receiver):
        key = key_of(network, 6)
        network.kill(6)
        eventually(lambda: len(told(receiver, key)) == 1, "told", within_s=90)
        time.sleep(CALM_S)
        assert len(told(receiver, key)) == 1
        (sender,) = told(receiver, key)
        assert sender == network.peers[order(network, key, 6)[0]]["peer_id"]
        (request,) = [r for r in receiver.requests if r.json["key"] == key]
        assert len(request.json["alerts"][0]["confirmed_by"]) >= 2
        network.restart(6)
        eventually(lambda: len(told(receiver, key, "resolved")) == 1, "its return is told", within_s=90)
        assert len(told(receiver, key)) == 1


def test_the_first_notifier_killed_between_firing_and_sending_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(tmp_path, monkeypatch) as (network, receiver):
        key = key_of(network, 6)
        first, second, *_ = order(network, key, 6)
        subject = network.peers[6]["peer_id"]
        network.kill(6)
        path = f"/api/v1/peers/{subject}/evidence"
        eventually(lambda: get(network.peers[second], path)["verdict"] == "down", "down", within_s=60)
        network.kill(first)  # the alert fires now or within seconds, and is told after a wait
        eventually(lambda: len(told(receiver, key)) == 1, "told by another", within_s=60)
        time.sleep(CALM_S)
        assert told(receiver, key) == [network.peers[second]["peer_id"]]


def test_a_notifier_killed_with_the_message_in_its_hands_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(tmp_path, monkeypatch) as (network, receiver):
        key = key_of(network, 6)
        first, second, *_ = order(network, key, 6)
        receiver.free.clear()  # whoever sends gets no answer
        network.kill(6)
        eventually(lambda: len(told(receiver, key)) == 1, "the first one sends", within_s=90)
        os.kill(network.peers[first]["pid"], signal.SIGKILL)
        receiver.free.set()
        eventually(lambda: len(told(receiver, key)) == 2, "another one takes over", within_s=60)
        assert told(receiver, key) == [network.peers[index]["peer_id"] for index in (first, second)]
