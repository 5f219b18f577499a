"""What may be asked about peers, by whom and how often, and which answers are taken."""

import pytest
from msgspec.structs import replace

from peerscope.errors import RemoteError
from peerscope.mesh.lookups import ANSWERS_BURST, ANSWERS_PER_S
from peerscope.mesh.messages import FOUND_MAX, MESSAGE_BYTES_MAX, Find, Found, Opinion, decode, encode
from peerscope.mesh.zoning.lookup import (
    ANSWER_TIMEOUT_S,
    ASKED_PER_ZONE,
    AT_ONCE_MAX,
    TIMEOUT_S,
    ZONES_MAX,
    Lookup,
    LookupSighting,
)
from peerscope.mesh.zoning.names import bits_of
from peerscope.records.bodies import Profile
from peerscope.records.identity import PeerId
from strategies import IDENTITIES
from wire import alone, hear, link, profile, record_of, said

SUBJECT, OTHER = IDENTITIES[3], IDENTITIES[4]
NAME = SUBJECT.peer_id.hex()
ALIVE = Opinion("alive", 0, 8)


def speakers(zones: int) -> dict[str, list[PeerId]]:
    """Three aggregators for each zone."""
    ids = iter(range(1, 3 * zones + 1))
    return {f"zone-{number:03}/": [PeerId(next(ids).to_bytes(32, "big")) for _ in range(3)] for number in range(zones)}


def sighting(zone: str, opinion: Opinion | None, at_s: float = 0.0) -> LookupSighting:
    body = replace(profile(), zone=zone)
    return LookupSighting(SUBJECT.peer_id, ((record_of(SUBJECT, body, at_s=at_s), body, at_s),), opinion)


def test_whoever_is_greeted_may_ask_and_gets_what_the_peer_signed() -> None:
    peer = alone(0)
    link(peer, OTHER)
    [answer] = said(hear(peer, OTHER, Find(5, peer.me.hex()[:4]), 1.0), Found)
    assert (answer.nonce, answer.zone, answer.more) == (5, "", 0)
    assert [item.record.peer_id for item in answer.peers[0].records] == [peer.me] * len(answer.peers[0].records)
    assert answer.peers[0].opinion is not None
    assert answer.peers[0].opinion.verdict == "alive"
    [nothing] = said(hear(peer, OTHER, Find(6, "00" * 32), 1.0), Found)
    assert nothing.peers == ()


def test_an_answer_holds_two_peers_at_most_and_says_how_many_more_there_are() -> None:
    peer = alone(0)
    long = replace(profile(), labels=tuple((f"{number:064}", "x" * 64) for number in range(8)))
    for number in range(40):
        made = replace(record_of(OTHER, long), origin=bytes([7, number]).ljust(32, b"\1"))
        peer.ledger.merge(made, long, 0.0)
    link(peer, OTHER)
    [answer] = said(hear(peer, OTHER, Find(5, "07"), 1.0), Found)
    assert (len(answer.peers), answer.more) == (FOUND_MAX, 38)
    assert len(encode(answer)) < MESSAGE_BYTES_MAX / 2


def test_a_stranger_is_not_answered() -> None:
    peer = alone(0)
    assert said(hear(peer, OTHER, Find(5, "00"), 1.0), Found) == []


def test_too_many_questions_are_dropped_and_counted_and_answered_again_later() -> None:
    peer = alone(0)
    link(peer, OTHER)
    for _ in range(round(ANSWERS_BURST)):
        hear(peer, OTHER, Find(5, "00"), 1.0)
    assert said(hear(peer, OTHER, Find(6, "00"), 1.0), Found) == []
    assert peer.refused["find-too-often"] == 1
    assert len(said(hear(peer, OTHER, Find(7, "00"), 1.0 + 2.0 / ANSWERS_PER_S), Found)) == 1


def test_an_answer_that_nobody_asked_for_is_dropped() -> None:
    peer = alone(0)
    link(peer, OTHER)
    hear(peer, OTHER, Found(5, "eu/"), 1.0)
    assert peer.refused["unasked"] == 1


@pytest.mark.parametrize("name", ["", "ABC", "xyz", "0" * 65, "00\n"])
def test_a_name_that_is_no_beginning_of_an_id_is_refused(name: str) -> None:
    with pytest.raises(RemoteError) as refusal:
        decode(encode(Find(1, name)))
    assert refusal.value.reason == "malformed-message"


def test_two_of_each_zone_are_asked_and_no_more_at_once_than_may_be() -> None:
    zones = speakers(4)
    inquiry = Lookup("ab", zones, 0.0)
    asked = inquiry.next(0.0)
    assert [sum(peer in asked for peer in peers) for peers in zones.values()] == [ASKED_PER_ZONE] * 4
    assert inquiry.next(0.0) == []
    assert len(Lookup("ab", speakers(40), 0.0).next(0.0)) == AT_ONCE_MAX


def test_with_too_many_zones_those_left_out_are_counted() -> None:
    inquiry, asked = Lookup("ab", speakers(ZONES_MAX + 7), 0.0), set[PeerId]()
    while peers := inquiry.next(0.0):
        assert not inquiry.is_done(0.0)
        for peer in peers:
            inquiry.answered(peer, "", ())
        asked |= set(peers)
    assert len(asked) == ASKED_PER_ZONE * ZONES_MAX
    assert inquiry.answer().unasked == 7


def test_where_one_fails_or_says_nothing_for_two_seconds_the_third_is_asked() -> None:
    [third] = _third(lambda inquiry, peer: inquiry.failed(peer), 0.0)
    assert third not in _first_two()
    assert _third(lambda inquiry, peer: None, ANSWER_TIMEOUT_S) == [third]
    assert _third(lambda inquiry, peer: inquiry.answered(peer, "zone-000/", ()), 0.0) == []


def _first_two() -> list[PeerId]:
    return Lookup("ab", speakers(1), 0.0).next(0.0)


def _third(happens, now: float) -> list[PeerId]:
    inquiry = Lookup("ab", speakers(1), 0.0)
    for peer in inquiry.next(0.0):
        happens(inquiry, peer)
    return inquiry.next(now)[:1]


def test_a_whole_id_is_looked_for_first_where_its_hash_puts_it() -> None:
    half = bits_of(SUBJECT.peer_id)[0]
    zones = {f"r{number:02}/{bit}": [PeerId(bytes([number, int(bit)] * 16))] for number in range(20) for bit in "01"}
    asked = Lookup(NAME, zones, 0.0).next(0.0)
    assert {peer[1] for peer in asked} == {int(half)}


def test_the_question_is_settled_when_all_speakers_of_the_peers_own_zone_have_answered() -> None:
    zones = speakers(3)
    home, inquiry = zones["zone-001/"], Lookup(NAME, zones, 0.0)
    asked = inquiry.next(0.0)
    first, second = [peer for peer in home if peer in asked]
    inquiry.answered(first, "zone-001/", [sighting("zone-001/", ALIVE)])
    [third] = inquiry.next(0.0)
    assert third in home
    inquiry.answered(second, "zone-001/", [sighting("zone-001/", ALIVE)])
    assert not inquiry.is_done(0.1)
    inquiry.answered(third, "zone-001/", ())
    assert inquiry.is_done(0.1)
    answer = inquiry.answer()
    assert answer.opinions == {SUBJECT.peer_id: {first: ALIVE, second: ALIVE, third: None}}


def test_one_that_is_missed_where_it_was_is_waited_for_in_other_zones_and_the_newest_of_its_profiles_counts() -> None:
    zones = speakers(2)
    inquiry, down = Lookup(NAME, zones, 0.0), Opinion("down", 5, 5)
    inquiry.next(0.0)
    for peer in zones["zone-000/"]:
        inquiry.next(0.0)
        inquiry.answered(peer, "zone-000/", [sighting("zone-000/", down)])
    inquiry.next(0.0)
    assert not inquiry.is_done(0.1), "it may have moved"
    for peer in zones["zone-001/"]:
        inquiry.answered(peer, "zone-001/", [sighting("zone-001/", ALIVE, at_s=9.0)])
        inquiry.next(0.0)
    answer = inquiry.answer()
    found = answer.ledger.profile(SUBJECT.peer_id)
    assert isinstance(found, Profile)
    assert found.zone == "zone-001/"
    assert set(answer.opinions[SUBJECT.peer_id].values()) == {ALIVE}


def test_who_says_to_be_of_another_zone_than_it_speaks_for_has_no_opinion_there() -> None:
    zones = speakers(2)
    stray, inquiry = zones["zone-000/"][0], Lookup(NAME, zones, 0.0)
    inquiry.next(0.0)
    inquiry.answered(stray, "zone-001/", [sighting("zone-000/", Opinion("down", 5, 5))])
    assert inquiry.answer().opinions == {SUBJECT.peer_id: {stray: None}}


def test_a_question_ends_with_what_is_known_and_names_the_silent() -> None:
    zones = speakers(2)
    inquiry = Lookup(NAME, zones, 0.0)
    first, *others = inquiry.next(0.0)
    inquiry.answered(first, "zone-000/", ())
    others += inquiry.next(ANSWER_TIMEOUT_S)
    assert not inquiry.is_done(ANSWER_TIMEOUT_S)
    assert inquiry.deadline(ANSWER_TIMEOUT_S) <= TIMEOUT_S
    assert inquiry.is_done(TIMEOUT_S)
    answer = inquiry.answer()
    assert answer.answered == ("zone-000/",)
    assert sorted(peer for peers in answer.silent.values() for peer in peers) == sorted(others)
