"""Which peers share a machine, by what their profiles state."""

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book
from peerscope.errors import RemoteError
from peerscope.records.bodies import Kind, Profile, decode_body, encode_body
from peerscope.records.hosts import HostTokens, host_key, host_token
from peerscope.records.identity import PeerId
from peerscope.views.hosts import machines, network_of, public_prefix
from peerscope.views.peers import peer_view
from peerscope.views.topology import topology

KEY = host_key("correct horse battery", "net")
LOCAL = ("127.0.0.1:4600",)


def tokens(boot: str = "", machine: str = "", *addresses: str, network: str = "") -> HostTokens:
    return HostTokens(
        host_token(KEY, "boot", boot) if boot else None,
        host_token(KEY, "machine", machine) if machine else None,
        host_token(KEY, "network", network) if network else None,
        tuple(host_token(KEY, "address", one) for one in addresses),
    )


def profile(host: HostTokens | None = None, *addresses: str, relay: str | None = None) -> Profile:
    return Profile(addresses or ("10.0.0.1:1",), "eu", "1", 0, host=host, relay=relay)


def grouped(*profiles: Profile) -> list[set[int]]:
    """Peers by number that share a machine, and nobody who is on none."""
    found = machines({PeerId(bytes((number,)) * 32): one for number, one in enumerate(profiles)})
    groups: dict[str, set[int]] = {}
    for peer, name in found.items():
        groups.setdefault(name, set()).add(peer[0])
    return sorted(groups.values(), key=min)


def test_containers_of_one_machine_share_its_boot_and_not_its_machine_id() -> None:
    assert grouped(profile(tokens("b", "c1")), profile(tokens("b", "c2")), profile(tokens("b"))) == [{0, 1, 2}]


def test_machines_from_one_image_are_several() -> None:
    assert grouped(profile(tokens("b1", "image")), profile(tokens("b2", "image"))) == [{0}, {1}]


def test_a_machine_id_counts_where_no_boot_is_known() -> None:
    assert grouped(profile(tokens("", "m")), profile(tokens("", "m")), profile(tokens("", "n"))) == [{0, 1}, {2}]


def test_a_public_address_of_its_own_counts_last() -> None:
    one, same, booted = tokens("", "", "192.0.2.7"), tokens("", "", "192.0.2.7"), tokens("b", "", "192.0.2.7")
    assert grouped(profile(one), profile(same), profile(booted)) == [{0, 1}, {2}]


def test_homes_behind_one_public_address_are_not_one_machine() -> None:
    """A router's address is in the profiles of all of them, and in the tokens of none."""
    behind = "8.8.8.8:4600"
    assert grouped(profile(tokens("b1"), behind), profile(tokens("b2"), behind), profile(None, behind)) == [{0}, {1}]


def test_without_tokens_loopback_is_one_machine_unless_a_relay_leads_elsewhere() -> None:
    relayed = profile(None, *LOCAL, relay="https://relay.example/")
    assert grouped(profile(None, *LOCAL), profile(None, "[::1]:9"), relayed, profile(None, "10.0.0.2:1")) == [{0, 1}]


def test_loopback_does_not_join_what_two_boots_part() -> None:
    assert grouped(profile(tokens("b1"), *LOCAL), profile(tokens("b2"), *LOCAL)) == [{0}, {1}]


def test_unknown_machines_are_nobodys() -> None:
    assert grouped(profile(None), profile(HostTokens())) == []


maybe = st.sampled_from(["", "a", "b"])
profiles = st.builds(
    lambda boot, machine, address, local: profile(
        tokens(boot, machine, *([address] if address else [])), *(LOCAL if local else ())
    ),
    maybe,
    maybe,
    maybe,
    st.booleans(),
)


@given(profiles, profiles, profiles)
def test_no_third_peer_joins_or_parts_two_others(one: Profile, other: Profile, liar: Profile) -> None:
    apart = grouped(one, other)
    together = [group - {2} for group in grouped(one, other, liar) if group - {2}]
    assert together == apart


@given(st.lists(profiles, max_size=4))
def test_the_order_of_peers_means_nothing(some: list[Profile]) -> None:
    peers = [PeerId(bytes((number,)) * 32) for number in range(len(some))]
    views = [machines({peers[number]: some[number] for number in order}) for order in permutations(range(len(some)))]
    assert all(view == views[0] for view in views)


def test_two_tokens_with_the_same_first_digits_keep_two_names() -> None:
    one, other = (profile(HostTokens(bytes.fromhex(f"0011223344556{end}77"))) for end in "ab")
    found = machines({PeerId(b"1" * 32): one, PeerId(b"2" * 32): other, PeerId(b"3" * 32): profile(tokens("b"))})
    assert [*found.values()][:2] == ["0011223344556a77", "0011223344556b77"]
    assert len(found[PeerId(b"3" * 32)]) == 8


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.0.1:1", "8.8.8.8:4600"), "8.8.8.0/24"),
        (("[2a00:1450:4001:800::1]:4600",), "2a00:1450:4001::/48"),
        (("127.0.0.1:1", "192.168.1.4:1"), None),
        (("peer.example:4600",), None),
        ((), None),
    ],
)
def test_a_prefix_is_of_a_public_address(addresses: tuple[str, ...], expected: str | None) -> None:
    assert public_prefix(Profile(addresses, "eu", "1", 0)) == expected


def test_tokens_of_two_networks_or_two_kinds_differ() -> None:
    keys = [host_key("secret of many words", "net"), host_key("", "net"), host_key("", "other"), host_key("net", "")]
    assert len({host_token(key, what, "same") for key in keys for what in ("boot", "machine", "address")}) == 12


def test_the_name_does_not_matter_where_there_is_a_secret() -> None:
    assert host_key("secret of many words", "one") == host_key("secret of many words", "two")


def test_a_profile_carries_its_tokens_and_an_older_one_has_none() -> None:
    told = profile(tokens("b", "m", "192.0.2.7", network="n"))
    assert decode_body(Kind.PROFILE, encode_body(told)) == told
    assert network_of(told) == host_token(KEY, "network", "n").hex()
    fields = Profile.__struct_fields__.index("host")
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(encode_body(told))[:fields])
    assert decode_body(Kind.PROFILE, older) == profile(None)
    assert network_of(profile(None)) is None


@pytest.mark.parametrize(
    "host",
    [HostTokens(b"short"), HostTokens(b"longer than eight"), HostTokens(addresses=tuple(bytes(8) for _ in range(5)))],
)
def test_tokens_of_another_length_or_too_many_are_refused(host: HostTokens) -> None:
    with pytest.raises(RemoteError, match="malformed-body"):
        decode_body(Kind.PROFILE, encode_body(profile(host)))


def test_a_snapshot_names_the_machine_of_each_peer() -> None:
    book = Book()
    for number, boot in enumerate(("x", "x", "y")):
        book.say(number, profile(tokens(boot)))
    book.say(3, profile(None))
    snapshot = book.snapshot(1.0)
    hosts = snapshot.hosts
    shown = [peer_view(snapshot, book[number]).host for number in range(4)]
    assert shown == [hosts.get(book[number]) for number in range(4)]
    assert {one.peer_id: one.host for one in topology(snapshot).peers} == {
        book[number].hex(): shown[number] for number in range(4)
    }
    assert hosts[book[0]] == hosts[book[1]] != hosts[book[2]]
    assert book[3] not in hosts
