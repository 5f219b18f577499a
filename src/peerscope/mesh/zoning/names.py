"""Zones: parts of a network that are small enough for all members to know each other.

A zone is a region. The leading bits of its members' hashed ids cut a large region: `eu/` is all of region eu, `eu/01`
its second quarter. Small regions share `*/`. The zone "" is a network that is not cut. Every rule here is a pure
function of the knowledge of all members, so they decide alike, sooner or later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.records.identity import PeerId

WHOLE = ""
"""The zone of the whole network."""
OTHERS = "*"
"""Instead of a region: all small regions, and peers without a region."""
REGION_CHARACTERS_MAX = 40
"""A zone has the hash of a longer region, so that its name with sixteen bits fits a `Name`."""
BITS_MAX = 16
MEMBERS_MIN = 8
"""Fewest members of a zone. Among fewer, each would have all others as neighbours."""

Counts = Mapping[str, int]
"""Members by zone, as its aggregators report."""
Members = Mapping[PeerId, str | None]
"""The region of each member of a zone."""


class ZoneConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules for cutting a network into zones."""

    zone_max: int = 2_000
    """Most members of a zone before it is cut. All peers of a network need the same value."""
    hold_s: float = 30.0
    """A reason to cut or to join must last so long."""
    grace_s: float = 60.0
    """A peer remembers the members of its previous zone for so long."""
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
    """The bits of a peer, which select the part of its region."""
    return f"{int.from_bytes(blake2b(b'zone' + peer, digest_size=2).digest(), 'big'):0{BITS_MAX}b}"


def home(peer: PeerId, region: str | None, zones: Iterable[str]) -> str:
    """The zone of a peer: the narrowest of the existing ones, or the whole network."""
    existing = [found for name in zones if (found := parsed(name)) is not None]
    if not existing:
        return WHOLE
    key = _key(region)
    if key not in {there for there, _ in existing}:
        key = OTHERS
    ours, parts = bits_of(peer), {bits for there, bits in existing if there == key}
    fitting = [bits for bits in parts if ours.startswith(bits)]
    # If the fitting part is unknown, the other parts show the depth of the cut.
    bits = max(fitting, key=len) if fitting else ours[: min(map(len, parts), default=0)]
    return f"{key}/{bits}"


def redrawn(zone: str, members: Members, known: Counts, config: ZoneConfig) -> frozenset[str] | None:
    """The zones that should replace `zone`, as far as its members decide that; None for no change.

    `members`: those that state it, and those that moved to a part of it. `known`: all zones with aggregators, also the
    whole network while some part of it is not cut yet.
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
    """`part` is the zone itself, or a part of it."""
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
