"""Where a crawl of another network begins: specs of one network, with options, as `NETWORK:PLACE#OPTION=VALUE`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from peerscope.crawl.scopes import IpAddress
from peerscope.errors import ConfigError
from peerscope.host.addresses import is_name, split_address
from peerscope.host.numbers import decimal, whole
from peerscope.host.threads import in_thread
from peerscope.sources.place import parse_place

SEEDS_MAX = 64
LOOK_UP_S = 10.0


def parse_seeds(specs: Sequence[str], network: str, options: frozenset[str]) -> tuple[list[str], Mapping[str, str]]:
    """The places of all specs, and their options together. Raises `ConfigError`."""
    if len(specs) > SEEDS_MAX:
        raise ConfigError(f"a crawl begins at {SEEDS_MAX} places at most")
    places, chosen = [], dict[str, str]()
    for spec in specs:
        found, _, argument = spec.partition(":")
        if found != network:
            raise ConfigError(f"{spec!r} is not of the network {network}: all tickets of a crawl must be of one")
        place = parse_place(argument, options)
        if place.word:
            raise ConfigError(f"{place.word!r} is no option of {network}: known are {', '.join(sorted(options))}")
        for name, value in place.options.items():
            if chosen.setdefault(name, value) != value:
                raise ConfigError(f"the option {name} has two values: {chosen[name]} and {value}")
        places.append(place.address)
    return places, chosen


def whole_option(options: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number among the options. Raises `ConfigError`."""
    text = options.get(name)
    value = default if text is None else whole(text)
    if value is None or not 1 <= value <= most:
        raise ConfigError(f"the option {name} is {text!r}; must be a whole number from 1 to {most}")
    return value


def decimal_option(options: Mapping[str, str], name: str, default: float, most: float) -> float:
    """A number above zero among the options. Raises `ConfigError`."""
    text = options.get(name)
    value = default if text is None else decimal(text)
    if value is None or not 0.0 < value <= most:
        raise ConfigError(f"the option {name} is {text!r}; must be above 0 and at most {most:g}")
    return value


async def resolved(place: str, network: str) -> list[tuple[IpAddress, int]]:
    """All addresses of HOST:PORT. Raises `ConfigError`."""
    host, port = split_address(place, f"the place of {network}")
    if port == 0:
        raise ConfigError(f"{place!r} has no port")
    return [(ip, port) for ip in await ips(host)]


async def ips(host: str) -> list[IpAddress]:
    """The addresses of a host. Raises `ConfigError`."""
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    from peerscope.transport.names import hosts

    if not is_name(host):
        raise ConfigError(f"{host!r} is neither an IP address nor a host name")
    try:
        async with asyncio.timeout(LOOK_UP_S):
            return [ip_address(address) for address in await in_thread(lambda: hosts(host), f"name {host}")]
    except (OSError, TimeoutError) as error:
        raise ConfigError(f"{host} has no address: {error or 'no answer'}") from None
