"""Traces of a node's messages: latencies right under clocks that are an hour off, null where nobody can know."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.identity import PeerRef
from peerscope.views.traces import HOPS_MAX, HopEvent, HopKind, Stop, Trace, Traces, local_time

A, B, C = (PeerRef(bytes((number,)) * 8) for number in (1, 2, 3))
WALL = 1_700_000_000.0
AHEAD_S = {A: 3600.0, B: -3600.0, C: 0.0}
"""How far each clock is ahead of ours."""
WAY: list[tuple[HopKind, PeerRef, float]] = [
    ("sent", A, 0.0),
    ("received", B, 0.030),
    ("forwarded", B, 0.032),
    ("received", C, 0.070),
    ("delivered", C, 0.071),
]


def follow(
    traces: Traces, way: list[tuple[HopKind, PeerRef, float]], ahead_s: dict[PeerRef, float | None]
) -> list[Trace]:
    """What ends when every hop is told with the time of its own peer's clock."""
    ended = []
    for kind, peer, true_s in way:
        told_at = WALL + true_s + (AHEAD_S[peer] or 0.0)
        ended += traces.add("m", kind, peer, local_time(told_at, ahead_s[peer]), 0.0)
    return ended


def test_the_latency_is_right_though_clocks_are_an_hour_off_to_either_side() -> None:
    traces = Traces()
    (trace,) = follow(traces, WAY, dict(AHEAD_S))
    assert (trace.path, trace.fate) == ((A, B, C), "delivered")
    assert trace.latency_s == pytest.approx(0.071, abs=1e-6)
    assert trace.hops_s == pytest.approx((0.030, 0.041), abs=1e-6)
    assert traces.counters == {"delivered": 1}


def test_times_of_a_clock_that_nobody_knows_are_unknown_and_the_rest_is_told() -> None:
    (trace,) = follow(Traces(), WAY, {**AHEAD_S, B: None})
    assert trace.latency_s == pytest.approx(0.071, abs=1e-6)
    assert trace.hops_s == (None, None)
    (trace,) = follow(Traces(), WAY, {**AHEAD_S, A: None})
    assert trace.latency_s is None
    assert trace.hops_s == (None, pytest.approx(0.041, abs=1e-6))


def test_without_the_sent_hop_the_origin_and_the_latency_are_unknown() -> None:
    (trace,) = follow(Traces(), WAY[1:], dict(AHEAD_S))
    assert (trace.path, trace.latency_s, trace.fate) == ((None, B, C), None, "delivered")


def test_a_message_to_oneself_takes_the_time_it_takes() -> None:
    traces = Traces()
    traces.add("m", "sent", A, WALL, 0.0)
    (trace,) = traces.add("m", "delivered", A, WALL + 0.5, 0.0)
    assert (trace.path, trace.hops_s, trace.latency_s) == ((A,), (), 0.5)


def test_time_that_goes_backwards_is_clamped_and_counted() -> None:
    traces = Traces()
    (trace,) = follow(traces, WAY, {**AHEAD_S, B: AHEAD_S[B] + 0.035})
    assert traces.counters["clamped"] == 2
    assert trace.hops_s == pytest.approx((0.0, 0.071), abs=1e-6)
    assert trace.latency_s == pytest.approx(0.071, abs=1e-6)


@pytest.mark.parametrize(
    ("hops", "fate", "path"),
    [
        ([("sent", A), ("received", B)], "undelivered", (A, B)),
        ([("received", B)], "undelivered", (None, B)),
        ([("sent", A)], "unknown", (A,)),
        ([("sent", A), ("received", B), ("forwarded", B)], "unknown", (A, B)),
    ],
)
def test_what_expires_is_called_undelivered_only_where_that_can_be_known(
    hops: list[tuple[HopKind, PeerRef]], fate: str, path: tuple[Stop, ...]
) -> None:
    traces = Traces(expiry_s=60.0)
    for kind, peer in hops:
        assert traces.add("m", kind, peer, WALL, 5.0) == []
    assert traces.expire(64.9) == []
    (trace,) = traces.expire(65.0)
    assert (trace.fate, trace.path, trace.latency_s) == (fate, path, None)
    assert (traces.counters, len(traces)) == ({fate: 1}, 0)


def test_what_comes_late_or_twice_begins_no_new_trace() -> None:
    traces = Traces()
    follow(traces, [*WAY[:2], WAY[1], *WAY[2:], WAY[3], ("received", A, 0.1)], dict(AHEAD_S))
    assert traces.counters == {"repeated": 1, "delivered": 1, "late": 2}
    assert len(traces) == 0
    assert traces.expire(1e9) == []


def test_traces_and_their_hops_are_bounded_and_the_oldest_goes_first() -> None:
    traces = Traces(most=3)
    ended = [traces.add(f"m{number}", "received", A, WALL, 0.0) for number in range(5)]
    assert [len(one) for one in ended] == [0, 0, 0, 1, 1]
    assert traces.counters == {"crowded-out": 2, "undelivered": 2}
    for number in range(HOPS_MAX + 5):
        traces.add("m4", "forwarded", PeerRef(bytes((number,)) * 8), WALL, 0.0)
    (trace,) = traces.add("m4", "delivered", B, WALL, 0.0)
    assert traces.counters["too-many"] == 6
    assert len(trace.path) <= HOPS_MAX + 2


hop = st.tuples(
    st.sampled_from(["m1", "m2", "m3"]),
    st.sampled_from(["sent", "received", "forwarded", "delivered"]),
    st.sampled_from([A, B, "a node", None]),
    st.none() | st.floats(0, 2**43),
    st.floats(0, 30),
)


@given(st.lists(hop, max_size=60))
def test_whatever_is_told_every_message_ends_once_and_no_time_is_negative(hops: list[tuple]) -> None:
    traces, now, ended = Traces(most=2), 0.0, []
    for message_id, kind, stop, at, after_s in hops:
        now += after_s
        ended += traces.add(message_id, kind, stop, at, now)
    ended += traces.expire(now + 1e9)
    fates = traces.counters["delivered"] + traces.counters["undelivered"] + traces.counters["unknown"]
    assert (len(ended), len(traces)) == (fates, 0)
    for trace in ended:
        assert len(trace.hops_s) == len(trace.path) - 1
        assert all(value is None or value >= 0 for value in (*trace.hops_s, trace.latency_s))


@pytest.mark.parametrize(
    "said",
    [
        {"message_id": "", "hop": "sent", "at": 1.0},
        {"message_id": "m" * 129, "hop": "sent", "at": 1.0},
        {"message_id": "m", "hop": "lost", "at": 1.0},
        {"message_id": "m", "hop": "sent", "at": -1.0},
        {"message_id": "m", "hop": "sent", "at": 1e300},
        {"message_id": "m", "hop": "sent"},
        {"message_id": "m", "hop": "sent", "at": 1.0, "peer": "p" * 81},
        {"message_id": "m", "hop": "sent", "at": 1.0, "peer": "\x1b[2J"},
    ],
)
def test_a_hop_that_cannot_be_is_refused(said: dict[str, object]) -> None:
    good = {"type": "hop", "message_id": "m", "hop": "sent", "peer": "p", "at": 1.5}
    assert msgspec.convert(good, HopEvent) == HopEvent("m", "sent", 1.5, "p")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "hop", **said}, HopEvent)
