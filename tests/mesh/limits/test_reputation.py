"""Scores grow with what no honest peer does, fade, and ban whoever sent it; nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.limits.rate_limit import LimitConfig
from peerscope.mesh.limits.reputation import (
    BAN_AT,
    BAN_S,
    BAN_S_MAX,
    FORGIVE_S,
    HALF_LIFE_S,
    PEERS_MAX,
    THROTTLE_AT,
    THROTTLED_SHARE,
    WARN_AT,
    WEIGHTS,
    ReputationLevel,
    Reputations,
)
from peerscope.records.identity import PeerId

MALLORY, ALICE = PeerId(b"m" * 32), PeerId(b"a" * 32)


def conducts() -> Reputations:
    return Reputations(LimitConfig())


def blamed(found: Reputations, times: int, now: float = 0.0, *, reason: str = "forged", peer: PeerId = MALLORY) -> bool:
    """Whether it was banned at the last of so many offences."""
    return [found.blame(peer, reason, now) for _ in range(times)][-1]


def standing(found: Reputations, now: float, peer: PeerId = MALLORY) -> ReputationLevel:
    return next((one.standing for one in found.all(now) if one.peer == peer), ReputationLevel.GOOD)


def times_to(score: float, reason: str = "forged") -> int:
    return -int(-score // WEIGHTS[reason])


@pytest.mark.parametrize("reason", WEIGHTS)
def test_every_offence_leads_from_warning_over_throttling_to_a_ban(reason: str) -> None:
    found, seen = conducts(), []
    while not found.is_banned(MALLORY, 0.0):
        found.blame(MALLORY, reason, 0.0)
        seen.append(standing(found, 0.0))
    assert seen == sorted(seen, key=list(ReputationLevel).index)
    assert {ReputationLevel.THROTTLED, ReputationLevel.BANNED} <= set(seen)
    assert len(seen) == pytest.approx(BAN_AT / WEIGHTS[reason], abs=1)


@pytest.mark.parametrize(
    "reason",
    [
        *("replayed", "expired", "malformed-body", "oversized-body", "unknown-message", "before-hello", "not-linked"),
        *("unasked", "sync-too-often", "impossible-rtt", "impossible-coordinate", "equivocation", "ledger-full"),
        *(
            "too-much-news",
            "prefix-full",
            "unvouched",
            "not-a-member",
            "certificate-expired",
            "other-network",
            "wire-version",
        ),
    ],
)
def test_what_versions_clocks_and_slow_networks_cause_is_held_against_nobody(reason: str) -> None:
    found = conducts()
    assert not blamed(found, 100_000, reason=reason)
    assert found.all(0.0) == []


def test_a_throttled_neighbour_keeps_a_part_of_its_limits_and_gets_them_back() -> None:
    found = conducts()
    assert found.allowance(MALLORY, 0.0)[1] == 1.0
    blamed(found, times_to(THROTTLE_AT))
    assert found.allowance(MALLORY, 0.0)[1] == THROTTLED_SHARE
    assert found.allowance(ALICE, 0.0)[1] == 1.0
    assert found.allowance(MALLORY, HALF_LIFE_S)[1] == 1.0


def test_a_score_fades() -> None:
    found = conducts()
    blamed(found, times_to(WARN_AT))
    assert standing(found, 0.0) is ReputationLevel.WARNED
    assert standing(found, HALF_LIFE_S) is ReputationLevel.GOOD
    found.review(10 * HALF_LIFE_S)
    assert len(found) == 0


def test_bans_end_and_each_further_one_is_twice_as_long_up_to_an_hour() -> None:
    found, now, lengths = conducts(), 0.0, []
    for _ in range(10):
        assert blamed(found, times_to(BAN_AT), now)
        (ban,) = found.all(now)
        assert ban.banned_s is not None
        lengths.append(ban.banned_s)
        assert found.is_banned(MALLORY, now + ban.banned_s - 0.001)
        now += ban.banned_s
        assert not found.is_banned(MALLORY, now)
    assert lengths == [min(BAN_S * 2**number, BAN_S_MAX) for number in range(10)]
    now += FORGIVE_S + 1
    assert blamed(found, times_to(BAN_AT), now)
    assert found.all(now)[0].banned_s == BAN_S


def test_reasons_are_counted_for_people() -> None:
    found = conducts()
    blamed(found, 3)
    blamed(found, 2, reason="malformed-message")
    assert found.all(0.0)[0].reasons == {"forged": 3, "malformed-message": 2}


def test_the_worst_come_first_and_the_good_are_not_listed() -> None:
    found = conducts()
    people = [PeerId(bytes((number,)) * 32) for number in range(4)]
    for peer, times in zip(people, (1, times_to(WARN_AT), times_to(BAN_AT), times_to(THROTTLE_AT)), strict=True):
        blamed(found, times, peer=peer)
    assert [one.peer for one in found.all(0.0)] == [people[2], people[3], people[1]]


def test_a_crowd_of_new_keys_makes_us_forget_nobody_who_is_banned() -> None:
    found = conducts()
    blamed(found, times_to(BAN_AT))
    blamed(found, times_to(WARN_AT), peer=ALICE)
    for number in range(2 * PEERS_MAX):
        found.allowance(PeerId(number.to_bytes(32, "big")), number / 1000)
    assert len(found) == PEERS_MAX
    assert found.is_banned(MALLORY, 3.0)
    assert standing(found, 3.0, ALICE) is ReputationLevel.WARNED


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from([*WEIGHTS, "replayed"]), st.sampled_from([0.0, 0.1, 30.0, 7200.0])
        ),
        max_size=200,
    )
)
def test_whatever_happens_only_those_who_did_it_stand_in_the_list(history: list[tuple[int, str, float]]) -> None:
    found, now, guilty = conducts(), 0.0, set()
    for number, reason, pause_s in history:
        peer = PeerId(bytes((number,)) * 32)
        if found.blame(peer, reason, now):
            assert found.is_banned(peer, now)
        if reason in WEIGHTS:
            guilty.add(peer)
        assert {one.peer for one in found.all(now)} <= guilty
        now += pause_s
        found.review(now)
    assert all(one.banned_s is None or 0 < one.banned_s <= BAN_S_MAX for one in found.all(now))
