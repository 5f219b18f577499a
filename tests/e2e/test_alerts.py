"""Ten real peers: what is wrong with one of them is known at all, and so is what operators say of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import DemoNetwork, demo_network, eventually, get

pytestmark = pytest.mark.e2e
PEERS = 10
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNetwork]:
    state: Path = tmp_path_factory.mktemp("demo")
    with demo_network(state, peers=PEERS) as network:
        yield network


def ask(peer: dict[str, Any], *verb: str) -> Any:
    """What a verb answers scripts at this peer."""
    command = [sys.executable, "-m", "peerscope", *verb, "--json", "--api", peer["http"]]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def about(peer: dict[str, Any], victim: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    """The peer-down alerts about the victim, as this peer lists them."""
    return list(get(peer, f"/api/v1/alerts?rule=peer-down&peer={victim['peer_id']}{query}"))


def test_one_peer_that_dies_is_one_alert_everywhere_until_it_is_back(network: DemoNetwork) -> None:
    victim, survivors = network.kill(4), [*network.peers[:4], *network.peers[5:]]

    def is_confirmed(one: dict[str, Any]) -> bool:
        return any(len(alert["confirmed_by"]) >= 2 for alert in about(one, victim))

    eventually(lambda: all(map(is_confirmed, survivors)), "every survivor alerts", within_s=WITHIN_S)
    for one in survivors:
        (alert,) = about(one, victim)
        assert (alert["id"], alert["state"]) == (f"peer-down-{victim['peer_id'][:16]}", "firing")
        assert set(alert["confirmed_by"]) <= {other["peer_id"] for other in survivors}
    assert [one["id"] for one in ask(survivors[0], "alerts") if one["rule"] == "peer-down"] == [alert["id"]]
    assert not [one for one in ask(survivors[-1], "incidents") if alert["id"] in one["alerts"]]

    silence = ask(survivors[0], "silence", "rule=peer-down", "--for", "1h", "--reason", "we know", "--author", "ann")
    made = ask(survivors[1], "ack", alert["id"], "--author", "bob")
    assert made["key"] == alert["id"]

    def marks(one: dict[str, Any]) -> tuple[str, str]:
        (found,) = about(one, victim)
        return found["silenced_by"], found["acknowledged_by"]

    eventually(
        lambda: all(marks(one) == (silence["id"], "bob") for one in survivors), "all know both", within_s=WITHIN_S
    )
    assert [one["author"] for one in ask(survivors[-1], "silences")] == ["ann"]
    ask(survivors[-1], "unsilence", silence["id"])  # at another peer than the one where it was ordered
    eventually(lambda: all(marks(one) == (None, "bob") for one in survivors), "all know its end", within_s=WITHIN_S)

    network.restart(4)
    eventually(lambda: not any(about(one, victim) for one in survivors), "it is over", within_s=WITHIN_S)
    for one in survivors:
        (alert,) = about(one, victim, "&all=1")
        assert alert["state"] == "resolved"
        assert alert["resolved_at"] >= alert["started_at"]


def test_five_that_die_together_are_one_incident_at_every_survivor(network: DemoNetwork) -> None:
    dead = {network.kill(index)["peer_id"] for index in range(5, 10)}
    survivors = network.peers[:5]
    seen: list[list[tuple[str, int]]] = []

    def kinds(one: dict[str, Any]) -> list[tuple[str, int]]:
        found = get(one, "/api/v1/incidents")
        return [(incident["kind"], len(incident["peers"])) for incident in found if dead <= set(incident["peers"])]

    def agree() -> bool:
        seen[:] = [kinds(one) for one in survivors]
        return all(found == seen[0] and len(found) == 1 and found[0][1] == 5 for found in seen)

    eventually(agree, lambda: f"one incident of five peers, but {seen}", within_s=WITHIN_S)
    (incident,) = [one for one in get(survivors[0], "/api/v1/incidents") if dead <= set(one["peers"])]
    assert incident["severity"] == "critical"
    alerts = [one for one in ask(survivors[0], "alerts") if one["rule"] in ("peer-down", "network-partition")]
    assert {one["incident"] for one in alerts} == {incident["id"]}
