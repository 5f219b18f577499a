"""Bodies cross the wire unchanged, and whatever else comes is refused by name."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.records.bodies import (
    BODY_BYTES_MAX,
    Body,
    Check,
    Kind,
    LinkReading,
    Observation,
    Observations,
    Opaque,
    Profile,
    Report,
    Status,
    body_bytes_max,
    decode_body,
    encode_body,
    kind_of,
)
from strategies import BODY_TYPES, bodies, damaged

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Status
REF = b"8 bytes."


def profile(**fields: object) -> Profile:
    return Profile(**{"addresses": (), "region": None, "version": "1", "started_at_ms": 0} | fields)  # type: ignore[arg-type]


def refusal(kind: int, data: bytes) -> str:
    with pytest.raises(RemoteError) as caught:
        decode_body(kind, data)
    return caught.value.reason


@given(bodies)
def test_a_body_comes_back_as_it_was(body: Body) -> None:
    data = encode_body(body)
    if len(data) <= body_bytes_max(kind_of(body)):
        assert decode_body(kind_of(body), data) == body
    else:
        assert refusal(kind_of(body), data) == "oversized-body"


@given(st.integers(0, 31), st.binary(max_size=300))
def test_arbitrary_bytes_are_a_body_or_a_remote_error(kind: int, data: bytes) -> None:
    with suppress(RemoteError):
        decode_body(kind, data)


@given(bodies.map(encode_body).flatmap(damaged), st.sampled_from(sorted(BODY_TYPES)))
def test_damaged_bytes_are_a_body_or_a_remote_error(data: bytes, kind: Kind) -> None:
    with suppress(RemoteError):
        decode_body(kind, data)


@given(st.integers(0, 2**64), st.binary(max_size=BODY_BYTES_MAX))
def test_a_kind_we_do_not_know_is_carried_intact(kind: int, data: bytes) -> None:
    if kind not in list(Kind):
        assert decode_body(kind, data) == Opaque(data)


@pytest.mark.parametrize("kind", [Kind.PROFILE, Kind.REPORT, 30])
def test_a_body_above_the_limit_is_refused_whatever_its_kind(kind: int) -> None:
    assert refusal(kind, bytes(BODY_BYTES_MAX + 1)) == "oversized-body"


@pytest.mark.parametrize(
    "character",
    ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x9f", "\u2028", "\u2029", "\u202e", "\u2066", "\u2069"],
    ids=ascii,
)
@pytest.mark.parametrize("where", ["{}name", "na{}me", "name{}"])
def test_no_name_holds_a_control_character(character: str, where: str) -> None:
    name = where.format(character)
    for body in (
        profile(region=name),
        profile(addresses=(name,)),
        profile(labels=(("key", name),)),
        Report(5000, (Check(1, 0, name),)),
        Observations((Observation(REF, 0, 0, name),)),
    ):
        assert refusal(kind_of(body), encode_body(body)) == "malformed-body", body


def test_names_in_any_script_are_welcome() -> None:
    body = profile(region="Zürich 東京 القاهرة 🐝")
    assert decode_body(Kind.PROFILE, encode_body(body)) == body


@pytest.mark.parametrize(
    "body",
    [
        profile(addresses=("a",) * 9),
        profile(region="x" * 65),
        profile(started_at_ms=2**53),
        profile(started_at_ms=-1),
        profile(labels=(("k", "v"),) * 17),
        Report(99, ()),
        Report(5000, (Check(0),) * 9),
        Report(5000, (Check(4),)),
        Report(5000, (Check(1, 1_000_001),)),
        Report(5000, (), (LinkReading(REF),) * 65),
        Report(5000, (), (LinkReading(REF + b"."),)),
        Report(5000, (), (LinkReading(REF, loss=10_001),)),
        Report(5000, (), (), 65),
        Observations((Observation(REF, 0, 0),) * 129),
        Observations((Observation(REF[:7], 0, 0),)),
    ],
)
def test_every_length_and_number_is_limited(body: Body) -> None:
    assert refusal(kind_of(body), encode_body(body)) == "malformed-body"


def test_a_body_of_a_later_version_may_have_more_fields() -> None:
    data = encode_body(Observations())
    longer = bytes((data[0] + 1,)) + data[1:] + b"\xa5later"
    assert decode_body(Kind.OBSERVATIONS, longer) == Observations()


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), UNKNOWN),
        ((HEALTHY,), HEALTHY),
        ((HEALTHY,) * 5, HEALTHY),
        ((HEALTHY, DEGRADED), DEGRADED),
        ((HEALTHY, UNKNOWN), DEGRADED),
        ((UNKNOWN,) * 5, DEGRADED),
        ((DEGRADED, UNKNOWN), DEGRADED),
        ((HEALTHY, UNHEALTHY), UNHEALTHY),
        ((UNKNOWN, UNHEALTHY, DEGRADED), UNHEALTHY),
    ],
    ids=repr,
)
def test_a_report_is_as_bad_as_its_worst_check(statuses: tuple[Status, ...], expected: Status) -> None:
    assert Report(5000, tuple(Check(status) for status in statuses)).status is expected
