"""Who may join: the right network, the right secret proved on this connection, or membership of one's own."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.membership.admission import EARLY_MS, Admission, NetworkConfig
from peerscope.mesh.messages import WIRE_VERSION, Hello, Message, Neighbors
from peerscope.records.bodies import Observations, Profile
from peerscope.records.certificates import REVOCATIONS_MAX, Certificate, Revocation, Revoked, certify, revoke
from peerscope.records.identity import Identity, PeerId
from strategies import IDENTITIES, messages, milliseconds, profiles, revoked

ALICE, BOB, MALLORY, OPERATOR, OTHER_OPERATOR = (IDENTITIES[number] for number in (1, 2, 3, 4, 5))
OPEN = NetworkConfig()
SECRET = NetworkConfig(secret="correct horse battery")
LISTED = NetworkConfig(allow=(ALICE.peer_id.hex(),))
CERTIFIED = NetworkConfig(operators=(OPERATOR.peer_id.hex(),))
NONCE, OTHER_NONCE = b"n" * 16, b"m" * 16
NOW_MS, DAY_MS = 1_700_000_000_000, 86_400_000


def admission(config: NetworkConfig, me: Identity = BOB) -> Admission:
    return Admission(config, me.peer_id, Random(0))


def proof(config: NetworkConfig, sender: Identity, receiver: Identity, nonce: bytes = NONCE) -> bytes:
    return admission(config, sender).prove(receiver.peer_id, nonce)


def certificate(
    subject: Identity = ALICE, operator: Identity = OPERATOR, *, network: str = "peerscope", serial: bytes = b"serial-1"
) -> Certificate:
    span = {"not_before_ms": NOW_MS - DAY_MS, "not_after_ms": NOW_MS + DAY_MS}
    return certify(operator, subject.peer_id, network, serial=serial, **span)


def revocation(target: bytes, operator: Identity = OPERATOR, *, at_ms: int = NOW_MS) -> Revocation:
    return revoke(operator, target, "peerscope", revoked_at_ms=at_ms, not_after_ms=at_ms + 400 * DAY_MS)


def hello(
    shown: bytes = b"",
    *,
    network: str = "peerscope",
    wire: tuple[int, int] = (WIRE_VERSION, WIRE_VERSION),
    bears: Certificate | None = None,
) -> Hello:
    return Hello(*wire, network, shown, 0, certificate=bears)


def refusal(
    message: Hello, to: Admission, sender: Identity = ALICE, nonces: tuple[bytes, ...] = (NONCE,), at_ms: int = NOW_MS
) -> str | None:
    try:
        to.admit(message, sender.peer_id, nonces, at_ms)
    except RemoteError as error:
        return error.reason
    return None


def test_an_open_network_admits_whoever_knows_its_name() -> None:
    assert refusal(hello(), admission(OPEN)) is None
    assert refusal(hello(network="other"), admission(OPEN)) == "other-network"


def test_a_network_with_a_secret_admits_whoever_proves_it_over_a_nonce_of_ours() -> None:
    bob = admission(SECRET)
    assert bob.admit(hello(proof(SECRET, ALICE, BOB)), ALICE.peer_id, (OTHER_NONCE, NONCE), NOW_MS) == NONCE


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        bytes(32),
        proof(SECRET, ALICE, BOB)[:-1],
        proof(NetworkConfig(secret="another secret, also long"), ALICE, BOB),
        proof(SECRET, ALICE, BOB, OTHER_NONCE),
        proof(SECRET, ALICE, BOB, b""),
    ],
    ids=["none", "zeros", "cut short", "of another secret", "of another connection", "of no connection"],
)
def test_a_wrong_proof_is_refused(shown: bytes) -> None:
    assert refusal(hello(shown), admission(SECRET)) == "not-a-member"


def test_without_a_nonce_of_ours_no_proof_counts() -> None:
    for shown in (b"", proof(SECRET, ALICE, BOB), proof(SECRET, ALICE, BOB, b"")):
        assert refusal(hello(shown), admission(SECRET), nonces=()) == "not-a-member"


def test_a_proof_can_be_neither_reflected_nor_used_by_others_nor_elsewhere() -> None:
    bob = admission(SECRET)
    assert refusal(hello(proof(SECRET, BOB, ALICE)), bob) == "not-a-member"
    assert refusal(hello(proof(SECRET, ALICE, BOB)), bob, sender=MALLORY) == "not-a-member"
    assert refusal(hello(proof(SECRET, ALICE, MALLORY)), bob) == "not-a-member"


def test_the_proof_does_not_show_the_secret_and_nonces_never_repeat() -> None:
    assert SECRET.secret.encode() not in proof(SECRET, ALICE, BOB)
    assert (len(proof(SECRET, ALICE, BOB)), proof(OPEN, ALICE, BOB)) == (32, b"")
    bob = admission(SECRET)
    assert len({bob.nonce() for _ in range(1000)}) == 1000
    assert admission(OPEN).nonce() == b""


@pytest.mark.parametrize(
    ("wire", "expected"),
    [((1, 1), None), ((1, 9), None), ((2, 9), None), ((3, 9), "wire-version"), ((9, 1), "wire-version")],
)
def test_peers_that_share_no_wire_version_part(wire: tuple[int, int], expected: str | None) -> None:
    assert refusal(hello(wire=wire), admission(OPEN)) == expected


def test_an_allow_list_admits_those_on_it_and_always_ourselves() -> None:
    bob = admission(LISTED)
    assert refusal(hello(), bob, ALICE) is None
    assert refusal(hello(), bob, BOB) is None
    assert refusal(hello(), bob, MALLORY) == "not-a-member"
    assert refusal(hello(bears=certificate(MALLORY)), bob, MALLORY) == "not-a-member"  # no operator is named here


FORGED = replace(certificate(), not_after_ms=NOW_MS + 9 * DAY_MS)
CERTIFICATES = {
    "good": (certificate(), NOW_MS, None),
    "none": (None, NOW_MS, "not-a-member"),
    "somebody else's": (certificate(MALLORY), NOW_MS, "not-a-member"),
    "for another network": (certificate(network="other"), NOW_MS, "not-a-member"),
    "of another operator": (certificate(operator=OTHER_OPERATOR), NOW_MS, "not-a-member"),
    "lengthened": (FORGED, NOW_MS, "not-a-member"),
    "in another operator's name": (
        replace(certificate(operator=MALLORY), operator=OPERATOR.peer_id),
        NOW_MS,
        "not-a-member",
    ),
    "at its last moment": (certificate(), NOW_MS + DAY_MS, None),
    "expired": (certificate(), NOW_MS + DAY_MS + 1, "certificate-expired"),
    "a little early": (certificate(), NOW_MS - DAY_MS - EARLY_MS, None),
    "too early": (certificate(), NOW_MS - DAY_MS - EARLY_MS - 1, "certificate-early"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_admits_its_subject_while_it_lasts(name: str) -> None:
    bears, at_ms, expected = CERTIFICATES[name]
    assert refusal(hello(bears=bears), admission(CERTIFIED), at_ms=at_ms) == expected


def test_where_both_are_asked_for_both_must_be_shown() -> None:
    both = NetworkConfig(secret=SECRET.secret, operators=CERTIFIED.operators)
    bob, shown = admission(both), proof(both, ALICE, BOB)
    assert refusal(hello(shown, bears=certificate()), bob) is None
    assert refusal(hello(shown), bob) == "not-a-member"
    assert refusal(hello(bears=certificate()), bob) == "not-a-member"


def test_who_is_on_the_list_needs_no_certificate() -> None:
    both = NetworkConfig(allow=LISTED.allow, operators=CERTIFIED.operators)
    assert refusal(hello(), admission(both)) is None
    assert refusal(hello(bears=FORGED), admission(both)) is None


@pytest.mark.parametrize("target", [b"serial-1", ALICE.peer_id], ids=["serial", "peer"])
def test_a_revoked_certificate_admits_nobody(target: bytes) -> None:
    bob = admission(CERTIFIED)
    assert bob.learn([revocation(target)], NOW_MS)
    assert refusal(hello(bears=certificate()), bob) == "revoked"
    assert refusal(hello(bears=certificate(MALLORY, serial=b"serial-2")), bob, MALLORY) is None


def test_after_a_peer_was_revoked_a_later_certificate_is_good_again() -> None:
    bob = admission(CERTIFIED)
    bob.learn([revocation(ALICE.peer_id, at_ms=NOW_MS - DAY_MS - 1)], NOW_MS)
    assert refusal(hello(bears=certificate()), bob) is None


def test_a_revoked_peer_is_out_even_where_it_is_on_the_list() -> None:
    bob = admission(NetworkConfig(allow=LISTED.allow, operators=CERTIFIED.operators))
    bob.learn([revocation(ALICE.peer_id)], NOW_MS)
    assert refusal(hello(), bob) == "revoked"
    assert refusal(hello(bears=certificate()), bob) == "revoked"


def test_only_operators_of_the_network_revoke_and_only_what_they_signed() -> None:
    bob = admission(CERTIFIED)
    worthless = [
        revocation(ALICE.peer_id, MALLORY),
        replace(revocation(ALICE.peer_id, MALLORY), operator=OPERATOR.peer_id),
        replace(revocation(MALLORY.peer_id), target=ALICE.peer_id),
        revoke(OPERATOR, ALICE.peer_id, "other", revoked_at_ms=NOW_MS, not_after_ms=NOW_MS + DAY_MS),
        revoke(OPERATOR, ALICE.peer_id, "peerscope", revoked_at_ms=NOW_MS - 2, not_after_ms=NOW_MS - 1),
    ]
    assert [bob.learn([one], NOW_MS) for one in worthless] == [False] * len(worthless)
    assert refusal(hello(bears=certificate()), bob) is None


def test_an_operator_revokes_no_serial_numbers_of_another() -> None:
    bob = admission(NetworkConfig(operators=(OPERATOR.peer_id.hex(), OTHER_OPERATOR.peer_id.hex())))
    bob.learn([revocation(b"serial-1"), revocation(b"serial-1", OTHER_OPERATOR, at_ms=NOW_MS + 1)], NOW_MS)
    assert refusal(hello(bears=certificate(MALLORY, serial=b"serial-3")), bob, MALLORY) is None
    assert refusal(hello(bears=certificate()), bob) == "revoked"


def test_revocations_are_bounded_and_merge_in_any_order() -> None:
    many = [revocation(bytes((number,)) * 8, at_ms=NOW_MS + number) for number in range(REVOCATIONS_MAX + 5)]
    one, other = admission(CERTIFIED), admission(CERTIFIED, ALICE)
    one.learn(many, NOW_MS)
    other.learn(reversed(many), NOW_MS)
    assert one.revocations == other.revocations
    assert len(one.revocations) == REVOCATIONS_MAX
    assert not one.learn(many[-3:], NOW_MS)
    one.forget_lapsed(NOW_MS + 500 * DAY_MS)
    assert one.revocations == {}


def profile_of(bears: Certificate | None) -> Profile:
    return Profile((), None, "1", 0, certificate=bears)


def origin_refusal(
    config: NetworkConfig, body: Profile | Observations, said: Profile | None = None, origin: PeerId = ALICE.peer_id
) -> str | None:
    try:
        admission(config).check_origin(origin, body, said, NOW_MS)
    except RemoteError as error:
        return error.reason
    return None


@pytest.mark.parametrize("config", [OPEN, SECRET], ids=["open", "secret"])
def test_members_vouch_for_each_other_where_nothing_names_them(config: NetworkConfig) -> None:
    assert origin_refusal(config, profile_of(None)) is None
    assert origin_refusal(config, Observations()) is None


def test_an_origin_counts_once_its_profile_shows_its_membership() -> None:
    assert origin_refusal(CERTIFIED, profile_of(certificate())) is None
    assert origin_refusal(CERTIFIED, profile_of(None)) == "not-a-member"
    assert origin_refusal(CERTIFIED, profile_of(certificate(MALLORY))) == "not-a-member"
    assert origin_refusal(CERTIFIED, Observations()) == "unvouched"
    assert origin_refusal(CERTIFIED, Observations(), profile_of(certificate())) is None
    assert origin_refusal(LISTED, Observations()) is None
    assert origin_refusal(LISTED, profile_of(None), origin=MALLORY.peer_id) == "not-a-member"


EVERYTHING = NetworkConfig(secret=SECRET.secret, allow=LISTED.allow, operators=CERTIFIED.operators)


@given(messages, st.lists(st.binary(max_size=16), max_size=4), revoked, milliseconds, profiles)
def test_whatever_outsiders_show_nobody_is_admitted_and_nothing_raises(
    message: Message, nonces: list[bytes], body: Revoked, wall_ms: int, said: Profile
) -> None:
    bob = admission(EVERYTHING)
    assert not bob.learn(body.items, wall_ms)
    if isinstance(message, Hello | Neighbors):
        with pytest.raises(RemoteError):
            bob.admit(message, MALLORY.peer_id, nonces, wall_ms)
    with pytest.raises(RemoteError):
        bob.check_origin(MALLORY.peer_id, said, said, wall_ms)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "network.name is ''"),
        ({"name": "n" * 65}, "1 to 64"),
        ({"name": "two\nlines"}, "printable"),
        ({"secret": "fifteen letters"}, "network.secret is too short"),
        ({"allow": ("abc",)}, r"network\.allow has 'abc'.*64 hexadecimal"),
        ({"operators": ("z" * 64,)}, r"network\.operators has .*admit keygen"),
        ({"open": True, "secret": "0123456789abcdef"}, "network.open is true"),
        ({"open": True, "allow": ("00" * 32,)}, "drop one of them"),
        ({"certificate_file": "x"}, "network.operators"),
        ({"prefix_members_max": 0}, "1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_mend(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        NetworkConfig(**fields)  # type: ignore[arg-type]
