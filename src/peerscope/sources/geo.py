"""The country of an address, from the table inside the `iptocc` package or from an operator's own .mmdb file.

These tables list where an address is registered, which is mostly where it is used. So peers publish the result as
"country", apart from a region that the operator declares. The extra `geo` brings both libraries.
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
"""Returns the ISO 3166-1 code of a public address; None where the table has none."""


def country_table(database: str) -> Lookup:
    """Open a table of countries. `database`: path of an .mmdb file; empty for iptocc's table.

    Raises `ConfigError` if the file cannot be used. Without iptocc every country is None.
    """
    return _mmdb(database) if database else _iptocc


def country(addresses: Iterable[str], look_up: Lookup) -> str | None:
    """Find the one country of all our public "host:port" addresses; None without one."""
    hosts = (split_address(address, "address")[0] for address in addresses)
    found = {look_up(host) for host in hosts if is_public(host)} - {None}
    return found.pop() if len(found) == 1 else None


def is_public(host: str) -> bool:
    """Whether an address is public: not private, loopback, link-local, shared (RFC 6598) or for examples."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return False
    return address.is_global and not address.is_multicast


def _iptocc(host: str) -> str | None:
    try:
        from iptocc import country_code  # loads its table, so only with a public address
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
    """Read the country from a record of MaxMind and DB-IP (`country.iso_code`), or of IPinfo (`country_code`)."""
    if not isinstance(record, dict):
        return None
    of_country = record.get("country")
    return _code(of_country.get("iso_code") if isinstance(of_country, dict) else record.get("country_code"))


def _code(found: Any) -> str | None:
    return found if isinstance(found, str) and len(found) == 2 and found.isascii() and found.isupper() else None
