"""The node beside a real peer dies: its peer says so, and everybody shows the same alert until it is back."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import eventually, get
from processes import Peers

pytestmark = pytest.mark.e2e
WITHIN_S = 90.0
PATIENT = {
    "PEERSCOPE_NODE__SILENCE_S": "3",
    "PEERSCOPE_REPORT__INTERVAL_S": "1",
    "PEERSCOPE_ALERTS__RULES__NODE_DOWN__FOR_S": "4",
    "PEERSCOPE_ALERTS__RULES__NODE_DOWN__CLEAR_FOR_S": "2",
}
NODE = textwrap.dedent(
    """
    import sys, time, urllib.request
    lines = b'{"type":"gauge","name":"tunnels","value":3}\\n{"type":"message","direction":"in","bytes":9}\\n'
    while True:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/api/v1/telemetry", lines), timeout=10).read()
        time.sleep(0.3)
    """
)
"""A program that does nothing but send telemetry."""


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peers]:
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    found = Peers(tmp_path)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def nodes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for node in started:
        node.kill()
        node.wait()


def about_nodes(peer: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    return [one for one in get(peer, f"/api/v1/alerts{query}") if one["rule"].startswith("node-")]


def words(alert: dict[str, Any]) -> dict[str, Any]:
    """All of an alert that is not a matter of the reader's own clock."""
    names = ("id", "type", "severity", "title", "runbook", "metadata", "url", "peer_id", "stated_by", "episode")
    return {name: alert[name] for name in names}


def test_a_node_that_is_killed_is_one_alert_with_the_same_facts_at_every_peer(
    peers: Peers, nodes: list[subprocess.Popen[bytes]]
) -> None:
    first = peers.run("first")
    everybody = [first, *(peers.run(name, first["ticket"]) for name in ("second", "third", "fourth"))]
    victim = everybody[2]
    eventually(lambda: all(len(get(one, "/api/v1/peers")) == 4 for one in everybody), "all have met", within_s=WITHIN_S)

    def run_node() -> subprocess.Popen[bytes]:
        nodes.append(subprocess.Popen([sys.executable, "-c", NODE, victim["http"]]))
        return nodes[-1]

    def check(one: dict[str, Any]) -> str | None:
        found = get(one, f"/api/v1/peers/{victim['peer_id']}")["checks"] or {}
        return str(found["node"]["status"]) if "node" in found else None

    node = run_node()
    eventually(lambda: all(check(one) == "healthy" for one in everybody), "the node is attached", within_s=WITHIN_S)
    assert [about_nodes(one, "?all=1") for one in everybody] == [[]] * 4

    os.kill(node.pid, signal.SIGKILL)
    eventually(lambda: all(len(about_nodes(one)) == 1 for one in everybody), "all show it", within_s=WITHIN_S)
    found = [about_nodes(one)[0] for one in everybody]
    assert [words(alert) for alert in found] == [words(found[0])] * 4
    (alert, *_) = found
    assert (alert["rule"], alert["severity"], alert["title"]) == ("node-down", "high", "The node is down")
    assert alert["peer_id"] == victim["peer_id"]
    assert "no longer answers" in alert["runbook"]
    assert alert["url"] == f"/#alert={alert['id']}"
    assert "has sent no telemetry for" in alert["description"]
    assert {name: alert["metadata"][name] for name in ("value", "threshold", "unit", "for_s")} == {
        "value": "2",
        "threshold": "1",
        "unit": "status",
        "for_s": "4",
    }
    assert alert["metadata"]["since"].endswith("Z")
    assert {one["verdict"] for one in get(first, "/api/v1/peers")} == {"alive"}, "only the node is down"

    run_node()
    eventually(lambda: not any(about_nodes(one) for one in everybody), "it is over", within_s=WITHIN_S)
    assert [about_nodes(one, "?all=1")[0]["state"] for one in everybody] == ["resolved"] * 4
