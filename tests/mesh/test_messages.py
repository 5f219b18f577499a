"""Messages cross as bytes, and bytes that are no message are refused by name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.mesh.messages import (
    KEYS_MAX,
    MESSAGE_BYTES_MAX,
    NEIGHBOURS_MAX,
    PATH_MAX,
    RECORDS_MAX,
    Aged,
    Announce,
    Bye,
    Digest,
    Hello,
    Inventory,
    Key,
    Message,
    Neighbors,
    Ping,
    Pong,
    Pull,
    Push,
    Records,
    Topic,
    Vicinity,
    decode,
    encode,
)
from peerscope.records.record import Record
from strategies import damaged, messages, records

REF = b"8 bytes."
RECORD = Record(bytes(32), 0, 1, 0, b"", bytes(64))


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_message_or_a_remote_error(data: bytes) -> None:
    with suppress(RemoteError):
        decode(data)


@given(messages.map(encode).flatmap(damaged))
def test_damaged_bytes_are_a_message_or_a_remote_error(data: bytes) -> None:
    with suppress(RemoteError):
        decode(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed-message"),
        (b"\x92\xcc\xc8\x01", "malformed-message"),
        (b"\x91" * 10_000 + b"\x00", "malformed-message"),
        (encode(Bye("a\u202e")), "malformed-message"),
        (encode(Ping(1, 1))[:-1], "malformed-message"),
        (encode(Ping(1, 1)) + b"\0", "malformed-message"),
        (bytes(MESSAGE_BYTES_MAX + 1), "oversized-message"),
    ],
    ids=["empty", "unknown tag", "deeply nested", "control character", "cut short", "trailing byte", "oversized"],
)
def test_what_is_no_message_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(RemoteError) as caught:
        decode(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "message",
    [
        Hello(0, 1, "n", b"", 0),
        Hello(1, 1, "n" * 65, b"", 0),
        Hello(1, 1, "n", bytes(33), 0),
        Ping(2**32, 0),
        Ping(0, 2**53),
        Ping(0, 0, None, 10_001),
        Pong(-1, 0),
        Push(RECORD, 0, 33, ()),
        Push(RECORD, 0, 1, (REF,) * (PATH_MAX + 1)),
        Push(Record(bytes(31), 0, 1, 0, b"", bytes(64)), 0, 1, ()),
        Push(Record(bytes(32), 32, 1, 0, b"", bytes(64)), 0, 1, ()),
        Push(Record(bytes(32), 0, 0, 0, b"", bytes(64)), 0, 1, ()),
        Push(Record(bytes(32), 0, 1, 0, b"", bytes(63)), 0, 1, ()),
        Announce((Key(REF, 0, 1),) * (KEYS_MAX + 1)),
        Announce((Key(REF + b".", 0, 1),)),
        Pull((Topic(REF, 0),) * (KEYS_MAX + 1)),
        Records((Aged(RECORD, 0),) * (RECORDS_MAX + 1)),
        Digest(9, b""),
        Digest(8, bytes(2049)),
        Inventory(0, (256,), ()),
        Neighbors(1, 256, "n", b""),
        Neighbors(1, 1, "n" * 65, b""),
        Neighbors(1, 1, "n", bytes(33)),
        Vicinity(RECORD, (RECORD,) * (NEIGHBOURS_MAX + 1)),
        Vicinity(RECORD, (), 65_536),
    ],
)
def test_every_length_and_number_is_limited(message: Message) -> None:
    with pytest.raises(RemoteError, match="malformed-message"):
        decode(encode(message))


@given(st.lists(records, max_size=3))
def test_a_record_of_an_unknown_kind_crosses_intact(carried: list[Record]) -> None:
    message = decode(encode(Records(tuple(Aged(record, 5) for record in carried))))
    assert isinstance(message, Records)
    assert [item.record.signed_bytes() for item in message.items] == [record.signed_bytes() for record in carried]
