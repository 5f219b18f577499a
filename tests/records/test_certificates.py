"""Certificates and revocations are their operator's, to the last bit, for one network."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.records.bodies import REVOKED_BYTES_MAX, Kind, decode_body, encode_body
from peerscope.records.certificates import (
    CERTIFICATE_BYTES_MAX,
    REVOCATIONS_MAX,
    Certificate,
    Revocation,
    Revoked,
    certify,
    revoke,
)
from strategies import IDENTITIES, damaged, milliseconds, names

OPERATOR, SUBJECT = IDENTITIES[4], IDENTITIES[1].peer_id
serials = st.binary(min_size=8, max_size=8)
good_certificates = st.builds(
    lambda network, serial, begin, end: certify(
        OPERATOR, SUBJECT, network, serial=serial, not_before_ms=begin, not_after_ms=end
    ),
    names,
    serials,
    milliseconds,
    milliseconds,
)


@given(good_certificates)
def test_a_certificate_crosses_the_wire_and_is_signed(paper: Certificate) -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(paper), type=Certificate)
    assert again == paper
    assert again.is_signed()


@given(good_certificates.flatmap(lambda paper: damaged(msgspec.msgpack.encode(paper))))
def test_one_that_was_changed_in_any_bit_is_not(data: bytes) -> None:
    try:
        paper = msgspec.msgpack.decode(data, type=Certificate)
    except (msgspec.MsgspecError, ValueError):
        return
    assert msgspec.msgpack.encode(paper) != data or not paper.is_signed()


@given(serials | st.just(SUBJECT), names, names, milliseconds, milliseconds)
def test_a_revocation_is_for_its_network_alone(target: bytes, network: str, other: str, at_ms: int, end: int) -> None:
    paper = revoke(OPERATOR, target, network, revoked_at_ms=at_ms, not_after_ms=end)
    assert paper.is_signed(network)
    assert paper.is_signed(other) == (network == other)


def test_a_certificate_is_no_revocation_and_no_record() -> None:
    paper = certify(OPERATOR, SUBJECT, "n", serial=bytes(8), not_before_ms=1, not_after_ms=2)
    assert not Revocation(paper.serial, 1, 2, paper.operator, paper.signature).is_signed("n")
    assert not Revocation(SUBJECT, 1, 2, paper.operator, paper.signature).is_signed("n")


def test_as_many_revocations_as_are_allowed_fit_into_a_record() -> None:
    latest = 2**53 - 1
    one = revoke(OPERATOR, SUBJECT, "n" * 64, revoked_at_ms=latest, not_after_ms=latest)
    times = {"not_before_ms": latest, "not_after_ms": latest}
    shown = certify(OPERATOR, SUBJECT, "\N{GRINNING FACE}" * 64, serial=bytes(8), **times)
    assert len(msgspec.msgpack.encode(shown)) <= CERTIFICATE_BYTES_MAX
    body = Revoked((one,) * REVOCATIONS_MAX, shown)
    assert len(encode_body(body)) <= REVOKED_BYTES_MAX
    assert decode_body(Kind.REVOKED, encode_body(body)) == body
    with pytest.raises(RemoteError, match="malformed-body"):
        decode_body(Kind.REVOKED, encode_body(Revoked((*body.items, one))))
