"""A real agent with a channel: one message for what it finds, none for what is silenced, and what operators order."""

import json
from pathlib import Path
from typing import Any

import pytest

from live import Agent, running, until
from peerscope.alerts.notices import ESCALATION, NOTIFIER
from peerscope.errors import ConfigError
from peerscope.notify.dispatcher import FILE
from receiver import Receiver

RULE = {"threshold": 0.0, "clear": 0.0, "for_s": 0.0, "clear_for_s": 0.0}
"""Every memory is too full for it."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone peer has nobody to hear from."""
    monkeypatch.setattr("peerscope.notify.dispatcher.SETTLE_S", 0.5)


def sections(receiver: Receiver, **notify: Any) -> dict[str, dict[str, Any]]:
    channel = {"kind": "webhook", "url": f"{receiver.url}/hook", **notify.pop("channel", {})}
    return {
        "notify": {"group_wait_s": 0.0, "channels": {"hook": channel}, **notify},
        "alerts": {"rules": {"memory-high": RULE}},
    }


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """(state, rule) of every message about the memory."""
    found = [(request.json["state"], request.json["alerts"][0]["rule"]) for request in receiver.requests]
    return [one for one in found if one[1] == "memory-high"]


def notices(agent: Agent) -> list[tuple[str, bool]]:
    """What the agent's record says it told of the memory."""
    engine = agent.monitor.alerting.engine
    assert engine is not None
    return [(one.key.rpartition(":")[2], one.delivered) for one in list(engine.notices) if "memory" in one.key]


def test_one_message_and_a_notice_that_is_published_and_kept(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: len(told(receiver)) == 1, "it is told")
        until(lambda: notices(agent) == [("firing", True)], "the notice says so")
        profile = agent.loop.call(lambda: agent.monitor.peer.ledger.profile(agent.monitor.peer.me))
        assert profile is not None
        assert profile.roles == (NOTIFIER,)
        (view,) = agent.loop.call(agent.monitor.notifying.channels)
        assert view.counts["delivered"] >= 1
    assert json.loads((tmp_path / FILE).read_text())
    assert len(told(receiver)) == 1


def test_three_alerts_at_one_peer_are_one_message_about_an_incident(receiver: Receiver, tmp_path: Path) -> None:
    broken = sections(receiver, group_wait_s=1.5, min_severity="high")
    broken["alerts"]["rules"] = {f"{name}-high": {**RULE, "threshold": -1.0} for name in ("cpu", "memory", "storage")}
    broken["alerts"]["rules"] = {name: rule | {"clear": -1.0} for name, rule in broken["alerts"]["rules"].items()}
    with running(tmp_path, **broken) as agent:
        events: list[dict[str, Any]] = []
        agent.loop.call(agent.monitor.listen, events.append)
        until(lambda: len(receiver.requests) == 1, "it is told")
        until(lambda: any(one["event"] == "notification" for one in events), "and delivered")
        (incident,) = agent.loop.call(agent.monitor.incidents)
    (request,) = receiver.requests
    assert request.json["key"] == incident.id
    assert request.json["incident"]["kind"] == "peer-cluster"
    assert sorted(one["rule"] for one in request.json["alerts"]) == ["cpu-high", "memory-high", "storage-high"]


def test_orders_given_at_an_agent_are_seen_on_its_alerts(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: _memory(agent) is not None, "it fires")
        made = agent.loop.call(lambda: agent.monitor.silence(["rule=memory-*"], 3600, "ann@host", "maintenance"))
        until(lambda: _silenced(agent, made.id), "the silence is seen on the alert")
        assert agent.loop.call(lambda: agent.monitor.lift(made.id))
        until(lambda: not _silenced(agent, made.id), "and lifted")
        key = _memory(agent).id
        agent.loop.call(lambda: agent.monitor.acknowledge(key, "ann@host", "on it"))
        until(lambda: _memory(agent).acknowledged_by == "ann@host", "who looks after it is seen")


def test_what_is_silenced_is_evaluated_and_not_told(receiver: Receiver, tmp_path: Path) -> None:
    quiet = sections(receiver)
    with running(tmp_path, **(quiet | {"alerts": {"rules": {"memory-high": {**RULE, "threshold": 1.0}}}})) as agent:
        agent.loop.call(lambda: agent.monitor.silence(["rule=memory-high"], 3600, "ann", "maintenance"))
    with running(tmp_path, **quiet) as agent:
        until(lambda: _memory(agent) is not None and _memory(agent).silenced_by is not None, "fires in silence")
        (silence,) = agent.loop.call(agent.monitor.orders).silences
        assert told(receiver) == []
        assert agent.loop.call(lambda: agent.monitor.lift(silence.id))
        until(lambda: told(receiver) == [("firing", "memory-high")], "told when the silence ends")


def test_a_rule_that_nobody_wants_to_hear_of_is_not_told(receiver: Receiver, tmp_path: Path) -> None:
    quiet = sections(receiver)
    quiet["alerts"]["rules"] = {"memory-high": {**RULE, "notify": False}, "storage-high": RULE}
    with running(tmp_path, **quiet):
        until(lambda: "storage-high" in _rules(receiver), "another one is told")
    assert "memory-high" not in _rules(receiver)


def test_a_message_that_no_channel_took_leaves_no_notice(receiver: Receiver, tmp_path: Path) -> None:
    receiver.status = 400
    with running(tmp_path, **sections(receiver, channel={"escalation": True})) as agent:
        events: list[dict[str, Any]] = []
        agent.loop.call(agent.monitor.listen, events.append)
        until(lambda: len(told(receiver)) == 1, "it was tried")
        until(lambda: notices(agent) == [], "and taken back")
        assert agent.monitor.notifying.roles == (NOTIFIER, ESCALATION)


def test_a_channel_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify\.channels\.hook\.url is missing"):
        with running(tmp_path, notify={"channels": {"hook": {"kind": "webhook"}}}):
            pass


def _memory(agent: Agent) -> Any:
    found = [a for a in agent.loop.call(lambda: agent.monitor.alerts(active_only=True)) if a.rule == "memory-high"]
    return found[0] if found else None


def _silenced(agent: Agent, silence: str) -> bool:
    return _memory(agent) is not None and _memory(agent).silenced_by == silence


def _rules(receiver: Receiver) -> set[str]:
    return {request.json["alerts"][0]["rule"] for request in receiver.requests}
