"""Dial-back: each test tries to aim a peer at somebody else, to make it dial too often, or to keep it from dialling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.dial_back import DIALERS, INTERVAL_S, checksum, dialers, may_try, spread
from peerscope.records.bodies import Profile
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import PeerId
from peerscope.sim.node import Machine, address_of
from peerscope.sim.simulator import Simulator

PEERS = [PeerId(bytes((number,)) * 32) for number in range(40)]


@pytest.mark.parametrize(
    ("address", "reached_at"),
    [
        ("203.0.113.5:4001", "203.0.113.5"),
        ("10.0.0.5:22", "10.0.0.5"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[2001:db8::1]:65535", "2001:db8:0::1"),
        ("[2001:db8::1]:1", "[2001:db8::1]"),
    ],
)
def test_a_host_is_tried_where_the_mesh_reaches_the_member_itself(address: str, reached_at: str) -> None:
    assert may_try(address, reached_at)


@pytest.mark.parametrize(
    ("address", "reached_at"),
    [
        ("203.0.113.6:4001", "203.0.113.5"),
        ("203.0.113.5:4001", None),
        ("203.0.113.5:4001", ""),
        ("203.0.113.5:4001", "member.example"),
        ("member.example:4001", "203.0.113.5"),
        ("10.0.0.5:1", "203.0.113.5"),
        ("127.0.0.1:1", "10.0.0.1"),
        ("169.254.169.254:80", "169.254.169.254"),
        ("169.254.1.1:80", "169.254.1.1"),
        ("[fe80::1]:80", "fe80::1"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0"),
        ("[fd00:ec2::254]:80", "fd00:ec2::254"),
        ("100.100.100.200:80", "100.100.100.200"),
        ("224.0.0.1:80", "224.0.0.1"),
        ("[ff02::1]:80", "ff02::1"),
        ("255.255.255.255:80", "255.255.255.255"),
        ("0.0.0.0:80", "0.0.0.0"),
        ("[::]:80", "::"),
        ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1"),
        ("203.0.113.5:0", "203.0.113.5"),
        ("203.0.113.5:65536", "203.0.113.5"),
        ("203.0.113.5:99999", "203.0.113.5"),
        ("203.0.113.5", "203.0.113.5"),
    ],
)
def test_nothing_else_is_ever_tried(address: str, reached_at: str | None) -> None:
    assert not may_try(address, reached_at)


@given(st.text(max_size=90), st.one_of(st.none(), st.text(max_size=40)))
def test_no_text_makes_the_guard_fail_and_none_passes_it_by_chance(address: str, reached_at: str | None) -> None:
    assert not may_try(address, reached_at) or address.rpartition(":")[0].strip("[]") != ""


regions = st.one_of(st.none(), st.sampled_from(["eu", "us", "ap", "sa"]))


@given(st.dictionaries(st.sampled_from(PEERS[1:]), regions, max_size=20), st.randoms(use_true_random=False))
def test_all_regions_have_a_dialer_before_any_has_two_in_whatever_order(
    places: dict[PeerId, str | None], rng: "object"
) -> None:
    chosen = spread(PEERS[0], places.items())
    assert len(chosen) == len(set(chosen)) == min(DIALERS, len(places))
    counts = [sum(places[peer] == region for peer in chosen) for region in set(places.values())]
    if len(set(places.values())) <= DIALERS:
        assert all(counts)
    mixed = list(places.items())
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert spread(PEERS[0], mixed) == chosen


def test_dialers_run_elsewhere_want_to_and_have_not_left() -> None:
    machine = HostTokens(boot=b"12345678")
    subject = Profile((), "eu", "1", 0, host=machine)
    known = {
        PEERS[1]: Profile((), "eu", "1", 0, dials=True),
        PEERS[2]: Profile((), "eu", "1", 0),
        PEERS[3]: Profile((), "eu", "1", 0, dials=True, left=True),
        PEERS[4]: Profile((), "eu", "1", 0, dials=True, host=machine),
    }
    assert dialers(PEERS[0], subject, known) == (PEERS[1],)
    assert dialers(PEERS[0], subject, {PEERS[4]: known[PEERS[4]]}) == (PEERS[4],)


class Network:
    """Peers of which the first has a node; notes all attempts."""

    def __init__(self, peers: int = 12, **more: object) -> None:
        self.sim = Simulator(seed=3, signed=False, **more)  # type: ignore[arg-type]
        self.ids = [self.sim.add(f"r{number % 4}") for number in range(peers)]
        self.subject: Machine = self.sim.nodes[self.ids[0]]
        self.subject.node_address = f"{address_of(self.subject).rpartition(':')[0]}:4001"
        self.attempts: list[tuple[float, PeerId, PeerId, tuple[str, ...]]] = []
        self.sim.on_effect.append(self._note)

    def start(self) -> None:
        for peer in self.ids:
            self.sim.start(peer, *self.ids[:2])

    def _note(self, peer: PeerId, effect: object, now: float) -> None:
        if type(effect).__name__ == "TryNode":
            self.attempts.append((now, peer, effect.subject, effect.addresses))  # type: ignore[attr-defined]

    def change(self, address: str) -> None:
        """The node announces another address."""
        from msgspec.structs import replace

        from peerscope.mesh.events import Publish

        self.subject.node_address = address
        own = self.sim.core_of(self.subject.machine).peer.ledger.profile(self.subject.peer_id)
        assert own is not None
        self.sim.feed(self.subject.machine, Publish(replace(own, node_addresses=(address,)), urgent=True))


def test_six_peers_try_once_in_ten_minutes_and_only_the_one_that_asked() -> None:
    network = Network()
    network.start()
    network.sim.run_until(INTERVAL_S + 10.0)
    assert {subject for _, _, subject, _ in network.attempts} == {network.subject.peer_id}
    first = [peer for at, peer, *_ in network.attempts if at < INTERVAL_S]
    assert DIALERS <= len(set(first)) <= DIALERS + 2  # while peers join, a few see other rings
    assert max(first.count(peer) for peer in first) == 1
    network.sim.run_until(2 * INTERVAL_S)
    later = [peer for at, peer, *_ in network.attempts if at >= INTERVAL_S]
    assert sorted(set(later)) == sorted(later)
    assert len(later) == DIALERS


def test_addresses_that_change_all_the_time_are_tried_twice_in_ten_minutes() -> None:
    network = Network()
    network.start()
    for number in range(60):
        network.sim.run_until(network.sim.now + 10.0)
        network.change(f"{address_of(network.subject).rpartition(':')[0]}:{5000 + number}")
    network.sim.run_until(INTERVAL_S - 1.0)
    dialled = [peer for _, peer, *_ in network.attempts]
    assert max(dialled.count(peer) for peer in dialled) == 2
    assert len(dialled) <= 2 * len(set(dialled))


def test_nobody_dials_who_switched_it_off_or_is_not_asked() -> None:
    network = Network()
    network.subject.node_address = None
    network.start()
    network.sim.run_until(60.0)
    assert network.attempts == []


def test_the_name_of_addresses_depends_on_each_and_on_their_order() -> None:
    names = {checksum(one) for one in ((), ("a:1",), ("a:1", "b:1"), ("b:1", "a:1"), ("a:1\nb:1",)[:1])}
    assert len(names) == 4  # addresses hold no line ends
