"""Names of peers: every form that we print finds the peer, and nothing finds a wrong one."""

from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.bodies import Profile
from peerscope.records.identity import PeerId
from peerscope.views.peer_names import PeerNames

ONE, TWO = PeerId(bytes.fromhex("aa" * 32)), PeerId(bytes.fromhex("bb" * 32))


def profile(node_id: str | None = None, node: str = "ygg") -> Profile:
    return Profile((), "eu", "1", 0, node=node, node_id=node_id)


def test_every_form_that_we_print_finds_the_peer() -> None:
    names = PeerNames({ONE: profile("n1"), TWO: profile("n2")})
    for form in ("aa" * 32, "AA" * 32, "aa" * 8, "aa" * 5, "n1"):
        assert names.find(form) == ONE
    for form in ("aa" * 6, "aa" * 4, "aa" * 31, "", "N1", "?", "n3"):
        assert names.find(form) == "unknown"


def test_a_short_form_of_two_peers_is_ambiguous_and_a_longer_one_is_not() -> None:
    near = PeerId(ONE[:5] + TWO[5:])
    names = PeerNames({ONE: profile(), near: profile()})
    assert names.find(ONE.hex()[:10]) == "ambiguous"
    assert (names.find(ONE.hex()[:16]), names.find(near.hex()[:16])) == (ONE, near)


def test_a_node_cannot_take_the_name_of_a_peer_and_two_of_one_name_are_none() -> None:
    for form in (ONE.hex(), ONE.hex()[:16], ONE.hex()[:10]):
        assert PeerNames({ONE: profile(), TWO: profile(form)}).find(form) == ONE
    assert PeerNames({ONE: profile("n"), TWO: profile("n")}).find("n") == "ambiguous"


def test_a_name_in_our_own_layer_comes_before_one_elsewhere() -> None:
    me = PeerId(bytes(32))
    profiles = {me: profile("me"), ONE: profile("n", "kubo"), TWO: profile("n")}
    assert PeerNames(profiles, me).find("n") == TWO


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.text(max_size=16)), max_size=8), st.text(max_size=70))
def test_a_name_finds_only_peers_that_have_it(peers: list[tuple[bytes, str]], name: str) -> None:
    profiles = {PeerId(peer): profile(node_id or None) for peer, node_id in peers}
    found = PeerNames(profiles).find(name)
    if isinstance(found, bytes):
        assert profiles[PeerId(found)].node_id == name or PeerId(found).hex().startswith(name.lower())
