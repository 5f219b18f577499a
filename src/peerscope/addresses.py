"""Addresses as operators write them: "host:port"."""

from __future__ import annotations

import ipaddress

from peerscope.errors import ConfigError
from peerscope.numerals import whole


def split_address(address: str, name: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port". Raises `ConfigError` under the given name."""
    host, separator, port = address.rpartition(":")
    number = whole(port)
    if not separator or not host or number is None or number > 65535:
        raise ConfigError(f'{name} is {address!r}; must be "host:port", for example "127.0.0.1:8080"')
    return host.strip("[]"), number


def is_loopback(host: str) -> bool:
    """Only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_address(text: str) -> bool:
    """An IP address, or a network as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
