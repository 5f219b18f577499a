"""Addresses and round trips of a node's neighbours, as many programs give them."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from peerscope.records.texts import OverlayId

RTT_S_MAX = 600.0
RTT_US_MAX = 600_000_000
DETAILS_MAX = 32
NAMES_REFUSED = "names_refused"
"""The detail with the number of neighbours that have no valid name."""
Details = dict[str, float | str | None]
ADDRESS = re.compile(r"([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
ADDRESS_MAX = 80
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,6}}")


def is_address(text: str) -> bool:
    """Is it HOST:PORT, with a port that can be dialled?"""
    found = ADDRESS.fullmatch(text) if len(text) <= ADDRESS_MAX else None
    return found is not None and 0 < int(found[2]) < 65536


def is_overlay_id(text: str) -> bool:
    """Can it name a node on the map? Strangers choose the names of a node's neighbours."""
    try:
        text.encode()  # the pattern lets half of a surrogate pair pass
        msgspec.convert(text, OverlayId)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return False
    return True


def refusing(details: Mapping[str, float | str | None], names: int) -> Details:
    """The details, with the number of names refused if there are any."""
    known = dict(details)
    before = known.get(NAMES_REFUSED)
    if names and (before is not None or len(known) < DETAILS_MAX):
        known[NAMES_REFUSED] = float(names) + (before if isinstance(before, float | int) else 0.0)
    return known


def rtt_us(seconds: float | None) -> int | None:
    """A round trip in whole microseconds; None if it is unknown or absurd."""
    if seconds is None or not math.isfinite(seconds) or not 0.0 < seconds <= RTT_S_MAX:
        return None
    return max(1, round(seconds * 1e6))


def mean(seconds: Sequence[float]) -> float | None:
    """Mean of plausible round trips; None without any."""
    known = [one for one in seconds if rtt_us(one) is not None]
    return sum(known) / len(known) if known else None


def duration_s(text: str) -> float | None:
    """A duration as Go programs write it, such as "1m2.5s" or "519µs"; None for any other text."""
    if len(text) > 40 or _DURATION.fullmatch(text) is None:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def multiaddress(text: str) -> str | None:
    """ "HOST:PORT" of a multiaddress that is reached by TCP; None for all others."""
    parts = text.split("/")
    if len(parts) < 5 or parts[0] or parts[3] != "tcp" or "p2p-circuit" in parts:
        return None
    host = {"ip4": parts[2], "ip6": f"[{parts[2]}]"}.get(parts[1], parts[2] if parts[1].startswith("dns") else "")
    address = f"{host}:{parts[4]}"
    return address if is_address(address) else None


def reach(address: str) -> int:
    """Order of addresses: 0 for names and global ones, 1 for private ones, 2 for those of the same machine."""
    try:
        ip = ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return 0
    return 2 if ip.is_loopback else 0 if ip.is_global else 1
