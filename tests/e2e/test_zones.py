"""Zones among real agents: a network too large for one divides itself, and every peer still counts everybody."""

from pathlib import Path
from typing import Any

import pytest

from demo_network import demo_network, eventually, get, post

PEERS = 18
SETTINGS = {"ZONE_MAX": "16", "HOLD_S": "2", "GRACE_S": "10", "SUMMARY_INTERVAL_S": "2"}


@pytest.mark.e2e
def test_a_network_beyond_one_zone_divides_itself_and_everybody_sees_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"PEERSCOPE_ZONES__{name}", value)
    monkeypatch.setenv("PEERSCOPE_REPORT__INTERVAL_S", "2")
    with demo_network(tmp_path, peers=PEERS) as network:
        asked = [network.peers[0], network.peers[1], network.peers[-1]]

        def zones(peer: dict[str, Any]) -> dict[str, int]:
            return {zone["zone"]: zone["total_peers"] for zone in get(peer, "/api/v1/zones")}

        def is_divided() -> bool:
            found = [zones(peer) for peer in asked]
            return all(one == found[0] and len(one) > 1 and sum(one.values()) == PEERS for one in found)

        eventually(is_divided, "all see all zones", within_s=120.0)
        for peer in asked:
            assert get(peer, "/api/v1/health")["total_peers"] == PEERS
        near = network.peers[0]
        _orders_cross(near, next(peer for peer in network.peers if _zone(peer) != _zone(near)))
        victim = network.kill(2)
        far = next(peer for peer in asked if peer["region"] != victim["region"])
        eventually(
            lambda: get(far, "/api/v1/health")["down_peers"] == 1, "a death is known in other zones", within_s=90.0
        )


def _zone(peer: dict[str, Any]) -> str:
    return str(next(zone["zone"] for zone in get(peer, "/api/v1/zones") if zone["is_ours"]))


def _orders_cross(near: dict[str, Any], far: dict[str, Any]) -> None:
    """What is ordered in one zone holds in another, as its own agents say."""
    post(far, "/api/v1/silences", {"matchers": ["rule=*"], "for_s": 600, "reason": "planned", "author": "ana"})
    eventually(lambda: len(get(near, "/api/v1/silences")) == 1, "the silence holds in other zones", within_s=60.0)
