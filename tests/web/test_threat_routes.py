"""A real agent: what its node does becomes a finding, an alert, and a line on the command line."""

import httpx
import pytest

from live import Agent, until

FLOOD = b'{"type":"dht","op":"put","key":"k"}\n' * 1500
POISON = b'{"type":"dht","op":"lookup","key":"k","values":["a","b"]}\n' * 10
POISON += b'{"type":"dht","op":"lookup","key":"k","values":["a","a"]}\n' * 15
BAD = b'{"type":"connection","event":"opened","remote":"192.0.2.7:4001"}\n'


@pytest.fixture(scope="module")
def attacked(agent: Agent) -> Agent:
    """The agent beside a node that is flooded and lied to."""
    with httpx.Client(base_url=agent.http, trust_env=False, timeout=30.0) as asking:
        for body in (FLOOD, POISON):
            answer = asking.post("/api/v1/telemetry", content=body)
            assert answer.json()["refused"] == []
    until(lambda: len(agent.loop.call(agent.monitor.threats)) >= 2, "what was sent is found")
    return agent


def test_findings_are_listed_with_evidence_and_confidence(web: httpx.Client, attacked: Agent) -> None:
    found = {one["detection"]: one for one in web.get("/api/v1/threats").json()}
    flood, poison = found["dht-flood"], found["data-poisoning"]
    assert flood["peer_id"] == attacked.peer_id
    assert flood["id"] == f"dht-flood-{attacked.peer_id[:16]}"
    assert flood["severity"] == "high"
    assert flood["confidence"] > 0.99
    assert ["limit", "1000"] in flood["evidence"]
    assert poison["severity"] == "medium"
    assert 0.2 < poison["confidence"] < 0.3  # Wilson's lower bound of 10 in 25
    assert flood["region"] == "eu-west"
    assert flood["at"] > 1.7e9
    only = web.get("/api/v1/threats", params={"severity": "medium"}).json()
    assert [one["detection"] for one in only] == ["data-poisoning"]


def test_a_finding_is_an_alert_of_the_network(attacked: Agent) -> None:
    def rules() -> set[str]:
        return {alert.rule for alert in attacked.loop.call(attacked.monitor.alerts) if alert.type == "security-threat"}

    until(lambda: {"dht-flood", "data-poisoning"} <= rules(), "both fire")


def test_anomaly_rates_are_null_before_anything_is_known(web: httpx.Client, attacked: Agent) -> None:
    assert web.get("/api/v1/anomalies").json() == {"network": None, "peers": {}}
