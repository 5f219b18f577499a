"""Dial-back: each test tries to aim a peer at somebody else, to make it dial too often, or to keep it from dialling."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.dial_back import DIALERS, HOST_MAX, INTERVAL_S, LOOK_S, DialBack, checksum, dialers, may_try, spread
from peerscope.mesh.events import Tried, TryNode
from peerscope.mesh.membership.rings import RINGS
from peerscope.records.bodies import DialOutcome, Profile
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
        ("[::1]:1", "::1"),
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
        ("[203.0.113.5]:4001", "203.0.113.5"),
        ("2001:db8::1:4001", "2001:db8::1"),
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


class Dialer:
    """The only dialer of all its neighbours. `outcomes`: what it finds at a neighbour, REACHED if not set."""

    def __init__(self, subjects: dict[PeerId, tuple[str, ...]]) -> None:
        me = PEERS[0]
        profiles = {peer: Profile((), "eu", "1", 0, node_addresses=hosts) for peer, hosts in subjects.items()}
        profiles[me] = Profile((), "eu", "1", 0, dials=True)
        self.outcomes: dict[PeerId, DialOutcome] = {}
        self.tried: list[tuple[float, PeerId, str]] = []
        """Connections that began."""
        self.shown: list[frozenset[bytes]] = []
        """Subjects of readings after each look."""
        self._begun: list[TryNode] = []
        state = SimpleNamespace(
            me=me,
            ledger=SimpleNamespace(profile=profiles.get),
            links=SimpleNamespace(up=lambda: list(subjects)),
            neighbours=SimpleNamespace(rings=SimpleNamespace(neighbours=lambda peer: [me])),
            out=SimpleNamespace(add=self._begun.append),
        )
        self._part = DialBack(state, 0.0)  # type: ignore[arg-type]

    def run(self, until_s: float, answer_s: float = 1.0) -> None:
        waiting: list[tuple[float, TryNode]] = []
        for now in map(float, range(len(self.shown), int(until_s))):
            for one in [one for one in waiting if one[0] <= now]:
                waiting.remove(one)
                outcome = self.outcomes.get(one[1].subject, DialOutcome.REACHED)
                self._part.tried(Tried(one[1].subject, one[1].addresses, (outcome,) * len(one[1].addresses)), now)
            self._part.review(now)
            for begun in self._begun:
                waiting.append((now + answer_s, begun))
                if self.outcomes.get(begun.subject) not in (DialOutcome.ELSEWHERE, DialOutcome.UNABLE):
                    self.tried.extend((now, begun.subject, address) for address in begun.addresses)
            self._begun.clear()
            self.shown.append(frozenset(one.subject for one in self._part.readings(now)))

    def most(self) -> int:
        """Most connections within any `INTERVAL_S`."""
        times = [at for at, *_ in self.tried]
        return max((sum(0 <= other - at < INTERVAL_S for other in times) for at in times), default=0)


SPELLINGS = [
    f"[{start}:{zeros}{end}]"
    for start in ("fd00", "FD00", "Fd00")
    for zeros in ("", "0:", "00:")
    for end in (":1", ":01")
]


@pytest.mark.parametrize("hosts", [["[fd00::1]"], SPELLINGS, ["203.0.113.5"]])
def test_one_machine_is_tried_eight_times_in_ten_minutes_however_its_address_is_written(hosts: list[str]) -> None:
    def announced(number: int) -> tuple[str, ...]:
        host = hosts[number % len(hosts)]
        return (f"{host}:{1000 + number}", f"{host}:{2000 + number}")[: 1 + number % 2]

    dialer = Dialer({peer: announced(number) for number, peer in enumerate(PEERS[1:], 1)})
    dialer.run(1500.0)
    assert HOST_MAX - 1 <= dialer.most() <= HOST_MAX


@pytest.mark.parametrize("liars", [1, 4, 16, 39])
def test_who_announces_the_address_of_another_takes_none_of_its_attempts(liars: int) -> None:
    honest, host = PEERS[1], "203.0.113.5"
    others = [PeerId(bytes((200, number)) * 16) for number in range(liars)]
    dialer = Dialer({honest: (f"{host}:4001",), **dict.fromkeys(others, (f"{host}:1", f"{host}:2"))})
    dialer.outcomes = dict.fromkeys(others, DialOutcome.ELSEWHERE)
    dialer.run(4 * 3600.0)
    first = int((liars / 2 + 2) * LOOK_S) + 2
    later = [honest[:8] in shown for shown in dialer.shown[first:]]
    assert sum(later) > 0.99 * len(later)  # none while an attempt runs


def test_a_dialer_that_could_not_dial_tries_again_after_a_minute() -> None:
    subject = PEERS[1]
    dialer = Dialer({subject: ("203.0.113.5:4001",)})
    dialer.outcomes[subject] = DialOutcome.UNABLE
    dialer.run(30.0)
    dialer.outcomes.clear()
    dialer.run(100.0)
    assert [peer for _, peer, _ in dialer.tried] == [subject]


def test_a_subject_that_copies_tokens_of_machines_gets_four_connections_of_each_neighbour_at_most() -> None:
    """It names the machine of one dialer after another, so that others take their places."""
    subject, neighbours = PEERS[0], PEERS[1:9]
    tokens = {peer: HostTokens(boot=peer[:8]) for peer in neighbours}
    profiles = {peer: Profile((), "eu", "1", 0, dials=True, host=tokens[peer]) for peer in neighbours}
    begun: list[TryNode] = []

    def state(me: PeerId) -> SimpleNamespace:
        return SimpleNamespace(
            me=me,
            ledger=SimpleNamespace(profile=profiles.get),
            links=SimpleNamespace(up=lambda: [subject]),
            neighbours=SimpleNamespace(rings=SimpleNamespace(neighbours=lambda peer: neighbours)),
            out=SimpleNamespace(add=begun.append),
        )

    parts = {peer: DialBack(state(peer), 0.0) for peer in neighbours}  # type: ignore[arg-type]
    times: list[float] = []
    for look in range(120):
        now = look * LOOK_S
        addresses = (f"203.0.113.5:{1000 + look}", f"[2001:db8::5]:{1000 + look}")
        copied = tokens[neighbours[look % len(neighbours)]]
        profiles[subject] = Profile((), "eu", "1", 0, node_addresses=addresses, host=copied)
        for part in parts.values():
            part.review(now)
            for one in begun:
                times.extend(now for _ in one.addresses)
                part.tried(Tried(subject, one.addresses, (DialOutcome.REFUSED,) * 2), now)
            begun.clear()
    most = max(sum(0 <= other - at < INTERVAL_S for other in times) for at in times)
    assert 2 * 2 * DIALERS < most <= 2 * 2 * 2 * RINGS
