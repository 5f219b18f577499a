"""The country of an address, by a table: the one inside the `iptocc` package, or an operator's own .mmdb file.

Tables of address ranges say where an address is registered, which is mostly where it is used. What comes from here is
therefore published as "country", never as if the operator had said it. Both libraries are in the extra `geo`.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

from peerscope.errors import ConfigError
from peerscope.host.addresses import split_address
from peerscope.host.extras import brought_by

log = logging.getLogger(__name__)

Lookup = Callable[[str], str | None]
"""The ISO 3166-1 code of a public address, where the table knows it."""


def country_table(database: str) -> Lookup:
    """A table to look countries up in. `database`: path of an .mmdb file; empty for iptocc's.

    Raises `ConfigError` if the file cannot be used. Without iptocc there are no countries, and no error.
    """
    return _mmdb(database) if database else _iptocc


def country(addresses: Iterable[str], look_up: Lookup) -> str | None:
    """The country that the public ones of our own "host:port" addresses agree on; None without one."""
    hosts = (split_address(address, "address")[0] for address in addresses)
    found = {look_up(host) for host in hosts if is_public(host)} - {None}
    return found.pop() if len(found) == 1 else None


def is_public(host: str) -> bool:
    """An address of the internet: not private, loopback, link-local, shared by a carrier (RFC 6598) or for examples."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return False
    return address.is_global and not address.is_multicast


def _iptocc(host: str) -> str | None:
    try:
        from iptocc import country_code  # loads its table: only for who has a public address
    except ImportError:
        log.debug("no country for %s: the extra `geo` is not installed", host)
        return None
    return _code(country_code(host))


def _mmdb(path: str) -> Lookup:
    with brought_by("geo", "peer.geo_database"):
        import maxminddb
    try:
        reader = maxminddb.open_database(path)
    except OSError as error:
        raise ConfigError(f"peer.geo_database is {path!r}: cannot be read: {error.strerror or error}") from None
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise ConfigError(f"peer.geo_database is {path!r}: not an .mmdb file, or a damaged one") from None

    def look_up(host: str) -> str | None:
        try:
            return _recorded(reader.get(host))
        except ValueError:  # a table of IPv4 only
            return None
        except maxminddb.InvalidDatabaseError as error:
            log.warning("peer.geo_database %s is damaged: %s", path, error)
            return None

    return look_up


def _recorded(record: Any) -> str | None:
    """The country in a record as MaxMind and DB-IP write it (`country.iso_code`), or IPinfo (`country_code`)."""
    if not isinstance(record, dict):
        return None
    of_country = record.get("country")
    return _code(of_country.get("iso_code") if isinstance(of_country, dict) else record.get("country_code"))


def _code(found: Any) -> str | None:
    return found if isinstance(found, str) and len(found) == 2 and found.isascii() and found.isupper() else None
