"""Zones: parts of a network so small that everybody in one may know everybody else in it.

A zone is a region, cut by the leading bits of its members' hashed ids where it is too large: `eu/` is all of region
eu, `eu/01` the second quarter of it. Regions with too few members for a zone of their own share `*/`. The network that
is not cut at all is the zone "". Every rule here is a pure function of what all members of a zone know, so that they
decide alike; whoever was late to learn something decides so a moment later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.records.identity import PeerId

WHOLE = ""
"""The zone of a network that is not cut."""
OTHERS = "*"
"""In the place of a region: all that are too small for zones of their own, and peers without any."""
REGION_CHARACTERS_MAX = 40
"""A longer name stands in a zone's name as a hash, so that this and sixteen bits fit a `Name`."""
BITS_MAX = 16
MEMBERS_MIN = 8
"""Fewer cannot watch each other well: each would have all others as neighbours."""

Counts = Mapping[str, int]
"""Members by zone, as its aggregators say."""
Members = Mapping[PeerId, str | None]
"""The region of each member of a zone."""


class ZoneConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a network is cut into zones."""

    zone_max: int = 2_000
    """Members of a zone; with more it is cut. The same for all peers of a network."""
    hold_s: float = 30.0
    """So long a reason to cut or to join must last."""
    grace_s: float = 60.0
    """So long the members of the zone one has left are remembered."""
    summary_interval_s: float = 30.0
    """Between two summaries of an aggregator."""

    def __post_init__(self) -> None:
        if self.zone_max < 2 * MEMBERS_MIN:
            raise ConfigError(f"zones.zone_max is {self.zone_max}; must be {2 * MEMBERS_MIN} or more")
        if not 1 <= self.summary_interval_s <= 3600:
            raise ConfigError(f"zones.summary_interval_s is {self.summary_interval_s}; must lie between 1 and 3600")
        if not 0 < self.hold_s <= 3600 or not 0 < self.grace_s <= 86_400:
            raise ConfigError("zones.hold_s and zones.grace_s must be above 0")

    @property
    def zone_min(self) -> int:
        """Members that a region needs for a zone of its own."""
        return max(MEMBERS_MIN, self.zone_max // 10)


def zone_name(region: str | None, bits: str = "") -> str:
    """The name of a region's part."""
    if not region:
        region = OTHERS
    elif len(region) > REGION_CHARACTERS_MAX or region == OTHERS:
        region = "#" + blake2b(region.encode(), digest_size=8).hexdigest()
    return f"{region}/{bits}"


def parsed(zone: str) -> tuple[str, str] | None:
    """Region and bits of a zone's name; None if it is the whole network, or no such name."""
    region, slash, bits = zone.rpartition("/")
    if not slash or not region or len(bits) > BITS_MAX or set(bits) - {"0", "1"}:
        return None
    return region, bits


def bits_of(peer: PeerId) -> str:
    """Where hashing puts a peer among the parts of its region."""
    return f"{int.from_bytes(blake2b(b'zone' + peer, digest_size=2).digest(), 'big'):0{BITS_MAX}b}"


def home(peer: PeerId, region: str | None, zones: Iterable[str]) -> str:
    """Where a peer belongs: the most special of the zones that exist; the whole where there are none."""
    existing = [found for name in zones if (found := parsed(name)) is not None]
    if not existing:
        return WHOLE
    key = _key(region)
    if key not in {there for there, _ in existing}:
        key = OTHERS
    ours, parts = bits_of(peer), {bits for there, bits in existing if there == key}
    fitting = [bits for bits in parts if ours.startswith(bits)]
    # Where nothing is known of the part that fits, the others tell how finely the region is cut.
    bits = max(fitting, key=len) if fitting else ours[: min(map(len, parts), default=0)]
    return f"{key}/{bits}"


def redrawn(zone: str, members: Members, known: Counts, config: ZoneConfig) -> frozenset[str] | None:
    """The zones that there should be instead, as far as the members of `zone` have a say in it; None: all is well.

    `members`: those who state it, and those who stated it lately and are in a part of it now. `known`: all zones that
    have aggregators, the whole network among them while another part of the network still is in one piece.
    """
    there = parsed(zone)
    others = {name: count for name, count in known.items() if name != zone}
    apart = frozenset(name for name in others if parsed(name))
    size, total = len(members), len(members) + sum(others.values())
    if there is None:
        if total > config.zone_max:
            return apart | _large(members, config.zone_min) | {f"{OTHERS}/"}
        return apart if apart and total - size >= size else None
    region, bits = there
    beyond = others.get(WHOLE, 0)
    if total <= config.zone_max // 2 or (total <= config.zone_max and beyond > total - beyond):
        return frozenset()
    if region == OTHERS and (grown := _large(members, 2 * config.zone_min)):
        return apart | grown | {zone}
    if size > config.zone_max and len(bits) < BITS_MAX:
        return apart | {f"{zone}0", f"{zone}1"}
    if bits:
        parent = f"{region}/{bits[:-1]}"
        beside = {name: count for name, count in others.items() if name.startswith(parent)}
        if size + sum(beside.values()) <= config.zone_max // 2:
            return (apart - set(beside)) | {parent}
    elif region != OTHERS and size < config.zone_min // 2:
        return apart | {f"{OTHERS}/"} if not any(name.startswith(f"{OTHERS}/") for name in apart) else apart
    return None


def is_within(part: str, zone: str) -> bool:
    """The zone itself, or one that came of cutting it."""
    if zone in (WHOLE, part):
        return True
    found, there = parsed(part), parsed(zone)
    if found is None or there is None:
        return False
    return found[0] == there[0] and found[1].startswith(there[1])


def _key(region: str | None) -> str:
    return zone_name(region).removesuffix("/")


def _large(members: Members, least: int) -> frozenset[str]:
    """The zones of regions with so many members or more."""
    counts = Counter(zone_name(region) for region in members.values() if region is not None)
    return frozenset(zone for zone, count in counts.items() if count >= least)
