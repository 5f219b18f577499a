"""The last hour of every peer, in bounded memory."""

import pytest

from peerscope.records.identity import PeerId
from peerscope.views import timeline
from peerscope.views.timeline import CHANGES_MAX, WINDOW_S, Change, Timeline

PEER, OTHER = PeerId(b"p" * 32), PeerId(b"o" * 32)


def test_only_changes_are_kept_and_told() -> None:
    line = Timeline()
    seen = [(0.0, "unknown"), (1.0, "healthy"), (2.0, "healthy"), (3.0, "down"), (4.0, "down"), (5.0, "healthy")]
    assert [line.observe(PEER, status, at) for at, status in seen] == [True, True, False, True, False, True]
    assert [(change.at, change.status) for change in line.of(PEER)] == [seen[0], seen[1], seen[3], seen[5]]


def test_peers_have_a_line_each_and_strangers_an_empty_one() -> None:
    line = Timeline()
    line.observe(PEER, "healthy", 0.0)
    line.observe(OTHER, "down", 1.0)
    assert line.of(PEER) == (Change(0.0, "healthy"),)
    assert line.of(OTHER) == (Change(1.0, "down"),)
    assert line.of(PeerId(b"x" * 32)) == ()


def test_what_is_older_than_the_window_goes_but_for_the_status_it_began_with() -> None:
    line = Timeline()
    line.observe(PEER, "healthy", 0.0)
    line.observe(PEER, "down", 10.0)
    line.observe(PEER, "healthy", 20.0)
    line.observe(PEER, "degraded", WINDOW_S + 15.0)
    assert [change.at for change in line.of(PEER)] == [10.0, 20.0, WINDOW_S + 15.0]


def test_what_is_older_than_the_window_goes_also_while_nothing_changes() -> None:
    line = Timeline()
    line.observe(PEER, "down", 0.0)
    line.observe(PEER, "healthy", 10.0)
    line.observe(PEER, "healthy", 3 * WINDOW_S)
    assert line.of(PEER) == (Change(10.0, "healthy"),)


def test_a_peer_that_flaps_all_the_time_keeps_a_bounded_line() -> None:
    line = Timeline()
    for at in range(CHANGES_MAX + 50):
        line.observe(PEER, ("healthy", "down")[at % 2], float(at))
    assert len(line.of(PEER)) == CHANGES_MAX
    assert line.of(PEER)[-1].at == CHANGES_MAX + 49


def test_no_more_peers_than_the_limit_have_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "PEERS_MAX", 1)
    line = Timeline()
    assert line.observe(PEER, "healthy", 0.0)
    assert not line.observe(OTHER, "healthy", 0.0)
    assert line.of(OTHER) == ()
    line.forget(PEER)
    assert line.observe(OTHER, "healthy", 0.0)


def test_the_forgotten_have_no_line() -> None:
    line = Timeline()
    line.observe(PEER, "healthy", 0.0)
    line.forget(PEER)
    line.forget(PEER)
    assert line.of(PEER) == ()
