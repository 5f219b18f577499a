"""Sealed packets: what opens, once, and only with the key of its pair."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.mesh.messages import TAG_MAX, decode
from peerscope.records.identity import Identity
from peerscope.transport.sealed import (
    DATAGRAM_BYTES_MAX,
    FORMAT,
    OFFER_TAG,
    OVERHEAD_BYTES,
    PACKET_BYTES_MAX,
    WINDOW,
    Offer,
    Opener,
    PacketKind,
    Sealer,
    decode_offer,
    encode_offer,
    is_offer,
    key_id_of,
)

A, B, C = (Identity(seed * 32).peer_id for seed in (b"a", b"b", b"c"))
OFFER = Offer(FORMAT, 4601, b"\x80" * 8, b"k" * 32)
OTHER = Offer(FORMAT, 4601, b"\x81" * 8, b"o" * 32)
kinds = st.sampled_from(PacketKind)
payloads = st.binary(max_size=DATAGRAM_BYTES_MAX)


def sealer(first: int = 0, offer: Offer = OFFER) -> Sealer:
    made = Sealer(first)
    made.use(offer, A, B)
    return made


def opener(offer: Offer = OFFER) -> Opener:
    return Opener(offer, A, B)


def reason(end: Opener, packet: bytes) -> str:
    def take() -> None:
        key_id_of(packet)
        end.open(packet)

    with pytest.raises(RemoteError) as raised:
        take()
    return raised.value.reason


@given(kinds, st.integers(0, 2**64 - 1), payloads, st.integers(0, 2**62 - 1))
def test_a_packet_opens_once_to_what_was_sealed(kind: PacketKind, heard: int, data: bytes, first: int) -> None:
    packet, end = sealer(first).seal(kind, heard, data), opener()
    assert len(packet) == OVERHEAD_BYTES + len(data) <= PACKET_BYTES_MAX
    assert key_id_of(packet) == OFFER.key_id
    opened = end.open(packet)
    assert (opened.kind, opened.heard, opened.data, opened.is_newest) == (kind, heard, data, True)
    assert end.highest == first
    assert reason(end, packet) == "ping-replayed"


@given(st.lists(st.integers(0, 2 * WINDOW), max_size=60))
def test_each_counter_opens_once_within_the_window_whatever_the_order(numbers: list[int]) -> None:
    end, sending = opener(), sealer()
    packets = [sending.seal(PacketKind.DATA, 0) for _ in range(2 * WINDOW + 1)]
    taken: set[int] = set()
    for number in numbers:
        is_good = number not in taken and number > max(taken, default=-1) - WINDOW
        if is_good:
            assert end.open(packets[number]).is_newest == (number > max(taken, default=-1))
            taken.add(number)
        else:
            assert reason(end, packets[number]) == "ping-replayed"
    assert end.highest == max(taken, default=-1)


@pytest.mark.parametrize(("behind", "opens"), [(1, True), (WINDOW - 1, True), (WINDOW, False), (WINDOW + 1, False)])
def test_the_window_ends_where_it_says(behind: int, opens: bool) -> None:
    end, sending = opener(), sealer()
    packets = [sending.seal(PacketKind.DATA, 0) for _ in range(WINDOW + 2)]
    end.open(packets[-1])
    late = packets[len(packets) - 1 - behind]
    if opens:
        assert not end.open(late).is_newest
    assert reason(end, late) == "ping-replayed"


@pytest.mark.parametrize("jump", [1, WINDOW - 1, WINDOW, WINDOW + 1, 2**40])
def test_after_a_jump_the_old_ones_stay_taken(jump: int) -> None:
    end = opener()
    old = sealer(5).seal(PacketKind.DATA, 0)
    end.open(old)
    end.open(sealer(5 + jump).seal(PacketKind.DATA, 0))
    assert reason(end, old) == "ping-replayed"


@given(payloads, st.data())
def test_a_flipped_bit_anywhere_opens_nothing_and_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    end, packet = opener(), bytearray(sealer(1000).seal(PacketKind.DATA, 7, data))
    intact = bytes(packet)
    bit = draw.draw(st.integers(0, 8 * len(packet) - 1))
    packet[bit // 8] ^= 1 << bit % 8
    # the key id chooses the opener, so a flip in it matters only to this one by the tag
    assert reason(end, bytes(packet)) in {"ping-forged", "ping-malformed", "ping-replayed"}
    assert end.highest == -1
    end.open(intact)


@given(st.integers(0, PACKET_BYTES_MAX))
def test_a_cut_packet_opens_nothing(size: int) -> None:
    packet = sealer().seal(PacketKind.DATA, 0, bytes(DATAGRAM_BYTES_MAX))
    assert reason(opener(), packet[:size]) in {"ping-forged", "ping-malformed"} if size < len(packet) else True


def test_a_packet_that_is_too_long_is_none() -> None:
    assert reason(opener(), sealer().seal(PacketKind.DATA, 0, bytes(DATAGRAM_BYTES_MAX + 1))) == "ping-malformed"


@given(st.binary(max_size=2 * PACKET_BYTES_MAX))
def test_garbage_opens_nothing(packet: bytes) -> None:
    assert reason(opener(), packet) in {"ping-forged", "ping-malformed"}


def test_a_key_serves_one_pair_in_one_direction() -> None:
    packet = sealer().seal(PacketKind.DATA, 0)
    for sender, receiver in ((B, A), (C, B), (A, C)):  # C passes on the offer of B as its own, and gets packets of A
        assert reason(Opener(OFFER, sender, receiver), packet) == "ping-forged"
    assert reason(Opener(OTHER, A, B), packet) == "ping-forged"


def test_an_unknown_kind_of_packet_is_refused() -> None:
    sending = sealer()
    packet = sending.seal(9, 0)  # type: ignore[arg-type]
    end = opener()
    assert reason(end, packet) == "ping-malformed"
    assert end.highest == -1


@given(st.integers(0, 2**62 - 1), st.lists(st.sampled_from([OFFER, OTHER]), max_size=8))
def test_no_counter_comes_twice_whatever_keys_come_again(first: int, offers: list[Offer]) -> None:
    sending = sealer(first)
    counters = []
    for offer in offers:
        sending.use(offer, A, B)
        for _ in range(3):
            counters.append(sending.seal(PacketKind.DATA, 0)[9:17])
    assert len(set(counters)) == len(counters)
    assert counters == sorted(counters)


@given(
    st.builds(
        Offer,
        st.integers(FORMAT, 255),
        st.integers(1, 65_535),
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=32, max_size=32),
    )
)
def test_an_offer_comes_back_and_is_no_message_of_the_core(offer: Offer) -> None:
    data = encode_offer(offer)
    assert is_offer(data)
    assert decode_offer(data) == offer
    with pytest.raises(RemoteError) as raised:  # an agent without sealed pings counts this, and blames nobody
        decode(data)
    assert raised.value.reason == "unknown-message"


def test_an_offer_of_a_later_format_may_have_more_fields() -> None:
    data = msgspec.msgpack.encode([OFFER_TAG, 2, 4601, b"i" * 8, b"k" * 32, "more", [1]])
    assert decode_offer(data) == Offer(2, 4601, b"i" * 8, b"k" * 32)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [FORMAT],
        [0, 4601, b"i" * 8, b"k" * 32],
        [FORMAT, 0, b"i" * 8, b"k" * 32],
        [FORMAT, 65_536, b"i" * 8, b"k" * 32],
        [FORMAT, 4601, b"i" * 7, b"k" * 32],
        [FORMAT, 4601, b"i" * 8, b"k" * 33],
        [FORMAT, "4601", b"i" * 8, b"k" * 32],
    ],
)
def test_an_offer_that_breaks_a_limit_is_refused(fields: list[object]) -> None:
    data = msgspec.msgpack.encode([OFFER_TAG, *fields])
    assert is_offer(data)
    with pytest.raises(RemoteError) as raised:
        decode_offer(data)
    assert raised.value.reason == "ping-offer-malformed"


@given(st.binary(max_size=40))  # an offer is longer
def test_garbage_is_no_offer(data: bytes) -> None:
    with pytest.raises(RemoteError):
        decode_offer(data)


def test_messages_of_the_core_are_no_offers() -> None:
    for tag in range(TAG_MAX + 1):
        assert not is_offer(msgspec.msgpack.encode([tag, 1, 2]))
    for data in (b"", b"\x91", b"\x78\x78", b"\x90\x78"):
        assert not is_offer(data)


def test_a_printed_offer_shows_no_key() -> None:
    assert "k" * 8 not in repr(OFFER)
    assert OFFER.key.hex() not in repr(OFFER)
