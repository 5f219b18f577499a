"""Who may join: the right network, the right secret, proved to us and by the peer that says so."""

import pytest

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.admission import NetworkConfig, admit, prove
from peerscope.mesh.messages import WIRE_VERSION, Hello
from peerscope.records.identity import PeerId
from strategies import ORIGINS

ALICE, BOB, MALLORY, *_ = ORIGINS
OPEN = NetworkConfig()
CLOSED = NetworkConfig(secret="correct horse battery")


def hello(network: str, proof: bytes, *, wire: tuple[int, int] = (WIRE_VERSION, WIRE_VERSION)) -> Hello:
    return Hello(*wire, network, proof, 0)


def refusal(message: Hello, config: NetworkConfig, sender: PeerId = ALICE) -> str | None:
    try:
        admit(message, sender, BOB, config)
    except RemoteError as error:
        return error.reason
    return None


def test_an_open_network_admits_whoever_knows_its_name() -> None:
    assert refusal(hello("peerscope", b""), OPEN) is None
    assert refusal(hello("other", b""), OPEN) == "other-network"


def test_a_closed_network_admits_whoever_proves_its_secret() -> None:
    assert refusal(hello("peerscope", prove(CLOSED, ALICE, BOB)), CLOSED) is None


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        bytes(32),
        prove(CLOSED, ALICE, BOB)[:-1],
        prove(NetworkConfig(secret="another secret, also long"), ALICE, BOB),
    ],
    ids=["none", "zeros", "cut short", "of another secret"],
)
def test_a_wrong_proof_is_refused(proof: bytes) -> None:
    assert refusal(hello("peerscope", proof), CLOSED) == "not-a-member"


def test_a_proof_can_be_neither_reflected_nor_used_by_others_nor_elsewhere() -> None:
    assert refusal(hello("peerscope", prove(CLOSED, BOB, ALICE)), CLOSED) == "not-a-member"
    assert refusal(hello("peerscope", prove(CLOSED, ALICE, BOB)), CLOSED, sender=MALLORY) == "not-a-member"
    assert refusal(hello("peerscope", prove(CLOSED, ALICE, MALLORY)), CLOSED) == "not-a-member"


def test_the_proof_does_not_show_the_secret() -> None:
    assert CLOSED.secret.encode() not in prove(CLOSED, ALICE, BOB)
    assert len(prove(CLOSED, ALICE, BOB)) == 32
    assert prove(OPEN, ALICE, BOB) == b""


@pytest.mark.parametrize(
    ("wire", "expected"),
    [((1, 1), None), ((1, 9), None), ((2, 9), "wire-version"), ((9, 1), "wire-version")],
)
def test_peers_that_share_no_wire_version_part(wire: tuple[int, int], expected: str | None) -> None:
    assert refusal(hello("peerscope", b"", wire=wire), OPEN) == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "network.name is ''"),
        ({"name": "n" * 65}, "1 to 64"),
        ({"name": "two\nlines"}, "printable"),
        ({"secret": "fifteen letters"}, "network.secret is too short"),
    ],
)
def test_a_name_or_secret_that_cannot_work_is_refused_with_the_mend(fields: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        NetworkConfig(**fields)
