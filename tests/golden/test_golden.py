"""Old bytes mean what they meant, and old agents read new bytes as they read old ones."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parent))

from examples import BODIES, MESSAGES, ONE, PLACE, PROFILE, RECORD

from peerscope.mesh.messages import Message, decode
from peerscope.records.bodies import Kind, decode_body, kind_of
from peerscope.records.identity import verify_ed25519
from peerscope.records.record import Record, _signed_bytes, verify

RELEASED = sorted((place.parent.name, place.stem) for place in PLACE.glob("v*/*.bin"))
"""Each example, with the release that first had it."""
EXAMPLES = BODIES | MESSAGES | {"record": RECORD}


def golden(release: str, name: str) -> bytes:
    return (PLACE / release / f"{name}.bin").read_bytes()


def read(name: str, data: bytes) -> Struct:
    if name == "record":
        return msgspec.msgpack.decode(data, type=Record)
    return decode_body(kind_of(BODIES[name]), data) if name in BODIES else decode(data)


def begins_with(new: Any, old: Any) -> bool:
    """An agent that knows only the old fields sees in the new value what it saw in the old one."""
    if isinstance(old, list) and isinstance(new, list):
        return len(new) >= len(old) and all(begins_with(n, o) for n, o in zip(new, old, strict=False))
    return type(new) is type(old) and new == old


def test_there_is_an_example_of_every_message_and_every_kind() -> None:
    assert {type(one) for one in MESSAGES.values()} == set(Message.__args__)
    assert {kind_of(body) for body in BODIES.values()} == set(Kind)


def test_some_release_has_every_example() -> None:
    assert sorted(name for _, name in RELEASED) == sorted(EXAMPLES)


@pytest.mark.parametrize(("release", "name"), RELEASED)
def test_bytes_as_released_are_read_as_they_were_meant(release: str, name: str) -> None:
    assert read(name, golden(release, name)) == EXAMPLES[name]


@pytest.mark.parametrize(("release", "name"), RELEASED)
def test_an_agent_of_that_release_reads_todays_bytes(release: str, name: str) -> None:
    new = msgspec.msgpack.decode(msgspec.msgpack.encode(EXAMPLES[name]))
    assert begins_with(new, msgspec.msgpack.decode(golden(release, name)))


@pytest.mark.parametrize("name", ["ping", "pong"])
def test_an_agent_of_the_first_release_reads_a_ping_or_pong_with_a_load(name: str) -> None:
    new = msgspec.msgpack.decode(msgspec.msgpack.encode(EXAMPLES[f"{name}-loaded"]))
    assert begins_with(new, msgspec.msgpack.decode(golden("v1", name)))


def test_an_agent_of_the_first_release_reads_a_report_with_measures() -> None:
    new = msgspec.msgpack.decode(msgspec.msgpack.encode(EXAMPLES["report-measured"]))
    assert begins_with(new, msgspec.msgpack.decode(golden("v1", "report")))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_field_of_a_later_release_is_passed_over(name: str) -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(EXAMPLES[name]))
    later = msgspec.msgpack.encode([*fields, {"of": "a later release"}])
    assert read(name, later) == EXAMPLES[name]


@pytest.mark.parametrize("release", [release for release, name in RELEASED if name == "record"])
def test_a_signature_as_released_still_holds(release: str) -> None:
    record = msgspec.msgpack.decode(golden(release, "record"), type=Record)
    assert verify(record, verify_ed25519) == PROFILE


def test_what_is_signed_today_an_agent_of_the_first_release_takes_for_signed() -> None:
    data = RECORD.body
    said = _signed_bytes(ONE.peer_id, RECORD.kind, RECORD.version, RECORD.ahead_ms, data)
    assert ONE.sign(said) == RECORD.signature, "the same bytes are signed in the same way"


def test_a_field_that_moved_would_be_noticed() -> None:
    old = msgspec.msgpack.decode(golden("v1", "hello"))
    assert not begins_with([old[0], old[2], old[1], *old[3:]] if old[1] != old[2] else old[:-1], old)
    assert not begins_with(old[:-1], old)
