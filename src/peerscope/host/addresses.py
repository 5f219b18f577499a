"""Parses addresses in the form "host:port"."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from peerscope.errors import ConfigError
from peerscope.host.numbers import whole

NAME_CHARACTERS_MAX = 253
"""RFC 1035, section 2.3.4."""
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)


def split_address(address: str, name: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port". Raises `ConfigError` under the given name."""
    host, separator, port = address.rpartition(":")
    number = whole(port)
    if not separator or not host or number is None or number > 65535:
        raise ConfigError(f'{name} is {address!r}; must be "host:port", for example "127.0.0.1:8080"')
    return host.strip("[]"), number


def join_address(host: str, port: int) -> str:
    """The inverse of `split_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_ip(host: str) -> bool:
    """Whether it is an IP address without a scope."""
    try:
        return "%" not in host and bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def is_name(host: str) -> bool:
    """Whether it is a host name of DNS, and no IP address."""
    labels = host.removesuffix(".").split(".")
    if len(host) > NAME_CHARACTERS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return bool(labels[-1].strip("0123456789"))  # the resolver would take it for an address (RFC 3696, section 2)


def is_port(text: str) -> bool:
    """Whether it is the number of a port that can be dialled."""
    number = whole(text) if len(text) <= 5 else None
    return number is not None and 0 < number <= 65535


def is_direct(address: str) -> bool:
    """Whether it is an "ip:port", which can be dialled without a lookup."""
    host, _, port = address.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not is_port(port) or is_bracketed is not (":" in host):
        return False
    return is_ip(host[1:-1] if is_bracketed else host)


def is_address(text: str) -> bool:
    """Whether it is an IP address, or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def check_url(url: str, name: str) -> None:
    """Raise `ConfigError`, which does not repeat the URL, unless it is http or https without a password."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{name} is no URL of http or https, as in https://example.org/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{name} holds a user name or password; those have settings of their own")
