"""The core: one deadline, looks that fail or take long, and what reaches the outside."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from peerscope.alerts.own_signals import OwnFacts
from peerscope.core import EVERYTHING, LOOKS, SHARE, TOGETHER_S, TURN, VERDICTS, Core, CoreConfig, LookFailed, Part
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Leave, Publish, Stored, WallClock
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Profile
from peerscope.records.identity import Identity
from peerscope.threats.monitor import NodeActivity
from peerscope.views.news import StatusChanged

WALL_S = 1e9
RULES = "the look at alert rules"


class Work:
    """A stopwatch that shows how long looks took."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def core(*parts: Part, stopwatch: Work | None = None) -> Core:
    peer = Peer(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(0.0, WALL_S))
    made = Core(CoreConfig(parts=frozenset(parts)), peer, 0.0, WALL_S, stopwatch or Work())
    made.handle(Publish(Profile((), "eu", "1.0", round(WALL_S * 1000))), 0.0)
    return made


def pass_time(one: Core, until: float) -> list[Any]:
    """Tick at every deadline; all effects."""
    effects: list[Any] = []
    while (at := one.deadline()) <= until:
        effects += one.tick(at)
        assert one.deadline() > at, "every tick moves the deadline forward"
    return effects


def test_without_parts_a_core_is_its_peer() -> None:
    one, peer = core(), Peer(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(0.0, WALL_S))
    peer.handle(Publish(Profile((), "eu", "1.0", round(WALL_S * 1000))), 0.0)
    while (at := peer.deadline()) < 20.0:
        assert one.deadline() == at
        assert list(one.tick(at)) == peer.tick(at)


def test_all_parts_run_to_one_deadline_and_none_of_them_fails() -> None:
    effects = pass_time(core(*sorted(EVERYTHING)), 130.0)
    assert [one for one in effects if isinstance(one, LookFailed)] == []
    assert next(one.status for one in effects if isinstance(one, StatusChanged)) == "unknown"


@pytest.mark.parametrize("part", sorted(EVERYTHING))
def test_each_part_has_a_look_of_its_own(part: Part) -> None:
    assert any(look.parts == (part,) for look in LOOKS)


def test_a_look_that_fails_is_reported_stops_no_other_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    one = core("alerts", "news")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(one.alerts, "state", broken)
    effects = pass_time(one, 3.9)
    failed = [effect for effect in effects if isinstance(effect, LookFailed)]
    assert [effect.name for effect in failed] == [RULES] * 4
    assert isinstance(failed[0].error, ZeroDivisionError)
    assert any(isinstance(effect, StatusChanged) for effect in effects)


def test_looks_go_on_where_the_protocol_meets_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    one = core("alerts")
    monkeypatch.setattr(one.peer, "tick", lambda now: 1 / 0)
    monkeypatch.setattr(one.peer, "deadline", lambda: 0.0)
    assert [effect.name for effect in one.tick(1.0)] == [TURN]
    assert one._look_at == one.peer.grid.near(2.0)
    with pytest.raises(ZeroDivisionError):  # the driver holds the next turn back
        one.tick(1.0)


def test_a_reaction_that_fails_costs_no_effect_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    one = core("news")
    monkeypatch.setattr(one.news, "stored", lambda entry: 1 / 0)
    effects = one.handle(Publish(Profile((), "us", "1.0", 2)), 1.0)
    assert {type(effect) for effect in effects} >= {Stored, LookFailed}


@pytest.mark.parametrize(("took_s", "apart_s"), [(0.01, 1.0), (0.5, 0.5 / SHARE)])
def test_a_look_that_takes_long_waits_longer(monkeypatch: pytest.MonkeyPatch, took_s: float, apart_s: float) -> None:
    work, looked = Work(), []
    one = core("alerts", stopwatch=work)
    state = one.alerts.state

    def slow(*seen: Any) -> Any:
        looked.append(seen[0].now)
        work.now += took_s
        return state(*seen)

    monkeypatch.setattr(one.alerts, "state", slow)
    pass_time(one, 12.0)
    gaps = [after - before for before, after in pairwise(looked)]
    assert gaps == pytest.approx([apart_s] * len(gaps))


def test_evidence_is_judged_soon_and_in_a_calm_network_nothing_is_judged_without() -> None:
    one = core("news")
    pass_time(one, 2.0)
    assert one._due[VERDICTS] == float("inf")
    one.handle(Publish(Profile((), "us", "1.0", 3)), 5.0)
    assert one.deadline() <= one._due[VERDICTS] == 5.0 + TOGETHER_S


def test_events_of_the_agent_reach_their_parts_and_not_the_protocol() -> None:
    one = core("alerts", "threats")
    assert one.handle(OwnFacts(trouble="disk full"), 1.0) == ()
    assert one.facts.trouble == "disk full"
    assert one.handle(NodeActivity({"puts": 3}), 1.0) == ()
    assert one.threats.threats.activity.sums(60.0, 1.0).puts == 3


def test_a_wall_clock_that_is_read_dates_snapshots() -> None:
    one = core()
    assert one.snapshot(1.0).wall == WALL_S + 1.0
    one.handle(WallClock(WALL_S + 50.0), 1.0)
    assert one.snapshot(1.0).wall == WALL_S + 51.0


def test_a_core_that_has_left_wants_no_more_turns() -> None:
    one = core(*sorted(EVERYTHING))
    one.handle(Leave(), 1.0)
    assert one.deadline() == float("inf")
