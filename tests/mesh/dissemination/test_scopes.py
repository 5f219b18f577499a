"""How long a push was on its way: every hop by the offset of two clocks, and honest where that is not known."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.dissemination.gossip import TRACED, GossipConfig, trace_interval_s
from peerscope.mesh.dissemination.scopes import HOP_US_MAX, hop_us, whole_path, with_last_hop
from peerscope.mesh.events import Delivered
from peerscope.mesh.messages import PATH_MAX, Ping, Pong, Push, decode, encode
from peerscope.records.bodies import Observations
from peerscope.records.identity import ref
from strategies import IDENTITIES, ORIGINS, messages, unsigned
from wire import WALL_S, Wire, alone, hear, link, record_of, said

ORIGIN, ONE, ME = ORIGINS[0], ORIGINS[1], ORIGINS[2]
RECORD = unsigned(ORIGIN, Observations())
HOUR_S = 3600.0


class OldPush(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A push as peers before this field say it."""

    record: msgspec.Raw
    age_ms: int
    ttl: int
    path: tuple[bytes, ...]


def push(*path: bytes, hops_us: tuple[int | None, ...] = (), sent_us: int | None = None) -> Push:
    return Push(RECORD, 0, 5, tuple(one[:8] for one in path), hops_us, sent_us)


@given(st.integers(0, 2**53 - 1), st.floats(-2 * HOUR_S, 2 * HOUR_S), st.integers(0, HOP_US_MAX))
def test_a_hop_takes_what_it_takes_whatever_the_clocks_say(sent_us: int, ahead_s: float, took_us: int) -> None:
    received_us = sent_us - round(ahead_s * 1e6) + took_us
    assert hop_us(sent_us, received_us, ahead_s) == took_us


def test_a_hop_is_unknown_without_a_stamp_an_offset_or_sense_and_never_negative() -> None:
    assert hop_us(None, 5, 0.0) is None
    assert hop_us(5, 10, None) is None
    assert hop_us(0, HOP_US_MAX + 1, 0.0) is None
    assert hop_us(10, 5, 0.0) == 0


def test_what_others_found_is_carried_on_and_what_an_old_peer_dropped_stays_unknown() -> None:
    assert with_last_hop(push(ORIGIN, ONE, hops_us=(7,), sent_us=100), 130, 0.0) == (7, 30)
    assert with_last_hop(push(ORIGIN, ONE, sent_us=100), 130, 0.0) == (None, 30)
    assert with_last_hop(push(ORIGIN, ONE, hops_us=(7, 8), sent_us=None), 130, 0.0) == (None, None)


def test_only_a_path_from_the_origin_to_its_sender_is_believed() -> None:
    assert whole_path(push(ORIGIN, ONE), ONE, ME) == (ref(ORIGIN), ref(ONE), ref(ME))
    assert whole_path(push(ORIGIN, ONE), ORIGIN, ME) == ()
    assert whole_path(push(ONE), ONE, ME) == ()
    assert whole_path(push(), ONE, ME) == ()
    assert whole_path(push(ORIGIN, *[ONE] * (PATH_MAX - 1)), ONE, ME) == ()  # its beginning may have been cut off


@given(messages)
def test_old_and_new_peers_read_each_others_pushes(message: object) -> None:
    if not isinstance(message, Push):
        return
    old = msgspec.msgpack.Decoder(OldPush).decode(encode(message))
    assert (old.age_ms, old.ttl, old.path) == (message.age_ms, message.ttl, message.path)
    again = decode(msgspec.msgpack.encode(old))
    assert again == msgspec.structs.replace(message, hops_us=(), sent_us=None)


@pytest.mark.parametrize(
    "message",
    [
        push(ORIGIN, hops_us=(1,) * (PATH_MAX + 1)),
        push(ORIGIN, hops_us=(-1,)),
        push(ORIGIN, hops_us=(HOP_US_MAX + 1,)),
        push(ORIGIN, sent_us=-1),
        push(ORIGIN, sent_us=2**53),
    ],
)
def test_times_that_cannot_be_are_refused(message: Push) -> None:
    with pytest.raises(RemoteError, match="malformed-message"):
        decode(encode(message))


@pytest.mark.parametrize("skew_s", [0.0, HOUR_S, -HOUR_S])
def test_news_is_delivered_with_the_time_of_every_hop_and_passed_on_with_them(skew_s: float) -> None:
    """The neighbour is 20 ms away, its clock is off, and the news had taken 5 ms to it."""
    peer, near, far = alone(5), IDENTITIES[0], IDENTITIES[7]
    link(peer, near)
    link(peer, far, ticks=False)
    wall_ms = round((WALL_S + skew_s) * 1000)
    hear(peer, near, Ping(1, wall_ms + 1000 - 20, 0, 40_000), 1.0)
    hear(peer, near, Ping(2, wall_ms + 2000 - 20, 0, 40_000), 2.0)
    origin = IDENTITIES[3]
    sent_us = wall_ms * 1000 + 2_970_000
    news = Push(record_of(origin, Observations()), 0, 5, (ref(origin.peer_id), ref(near.peer_id)), (5000,), sent_us)
    effects = hear(peer, near, news, 3.0)
    path = (ref(origin.peer_id), ref(near.peer_id), ref(peer.me))
    (delivered,) = [effect for effect in effects if isinstance(effect, Delivered)]
    assert delivered.path == path
    assert delivered.hops_us == (5000, pytest.approx(30_000, abs=1000))  # ten of them in a queue
    (onward,) = said(effects, Push, far.peer_id)
    assert (onward.path, onward.hops_us) == (path, delivered.hops_us)
    assert onward.sent_us == round((WALL_S + 3.0) * 1e6)
    assert [e for e in hear(peer, near, news, 3.1) if isinstance(e, Delivered)] == []  # no news any more


def test_the_time_of_a_hop_from_a_neighbour_never_pinged_is_unknown() -> None:
    peer, near = alone(5), IDENTITIES[0]
    link(peer, near)
    news = Push(record_of(near, Observations()), 0, 5, (ref(near.peer_id),), (), round(WALL_S * 1e6))
    (delivered,) = [e for e in hear(peer, near, news, 1.0) if isinstance(e, Delivered)]
    assert delivered.hops_us == (None,)


def test_the_lead_of_a_clock_is_known_of_ourselves_and_of_whom_we_ping() -> None:
    peer, far = alone(0), IDENTITIES[7]
    link(peer, far)
    assert (peer.links.ahead_s(peer.me), peer.links.ahead_s(far.peer_id), peer.links.ahead_s(ONE)) == (
        0.0,
        None,
        None,
    )
    at = peer.parts.prober.deadline()
    (ping,) = said(peer.tick(at), Ping)
    hear(peer, far, Pong(ping.seq, round((WALL_S + 60 + at + 0.05) * 1000)), at + 0.1)
    assert peer.links.ahead_s(far.peer_id) == pytest.approx(60, abs=0.001)


def test_a_calm_peer_pushes_a_report_now_and_then_so_that_latencies_are_known() -> None:
    wire = Wire()
    config = PeerConfig(gossip=GossipConfig(trace_interval_s=30.0))
    first = wire.start(1, config=config)
    wire.start(2, first, config=config)
    wire.run_until(10.0)
    wire.log.clear()
    wire.run_until(100.0)
    found = wire.effects(first, Delivered)
    assert len(found) == 2
    assert all(hop is not None for delivered in found for hop in delivered.hops_us)


def test_the_pushes_of_a_large_network_are_no_more_than_those_of_a_small_one() -> None:
    config = GossipConfig()
    assert trace_interval_s(2, config) == config.trace_interval_s
    assert 1000 / trace_interval_s(1000, config) == pytest.approx(TRACED / config.trace_interval_s)
    with pytest.raises(ConfigError, match="trace_interval_s"):
        GossipConfig(trace_interval_s=0.0)
