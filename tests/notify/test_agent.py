"""A real agent with a channel: one message for what it finds, none for what is silenced, and what operators order."""

import json
from pathlib import Path
from typing import Any

import pytest

from live import Agent, running, until
from peerscope.alerts.notification_log import ESCALATION, NOTIFIER
from peerscope.alerts.silences import alert_digest
from peerscope.errors import ConfigError
from peerscope.notify.dispatcher import FILE
from receiver import Receiver, receiving

RULE = {"threshold": 0.0, "clear": 0.0, "for_s": 0.0, "clear_for_s": 0.0}
"""Every memory is too full for it."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone peer has nobody to hear from."""
    monkeypatch.setattr("peerscope.alerts.notifier.SETTLE_TIMEOUT_S", 0.5)
    monkeypatch.setattr("peerscope.alerts.episodes.LOST_S", 0.5)
    monkeypatch.setattr("peerscope.alerts.notifier.RETRY_S", 0.1)
    monkeypatch.setattr("peerscope.notify.backlog.RETRY_S", 0.1)


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
    engine = agent.monitor.core.alerts.engine
    return [(one.key.rpartition(":")[2], one.delivered) for one in list(engine.notices) if "memory" in one.key]


def test_one_message_and_a_notice_that_is_published_and_kept(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: len(told(receiver)) == 1, "it is told")
        until(lambda: notices(agent) == [("firing", True)], "the notice says so")
        profile = agent.loop.call(lambda: agent.monitor.peer.ledger.profile(agent.monitor.peer.me))
        assert profile is not None
        assert profile.roles == (NOTIFIER,)
        (view,) = agent.loop.call(agent.monitor.notifications.channels)
        assert view.counts["delivered"] >= 1
    assert json.loads((tmp_path / FILE).read_text())
    assert len(told(receiver)) == 1


def test_an_alert_that_was_over_before_its_notifier_came_back_is_ended_once(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, **sections(receiver)):
        until(lambda: told(receiver) == [("firing", "memory-high")], "it is told")
    calm = sections(receiver) | {"alerts": {"rules": {"memory-high": {**RULE, "threshold": 1.0, "clear": 1.0}}}}
    for _ in range(2):
        with running(tmp_path, **calm) as agent:
            until(lambda: len(told(receiver)) >= 2, "its end is told")
            until(lambda: notices(agent) == [("firing", True), ("resolved", True)], "and noted")
    assert told(receiver) == [("firing", "memory-high"), ("resolved", "memory-high")]
    begun, ended = (one for one in receiver.requests if one.json["alerts"][0]["rule"] == "memory-high")
    assert (ended.json["reason"], ended.json["resolved_at"]) == ("lost", None), "nobody saw when it ended"
    assert begun.json["episode"] == ended.json["episode"]
    assert begun.headers["idempotency-key"] != ended.headers["idempotency-key"]


def test_a_silence_holds_back_the_end_of_what_was_over_before_its_notifier_came_back(
    receiver: Receiver, tmp_path: Path
) -> None:
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: told(receiver) == [("firing", "memory-high")], "it is told")
        until(lambda: notices(agent) == [("firing", True)], "and noted")
        agent.loop.call(lambda: agent.monitor.silence(["rule=memory-high"], 3600, "ann", "maintenance"))
    calm = {"memory-high": {**RULE, "threshold": 1.0, "clear": 1.0}, "storage-high": RULE}
    with running(tmp_path, **(sections(receiver) | {"alerts": {"rules": calm}})) as agent:
        until(lambda: "storage-high" in _rules(receiver), "another one is told meanwhile")
        assert told(receiver) == [("firing", "memory-high")]
        (silence,) = agent.loop.call(agent.monitor.orders).silences
        assert agent.loop.call(lambda: agent.monitor.lift(silence.id))
        until(lambda: told(receiver)[1:] == [("resolved", "memory-high")], "its end is told when the silence ends")


def test_notices_that_an_earlier_release_kept_are_read(receiver: Receiver, tmp_path: Path) -> None:
    with running(tmp_path, **sections(receiver)):
        until(lambda: told(receiver) == [("firing", "memory-high")], "it is told")
    kept = json.loads((tmp_path / FILE).read_text())
    old = [{name: one[name] for name in ("key", "at", "severity", "delivered")} for one in kept["notices"]]
    (tmp_path / FILE).write_text(json.dumps(old))
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: notices(agent)[:1] == [("firing", True)], "they are published again")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_proxy_under_maintenance_delays_the_message_and_the_end_follows(
    receiver: Receiver, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peerscope.notify.channel_queue.BACKOFF_S", 0.01)
    receiver.status, receiver.answer_headers = status, {"Location": "/maintenance"}
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: len(told(receiver)) >= 5, "it is tried again and again")
        receiver.status, receiver.answer_headers = 200, {}
        until(lambda: notices(agent) == [("firing", True)], "until it is delivered")
        refused = len(told(receiver))
        agent.loop.call(lambda: agent.monitor.core.alerts.use([]))
        until(lambda: notices(agent) == [("firing", True), ("resolved", True)], "and so is its end")
    assert told(receiver)[refused:] == [("resolved", "memory-high")]
    keys = [one.headers["idempotency-key"] for one in receiver.requests if one.json["state"] == "firing"]
    assert len(set(keys)) == 1, "every attempt has one key"


def test_a_channel_that_refused_what_another_took_hears_of_it_after_a_restart(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peerscope.alerts.episodes.LOST_S", 60.0)  # it fires on
    with receiving() as closed:
        closed.status = 404
        both = sections(receiver)
        both["notify"]["channels"]["closed"] = {"kind": "webhook", "url": f"{closed.url}/hook"}
        with running(tmp_path, **both) as agent:
            until(lambda: notices(agent) == [("firing", True)], "one channel took it")
            until(lambda: "memory-high" in str(_kept(tmp_path).get("refused")), "what the other one refused is kept")
        closed.requests.clear()
        closed.status = 200
        with running(tmp_path, **both):
            until(lambda: told(closed) == [("firing", "memory-high")], "the other one gets it")
            until(lambda: "memory-high" not in str(_kept(tmp_path)["refused"]), "and is owed nothing")
    assert told(receiver) == [("firing", "memory-high")]
    (first,) = (one for one in receiver.requests if one.json["alerts"][0]["rule"] == "memory-high")
    (late,) = (one for one in closed.requests if one.json["alerts"][0]["rule"] == "memory-high")
    assert late.headers["idempotency-key"] == first.headers["idempotency-key"]


def test_of_what_could_not_be_told_while_it_lasted_the_end_says_so(receiver: Receiver, tmp_path: Path) -> None:
    receiver.status = 404
    with running(tmp_path, **sections(receiver)) as agent:
        until(lambda: len(told(receiver)) >= 2, "it is tried")
        agent.loop.call(lambda: agent.monitor.core.alerts.use([]))
        until(lambda: ("resolved", "memory-high") in told(receiver), "and so is its end")
        receiver.status = 200
        until(lambda: notices(agent) == [("resolved", True)], "until that is delivered")
    last = receiver.requests[-1].json
    assert (last["state"], last["reason"], last["resolved_at"] is not None) == ("resolved", "missed", True)


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


def test_an_acknowledgement_of_an_incident_holds_for_its_alerts_and_outlives_a_restart(
    receiver: Receiver, tmp_path: Path
) -> None:
    broken = sections(receiver)
    names = ("cpu-high", "memory-high", "storage-high")
    broken["alerts"]["rules"] = {name: {**RULE, "threshold": -1.0, "clear": -1.0} for name in names}
    with running(tmp_path, **broken) as agent:
        until(lambda: len(agent.loop.call(agent.monitor.incidents)) == 1, "three alerts at one peer are an incident")
        (incident,) = agent.loop.call(agent.monitor.incidents)
        agent.loop.call(lambda: agent.monitor.acknowledge(incident.id, "ann", "on it"))
        until(lambda: agent.loop.call(agent.monitor.incidents)[0].acknowledged_by == "ann", "it is acknowledged")
        (known,) = agent.loop.call(agent.monitor.orders).acknowledgements.values()
        assert {alert_digest(name).hex() for name in incident.alerts} <= set(known.alerts)
        found = agent.loop.call(lambda: agent.monitor.alerts(active_only=True))
        assert {one.acknowledged_by for one in found if one.id in incident.alerts} == {"ann"}
    with running(tmp_path, **broken) as agent:
        until(lambda: bool(agent.loop.call(agent.monitor.orders).acknowledgements), "it is published again")
        (kept,) = agent.loop.call(agent.monitor.orders).acknowledgements.values()
        assert kept.alerts == known.alerts


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
        assert agent.monitor.notifications.roles == (NOTIFIER, ESCALATION)


def test_a_channel_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify\.channels\.hook\.url is missing"):
        with running(tmp_path, notify={"channels": {"hook": {"kind": "webhook"}}}):
            pass


def _kept(state: Path) -> dict[str, Any]:
    place = state / FILE
    return json.loads(place.read_text()) if place.exists() else {}


def _memory(agent: Agent) -> Any:
    found = [a for a in agent.loop.call(lambda: agent.monitor.alerts(active_only=True)) if a.rule == "memory-high"]
    return found[0] if found else None


def _silenced(agent: Agent, silence: str) -> bool:
    return _memory(agent) is not None and _memory(agent).silenced_by == silence


def _rules(receiver: Receiver) -> set[str]:
    return {request.json["alerts"][0]["rule"] for request in receiver.requests}
