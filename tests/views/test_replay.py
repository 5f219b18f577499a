"""What is kept of the last hour, and what a page can make of it."""

from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.identity import PeerId
from peerscope.views import replay as replay_module
from peerscope.views.links import MergedLink
from peerscope.views.replay import LinkPast, Replay, replay
from peerscope.views.timeline import WINDOW_S, Timeline

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
    monkeypatch.setattr(replay_module, "LINK_CHANGES_MAX", 10)
    past = LinkPast()
    past.observe([], BEGAN)
    for step in range(1, 31):
        past.observe([link(A, B)] if step % 2 else [], BEGAN + step)
    assert len(list(past.changes(0.0))) == 10
    assert past.begin == BEGAN + 20
    assert past.links_at(past.begin) == set()
    assert past.links_at(BEGAN + 21) == {(A.hex(), B.hex(), "mesh")}


def test_too_many_statuses_shorten_it_too(monkeypatch) -> None:
    monkeypatch.setattr(replay_module, "STATUS_CHANGES_MAX", 5)
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
