"""A record is its origin's word, and nobody else's."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.records.bodies import BODY_BYTES_MAX, Body, Opaque, Profile, encode_body
from peerscope.records.identity import Identity, PeerId, Signer, ref, short, verify_ed25519
from peerscope.records.record import VERSION_MAX, Record, sign, verify
from strategies import IDENTITIES, bodies

ALICE, MALLORY = IDENTITIES[0], IDENTITIES[1]
PROFILE = Profile(("10.0.0.1:1",), "eu", "1.0", 1_700_000_000_000)


def signed(signer: Signer, kind: int, body: bytes, *, version: int = 5, ahead_ms: int = 0) -> Record:
    """A true signature over any content, also over what `sign` would never make."""
    bare = Record(signer.peer_id, kind, version, ahead_ms, body, bytes(64))
    return msgspec.structs.replace(bare, signature=signer.sign(bare.signed_bytes()))


def refusal(record: Record) -> str:
    with pytest.raises(RemoteError) as caught:
        verify(record, verify_ed25519)
    return caught.value.reason


@given(bodies, st.integers(1, VERSION_MAX), st.integers(0, VERSION_MAX))
def test_what_is_signed_verifies_and_says_the_same(body: Body, version: int, wall_ms: int) -> None:
    record = sign(ALICE, body, version=version, wall_ms=wall_ms)
    crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record)
    assert crossed == record
    if len(record.body) <= BODY_BYTES_MAX:
        assert verify(crossed, verify_ed25519) == body


def test_a_record_is_dated_by_the_wall_clock_even_where_the_version_ran_ahead() -> None:
    assert sign(ALICE, PROFILE, version=9_000, wall_ms=9_000).issued_at == 9.0
    assert sign(ALICE, PROFILE, version=12_000, wall_ms=9_000).issued_at == 9.0
    assert sign(ALICE, PROFILE, version=12_000, wall_ms=9_000).ahead_ms == 3_000


RECORD = sign(ALICE, PROFILE, version=1_000, wall_ms=900)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("signature", bytes(64)),
        ("signature", sign(MALLORY, PROFILE, version=1_000, wall_ms=900).signature),
        ("origin", MALLORY.peer_id),
        ("origin", b"\xff" * 32),
        ("version", 1_001),
        ("ahead_ms", 99),
        ("body", encode_body(Profile((), None, "2.0", 1))),
        ("kind", 20),
    ],
)
def test_a_record_with_any_field_changed_is_forged(field: str, value: object) -> None:
    assert refusal(msgspec.structs.replace(RECORD, **{field: value})) == "forged"


@given(st.integers(0, len(msgspec.msgpack.encode(RECORD)) * 8 - 1))
def test_no_flipped_bit_goes_unseen(bit: int) -> None:
    data = bytearray(msgspec.msgpack.encode(RECORD))
    data[bit // 8] ^= 1 << bit % 8
    try:
        record = msgspec.msgpack.decode(bytes(data), type=Record)
    except (msgspec.MsgspecError, ValueError):
        return
    if record != RECORD:
        assert refusal(record) in ("forged", "malformed-body", "malformed-record")


def test_a_true_signature_does_not_excuse_the_body() -> None:
    assert refusal(signed(ALICE, 0, b"no profile")) == "malformed-body"
    assert refusal(signed(ALICE, 20, bytes(BODY_BYTES_MAX + 1))) == "oversized-body"
    assert refusal(signed(ALICE, 0, encode_body(Profile((), "a\x1b[31m", "1", 0)))) == "malformed-body"


def test_a_record_dated_before_1970_is_malformed() -> None:
    assert refusal(signed(ALICE, 20, b"", version=5, ahead_ms=6)) == "malformed-record"
    assert verify(signed(ALICE, 20, b"", version=5, ahead_ms=5), verify_ed25519) == Opaque(b"")


@given(st.binary(max_size=BODY_BYTES_MAX))
def test_an_unknown_kind_is_verified_and_kept_as_it_is(data: bytes) -> None:
    assert verify(signed(ALICE, 31, data), verify_ed25519) == Opaque(data)


def test_the_digest_names_the_statement_and_not_its_signature() -> None:
    other_signature = msgspec.structs.replace(RECORD, signature=bytes(64))
    assert other_signature.digest() == RECORD.digest()
    assert msgspec.structs.replace(RECORD, version=1_001).digest() != RECORD.digest()


@dataclass(frozen=True)
class CountingVerifier:
    asked: list[PeerId]

    def __call__(self, peer: PeerId, data: bytes, signature: bytes) -> bool:
        self.asked.append(peer)
        return True


def test_a_malformed_body_is_refused_before_the_costly_signature_check() -> None:
    verifier = CountingVerifier([])
    with pytest.raises(RemoteError, match="malformed-body"):
        verify(signed(ALICE, 0, b"no profile"), verifier)
    assert verifier.asked == []


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=70))
def test_the_verifier_never_raises(peer: bytes, data: bytes, signature: bytes) -> None:
    assert verify_ed25519(PeerId(peer), data, signature) is False


def test_an_identity_is_its_seed() -> None:
    assert Identity(b"7" * 32).peer_id == Identity(b"7" * 32).peer_id
    assert len(ALICE.peer_id) == 32
    assert ref(ALICE.peer_id) == ALICE.peer_id[:8]
    assert short(ALICE.peer_id) == ALICE.peer_id.hex()[:10]
    with pytest.raises(ValueError, match="32 bytes"):
        Identity(b"short")
