"""A region dies and comes back. At every moment the texts of alerts agree with the counts beside them."""

import re
from pathlib import Path
from typing import Any

import pytest

from gone import Mourning, mourning

pytestmark = pytest.mark.sim
COUNTED = re.compile(r"([0-9]+) of ([0-9]+) peers healthy, ([0-9]+) down")
GROUPED = re.compile(r"([0-9]+) peers fell silent together")


def looked(network: Mourning) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Alerts that fire, and the feed of the same moment; both have been checked against each other."""
    alerts, feed = network.get("/api/v1/alerts"), network.feed()
    down = {peer["peer_id"] for peer in feed["peers"] if peer["status"] == "down"}
    regions = {one["region"]: one for one in feed["regions"]}
    assert feed["health"]["down_peers"] == len(down)
    assert feed["trouble"]["firing"].get("critical", 0) == sum(one["severity"] == "critical" for one in alerts)
    assert {one["id"]: one["description"] for one in feed["alerts"]} == {
        one["id"]: one["description"] for one in alerts
    }
    for one in alerts:
        text = one["description"]
        if one["rule"] == "peer-down":
            assert one["clearing"] is (one["peer_id"] not in down), text
        if one["rule"] == "region-critical" and (counts := COUNTED.search(text)):
            of = regions[one["region"]]
            assert [int(n) for n in counts.groups()] == [of["healthy_peers"], of["total_peers"], of["down_peers"]]
        if one["rule"] == "network-partition" and (counts := GROUPED.search(text)):
            assert int(counts[1]) in [len(group) for group in feed["map"]["partitions"]]
        if not down and one["rule"] in ("peer-down", "network-partition"):
            assert one["clearing"]
            assert text.startswith("over for now")
            assert not re.search("no longer hear|fell silent", text)
        assert one["described_age_s"] is None or one["described_age_s"] >= 0
        assert one["started_age_s"] >= 0
    return alerts, feed


def test_alerts_never_contradict_the_header_while_a_region_dies_and_returns(tmp_path: Path, peerscope: Any) -> None:
    with mourning(tmp_path, peers=9) as network:
        network.until(25.0)
        simulator = network.network.simulator
        eye, *others = simulator.nodes
        region = next(node.region for node in simulator.nodes.values() if node.region != simulator.nodes[eye].region)
        outage = [peer for peer in others if simulator.nodes[peer].region == region]
        for peer in outage:
            network.loop.call(simulator.crash, peer)
        seen: set[str] = set()
        is_asked = False
        while network.now < 70.0:
            network.until(network.now + 1.0)
            alerts, feed = looked(network)
            seen |= {one["rule"] for one in alerts}
            if not is_asked and not alerts and feed["health"]["down_peers"]:
                is_asked = True
                unwell = feed["health"]["down_peers"] + feed["health"]["unhealthy_peers"]
                said = peerscope("alerts", "--api", network.http)[1]
                assert said == f"no active alerts, though {unwell} peers are down or unhealthy\n"
                assert (
                    f"none active, though {unwell} peers are down or unhealthy"
                    in peerscope("status", "--api", network.http)[1]
                )
        assert is_asked
        assert seen >= {"network-partition", "region-critical"}
        incidents = network.get("/api/v1/incidents")
        assert incidents
        assert not any(one["clearing"] for one in incidents)
        for peer in outage:
            network.loop.call(simulator.start, peer, network.network.peer.me)
        was_quiet_beside_alerts, ends_at = False, network.now + 90.0
        while network.now < ends_at:
            network.until(network.now + 1.0)
            alerts, feed = looked(network)
            if not feed["health"]["down_peers"] and alerts:
                was_quiet_beside_alerts = True
                if all(one["clearing"] for one in alerts):
                    assert all(one["clearing"] for one in network.get("/api/v1/incidents"))
            if not alerts and not feed["health"]["down_peers"]:
                break
        assert was_quiet_beside_alerts
        assert network.get("/api/v1/alerts") == []
        assert peerscope("alerts", "--api", network.http)[1] == "no alerts\n"
        assert not any(one["clearing"] for one in network.get("/api/v1/alerts?all=1"))
