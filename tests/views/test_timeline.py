"""The last hour of every peer and link, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.identity import PeerId
from peerscope.views import timeline as timeline_module
from peerscope.views.links import MergedLink
from peerscope.views.timeline import CHANGES_MAX, WINDOW_S, Change, LinkPast, Replay, Timeline, replay

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
    monkeypatch.setattr(timeline_module, "PEERS_MAX", 1)
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


BEGAN = 1_700_000_000.0
A, B, C = (PeerId(bytes((number,)) * 32) for number in (1, 2, 3))
Pairs = set[tuple[str, str]]


def link(one: PeerId, other: PeerId, rtt_s: float = 0.01) -> MergedLink:
    return MergedLink(one.hex(), other.hex(), "mesh", rtt_s, 0.0)


def played(found: Replay, at: float) -> tuple[dict[str, str], Pairs]:
    """Statuses and links at a time, as a page works them out."""
    seconds = at - found.since
    statuses = {found.names[peer]: found.statuses[status] for peer, status in found.peers}
    links = {(found.names[one], found.names[other]) for one, other, _ in found.links}
    for after, peer, status in found.status_changes:
        if after <= seconds:
            statuses[found.names[peer]] = found.statuses[status]
    for after, one, other, _, up in found.link_changes:
        if after <= seconds:
            (links.add if up else links.discard)((found.names[one], found.names[other]))
    return statuses, links


def test_a_kill_five_minutes_ago_is_played_as_it_was() -> None:
    timeline, past, now = Timeline(), LinkPast(), BEGAN + 900.0
    for peer in (A, B):
        timeline.observe(peer, "healthy", BEGAN)
    past.observe([link(A, B)], BEGAN)
    timeline.observe(B, "down", now - 300)
    past.observe([], now - 298)
    found = replay(timeline, past, now - WINDOW_S, now)
    before, after = played(found, now - 301), played(found, now - 290)
    assert before == ({A.hex(): "healthy", B.hex(): "healthy"}, {(A.hex(), B.hex())})
    assert after == ({A.hex(): "healthy", B.hex(): "down"}, set())


def test_it_begins_where_the_record_does() -> None:
    timeline, past = Timeline(), LinkPast()
    timeline.observe(A, "healthy", BEGAN)
    past.observe([], BEGAN)
    assert replay(timeline, past, BEGAN - 1000, BEGAN + 60).since == BEGAN
    assert replay(Timeline(), LinkPast(), BEGAN, BEGAN + 60).since == BEGAN + 60


def test_a_peer_that_came_later_is_not_there_before() -> None:
    timeline, past = Timeline(), LinkPast()
    past.observe([], BEGAN)
    timeline.observe(A, "healthy", BEGAN)
    timeline.observe(C, "healthy", BEGAN + 100)
    found = replay(timeline, past, BEGAN, BEGAN + 200)
    assert set(played(found, BEGAN + 99)[0]) == {A.hex()}
    assert set(played(found, BEGAN + 100)[0]) == {A.hex(), C.hex()}


def test_another_round_trip_is_no_change() -> None:
    past = LinkPast()
    past.observe([link(A, B, 0.01)], BEGAN)
    past.observe([link(A, B, 0.02)], BEGAN + 5)
    assert list(past.changes(BEGAN - 1)) == []


def test_what_is_older_than_an_hour_is_forgotten_and_its_outcome_kept() -> None:
    past = LinkPast()
    past.observe([], BEGAN)
    past.observe([link(A, B)], BEGAN + 10)
    past.observe([link(A, B), link(B, C)], BEGAN + 20)
    past.observe([link(B, C)], BEGAN + 10 + WINDOW_S)
    assert past.begin == BEGAN + 10
    assert [key[:2] for _, key, _ in past.changes(0.0)] == [(B.hex(), C.hex()), (A.hex(), B.hex())]
    assert past.links_at(past.begin) == {(A.hex(), B.hex(), "mesh")}


def test_too_many_changes_shorten_the_hour(monkeypatch) -> None:
    monkeypatch.setattr(timeline_module, "LINK_CHANGES_MAX", 10)
    past = LinkPast()
    past.observe([], BEGAN)
    for step in range(1, 31):
        past.observe([link(A, B)] if step % 2 else [], BEGAN + step)
    assert len(list(past.changes(0.0))) == 10
    assert past.begin == BEGAN + 20
    assert past.links_at(past.begin) == set()
    assert past.links_at(BEGAN + 21) == {(A.hex(), B.hex(), "mesh")}


def test_too_many_statuses_shorten_it_too(monkeypatch) -> None:
    monkeypatch.setattr(timeline_module, "STATUS_CHANGES_MAX", 5)
    timeline, past = Timeline(), LinkPast()
    past.observe([], BEGAN)
    for step in range(20):
        timeline.observe(A, "healthy" if step % 2 else "degraded", BEGAN + step)
    found = replay(timeline, past, BEGAN, BEGAN + 30)
    assert found.since == BEGAN + 15
    assert played(found, BEGAN + 15)[0] == {A.hex(): "healthy"}
    assert len(found.status_changes) == 4


def test_a_clock_that_is_set_back_mixes_nothing_up() -> None:
    past = LinkPast()
    past.observe([], BEGAN)
    past.observe([link(A, B)], BEGAN + 50)
    past.observe([], BEGAN + 20)
    assert [at for at, _, _ in past.changes(0.0)] == [BEGAN + 50, BEGAN + 50]
    assert past.links_at(BEGAN + 60) == set()


looks = st.lists(st.frozensets(st.sampled_from([(A, B), (B, C), (A, C)])), min_size=1, max_size=30)


@given(looks, st.data())
def test_any_moment_of_the_hour_is_played_as_it_was_looked_at(seen: list[frozenset], data: st.DataObject) -> None:
    past = LinkPast()
    for step, pairs in enumerate(seen):
        past.observe([link(*pair) for pair in sorted(pairs)], BEGAN + step)
    since, step = data.draw(st.integers(0, len(seen) - 1)), data.draw(st.integers(0, len(seen) - 1))
    found = replay(Timeline(), past, BEGAN + since, BEGAN + len(seen))
    shown = played(found, BEGAN + max(step, since))[1]
    assert shown == {(one.hex(), other.hex()) for one, other in seen[max(step, since)]}
