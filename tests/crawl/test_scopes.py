"""Addresses that others name: a node out there cannot make the crawler probe the network of its operator."""

from ipaddress import ip_address

import pytest

from peerscope.crawl.scopes import AddressScope, may_name, scope

PUBLIC, PRIVATE, LOOPBACK, LINK_LOCAL = "93.184.216.34", "192.168.1.5", "127.0.0.1", "169.254.1.1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (PUBLIC, AddressScope.PUBLIC),
        ("2606:4700::1111", AddressScope.PUBLIC),
        *((address, AddressScope.PRIVATE) for address in (PRIVATE, "10.0.0.1", "172.31.0.1", "100.64.0.1", "fd12::1")),
        *((address, AddressScope.LOOPBACK) for address in (LOOPBACK, "127.9.9.9", "::1")),
        *((address, AddressScope.LINK_LOCAL) for address in (LINK_LOCAL, "fe80::1")),
        *(
            (address, AddressScope.NEVER)
            for address in ("0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "255.255.255.255")
        ),
        *((address, AddressScope.NEVER) for address in ("240.0.0.1", "192.0.2.1", "::", "ff02::1", "2001:db8::1")),
        *((address, AddressScope.NEVER) for address in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")),
        *((address, AddressScope.NEVER) for address in ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1")),
        *((address, AddressScope.NEVER) for address in ("2002:7f00:1::1", "2001::1", "::7f00:1")),
    ],
)
def test_the_scope_of_an_address(address: str, expected: AddressScope) -> None:
    assert scope(ip_address(address)) is expected


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (PUBLIC, {PUBLIC}),
        (PRIVATE, {PUBLIC, PRIVATE}),
        (LOOPBACK, {PUBLIC, PRIVATE, LOOPBACK}),
        (LINK_LOCAL, {PUBLIC, PRIVATE, LOOPBACK, LINK_LOCAL}),
    ],
)
def test_a_peer_names_addresses_of_its_own_scope_and_of_wider_ones(source: str, allowed: set[str]) -> None:
    every = {PUBLIC, PRIVATE, LOOPBACK, LINK_LOCAL, "224.0.0.1", "169.254.169.254"}
    assert {one for one in every if may_name(ip_address(source), ip_address(one))} == allowed
