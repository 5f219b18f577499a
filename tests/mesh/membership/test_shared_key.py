"""Two processes with one key are proved by what each signs of the other; no history of one machine looks like it."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import KeyShared, Measured, Publish, Recall
from peerscope.mesh.membership.shared_key import NEWS_S, STANDS_S
from peerscope.mesh.messages import Aged
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import LIVES_MAX, Kind, Profile
from peerscope.records.record import Record, sign
from strategies import IDENTITIES
from wire import GOOD, WALL_S, profile

OWN = IDENTITIES[0]


def process(seed: int, now: float = 0.0, *, ahead_s: float = 0.0, address: str = "10.0.0.1:1") -> Peer:
    """A process that runs with the key, on a machine whose clock is so far ahead."""
    peer = Peer(OWN, PeerConfig(), Random(seed), Clocks(now, WALL_S + ahead_s))
    peer.handle(Publish(profile(address)), now)
    peer.handle(Measured(GOOD), now)
    peer.tick(now)
    return peer


def said(peer: Peer) -> Record:
    """The newest profile that a process signed."""
    entry = peer.ledger.get(OWN.peer_id, Kind.PROFILE)
    assert entry is not None
    return entry.record


def told(peer: Peer) -> Profile:
    found = peer.ledger.profile(OWN.peer_id)
    assert found is not None
    return found


def give(peer: Peer, record: Record, now: float) -> None:
    """A record reaches a process."""
    peer.handle(Recall((Aged(record, 0),)), now)


def quarrel(one: Peer, other: Peer, now: float, *, rounds: int = 3) -> None:
    """Each hears what the other says now, in turn."""
    for _ in range(rounds):
        give(other, said(one), now)
        give(one, said(other), now)


def places(peer: Peer, now: float) -> list[tuple[str, ...]]:
    """Where others run with the key, as a process knows."""
    return [one.addresses for one in peer.shared_key.running(now)]


def news(peer: Peer, start: float, end: float) -> list[tuple[float, KeyShared]]:
    """What a process says of that, second by second."""
    seconds = range(int(start) + 1, int(end) + 1)
    return [(at, effect) for at in seconds for effect in peer.tick(float(at)) if isinstance(effect, KeyShared)]


@pytest.mark.parametrize("ahead_s", [-86_400.0, -3_600.0, -0.5, 0.0, 0.5, 3_600.0, 86_400.0])
@pytest.mark.parametrize("address", ["10.0.0.2:1", "10.0.0.1:1"], ids=["elsewhere", "behind the same address"])
def test_both_of_two_processes_with_one_key_know_of_each_other_whatever_their_clocks(
    ahead_s: float, address: str
) -> None:
    one, other = process(1), process(2, 5.0, ahead_s=ahead_s, address=address)
    quarrel(one, other, 6.0)
    assert places(one, 6.0) == [(address,)]
    assert places(other, 6.0) == [("10.0.0.1:1",)]
    for peer, there in ((one, address), (other, "10.0.0.1:1")):
        assert [(met.is_running, met.addresses) for met in told(peer).met] == [(True, (there,))]
        assert [len(effect.others) for _, effect in news(peer, 6.0, 8.0)] == [1]


def test_a_copy_of_the_memory_of_a_running_process_is_one_more_process() -> None:
    one, other = process(1), process(1, address="10.0.0.2:1")
    assert one.shared_key.life == other.shared_key.life
    other.handle(Publish(profile("10.0.0.2:1")), 5.0)
    quarrel(one, other, 6.0)
    assert one.shared_key.life != other.shared_key.life
    assert places(one, 6.0) == [("10.0.0.2:1",)]
    assert places(other, 6.0) == [("10.0.0.1:1",)]


def test_a_machine_that_was_put_back_to_an_earlier_state_of_its_memory_is_alone() -> None:
    before, after = process(1), process(1)
    for second in range(2, 5):  # what it said later, and does not remember
        before.handle(Publish(profile(f"10.0.0.{second}:1")), float(second))
        give(after, said(before), float(second) + 10.0)
    assert places(after, 15.0) == []


def test_a_container_image_scaled_to_many_is_known_to_each_of_them_and_bounded() -> None:
    many = [process(number, address=f"10.0.0.{number}:1") for number in range(1, 9)]
    for turn in range(3):
        for one in many:
            for other in many:
                if one is not other:
                    give(other, said(one), 6.0 + turn)
    for one in many:
        assert 0 < len(places(one, 9.0)) <= LIVES_MAX
        assert len(told(one).met) <= LIVES_MAX


def test_the_end_of_the_copy_is_known_at_once_by_its_goodbye() -> None:
    one, other = process(1), process(2, address="10.0.0.2:1")
    quarrel(one, other, 6.0)
    goodbye = sign(OWN, replace(told(other), left=True), version=said(one).version + 1, wall_ms=said(one).version + 1)
    give(one, goodbye, 7.0)
    assert places(one, 7.0) == []
    one.tick(8.0)
    assert not any(met.is_running for met in told(one).met)
    assert not told(one).left


def test_the_end_of_a_copy_that_was_killed_is_known_after_five_minutes_and_told() -> None:
    one, other = process(1), process(2, address="10.0.0.2:1")
    quarrel(one, other, 6.0)
    heard = news(one, 6.0, 6.0 + STANDS_S + 5.0)
    assert [len(effect.others) for _, effect in heard] == [1, 0]
    assert heard[1][0] > 6.0 + STANDS_S
    assert not any(met.is_running for met in told(one).met)


def test_a_copy_that_is_restarted_again_and_again_is_told_once_a_minute_at_most() -> None:
    one = process(1)
    count = 0
    for second in range(1, 181):
        quarrel(one, process(1 + second, float(second), address=f"10.0.0.2:{second}"), float(second), rounds=2)
        count += sum(isinstance(effect, KeyShared) for effect in one.tick(float(second)))
    assert 1 <= count <= 180 / NEWS_S + 1
    assert len(places(one, 180.0)) <= LIVES_MAX


def test_copies_that_die_too_soon_to_be_proved_do_not_crowd_out_the_proof_of_one_that_was() -> None:
    one = process(1)
    quarrel(one, process(2, address="10.0.0.2:1"), 1.0)
    for second in range(2, 2 + 3 * LIVES_MAX):
        give(one, said(process(100 + second, float(second), address="10.0.0.3:1")), float(second))
    assert places(one, 15.0) == [("10.0.0.2:1",)]
    assert len(told(one).met) == LIVES_MAX


def test_an_agent_without_numbers_is_found_out_by_going_on_and_on() -> None:
    one, found = process(1), []
    for turn in range(1, 5):
        older = profile("10.0.0.2:1")
        above = said(one).version + 1
        give(one, sign(OWN, older, version=above, wall_ms=above), float(turn))
        found.append(places(one, float(turn)))
    assert found == [[], [], [("10.0.0.2:1",)], [("10.0.0.2:1",)]]


def test_nobody_without_the_key_can_say_so() -> None:
    one, liar = process(1), IDENTITIES[9]
    lie = replace(profile("10.6.6.6:1"), life=7, met=told(process(1)).met)
    above = said(one).version + 1
    forged = replace(sign(liar, lie, version=above, wall_ms=above), origin=OWN.peer_id)
    give(one, forged, 1.0)
    give(one, sign(liar, lie, version=above, wall_ms=above), 1.0)
    assert places(one, 1.0) == []
    assert one.refused["forged"] == 1


def test_a_proof_that_was_withheld_for_long_does_not_revive_what_is_over() -> None:
    one, other = process(1), process(2, address="10.0.0.2:1")
    quarrel(one, other, 6.0)
    give(other, said(one), 7.0)
    withheld = said(other)
    late = 7.0 + 2 * STANDS_S
    news(one, 7.0, late)
    give(one, withheld, late)
    assert places(one, late) == []
    quarrel(one, other, late + 1.0)
    assert places(one, late + 1.0) == [("10.0.0.2:1",)], "but one that still runs is found again"


class TestAbroad:
    """What another zone holds under our key."""

    def test_a_process_there_that_names_us_is_proved_at_once(self) -> None:
        one, other = process(1), process(2, address="10.0.0.2:1")
        give(other, said(one), 1.0)
        assert one.shared_key.met_elsewhere(told(other), 10, 1.0)
        assert places(one, 1.0) == [("10.0.0.2:1",)]
        assert not places(other, 1.0)

    def test_one_that_never_names_us_is_proved_by_reports_that_go_on(self) -> None:
        one, other = process(1), process(2, address="10.0.0.2:1")
        found = []
        for turn in range(4):
            one.shared_key.met_elsewhere(told(other), 10 + turn, 60.0 * turn)
            found.append(len(places(one, 60.0 * turn)))
        assert found == [0, 0, 1, 1]

    def test_our_own_past_there_reports_nothing_new(self) -> None:
        past, one = process(1), process(2, 10.0, address="10.0.0.2:1")
        assert one.shared_key.met_elsewhere(told(past), 10, 11.0), "our profile does not name that life yet"
        one.handle(Publish(told(one)), 12.0)
        for turn in range(8):
            assert not one.shared_key.met_elsewhere(told(past), 10, 13.0 + turn)
        assert places(one, 21.0) == []

    def test_it_ends_when_its_reports_end(self) -> None:
        one, other = process(1), process(2, address="10.0.0.2:1")
        give(other, said(one), 1.0)
        one.shared_key.met_elsewhere(told(other), 10, 1.0)
        one.handle(Publish(told(one)), 1.0)
        one.shared_key.met_elsewhere(told(other), 10, STANDS_S)
        assert places(one, STANDS_S)
        assert one.shared_key.review(STANDS_S + 2.0)
        assert places(one, STANDS_S + 2.0) == []


lives = st.lists(
    st.tuples(
        st.floats(-7_200.0, 7_200.0),  # how its clock is set
        st.floats(0.01, 400.0),  # how long it runs
        st.integers(0, 4),  # what it says meanwhile
        st.integers(1, 3),  # where it is
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(lives=lives, data=st.data())
def test_no_history_of_one_machine_looks_like_two(
    lives: list[tuple[float, float, int, int]], data: st.DataObject
) -> None:
    """Restarts with any clock, at other addresses, from a backup. Whatever it said in any life is
    given to it at any time and in any order, as carriers and healing partitions do."""
    now, ever = 0.0, []
    for number, (ahead_s, runs_s, says, where) in enumerate(lives):
        peer = process(number, now, ahead_s=ahead_s, address=f"10.0.0.{where}:1")
        ever.append(said(peer))
        for turn in range(says + 1):
            at = now + runs_s * turn / (says + 1)
            for record in data.draw(st.lists(st.sampled_from(ever), max_size=4)):
                give(peer, record, at)
                ever.append(said(peer))
            if turn:
                peer.handle(Publish(profile(f"10.0.1.{turn}:1")), at)
                ever.append(said(peer))
            assert places(peer, at) == []
            assert not any(met.is_running for met in told(peer).met)
        now += runs_s


@settings(max_examples=40, deadline=None)
@given(ahead_s=st.floats(-7_200.0, 7_200.0), data=st.data())
def test_any_two_that_go_on_hearing_each_other_find_it_out(ahead_s: float, data: st.DataObject) -> None:
    """However often each speaks by itself, and whatever is given late or twice: once each has heard the last word of
    the other three times, both know."""
    pair = (process(1), process(2, ahead_s=ahead_s, address="10.0.0.2:1"))
    ever = [said(peer) for peer in pair]
    for turn in range(data.draw(st.integers(0, 6))):
        speaker = pair[data.draw(st.integers(0, 1))]
        speaker.handle(Publish(told(speaker)), float(turn))
        ever.append(said(speaker))
        give(pair[data.draw(st.integers(0, 1))], data.draw(st.sampled_from(ever)), float(turn))
    quarrel(*pair, 10.0)
    assert places(pair[0], 10.0) == [("10.0.0.2:1",)]
    assert places(pair[1], 10.0) == [("10.0.0.1:1",)]
