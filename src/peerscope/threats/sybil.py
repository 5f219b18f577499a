"""Sybil attack: many identities of one operator that join together (Douceur 2002, "The Sybil Attack").

Honest peers join here and there; an attacker has few address prefixes, or grinds ids near one place.

*Prefixes.* The more of the network a prefix holds, the more of the new peers it should get. Each join changes the
expectation of the next. So the number is not Poisson-distributed but drawn from Polya's urn; for few joins the two are
equal. After an outage all peers join at once. The first ones then decide where the crowd is, which the urn expects. One
joiner is free everywhere: some peer is the first of a prefix. Joins are counted over the window, and over a longer one
for slow attackers.

*Fingerprints.* If a prefix is unlikely already, joiners that look alike, while others do not, add to it (Fisher's
method).

*Ids.* A scan over the circle of ids finds joiners whose ids are too near to each other.

All chances of one evaluation are corrected together (Benjamini and Hochberg), so that at most `false_discovery` of the
findings are chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.threats.chance import belief, binomial_tail, discoveries, fisher, poisson_tail, urn_tail
from peerscope.threats.findings import Finding, finding
from peerscope.threats.peer_ages import KnownPeer
from peerscope.threats.signatures import Signature

SLOWLY = 36
"""Windows in the longer window, for peers that join one by one."""
CIRCLE = 2**64
RUNS = (5, 8, 12, 20, 32)
"""Numbers of neighbouring ids that the scan tests."""
UNLIKELY = 0.01
STANDS_S = 3600.0
"""How long a finding stands after the last detection, while enough members are there."""


class SybilGroup(Struct, frozen=True):
    """Joiners with a common property, and its chance."""

    name: str
    peers: frozenset[PeerId]
    chance: float
    text: str
    evidence: tuple[tuple[str, object], ...]


class Sybils:
    """Detected groups, which stand for a while although their members grow old."""

    def __init__(self) -> None:
        self._standing: dict[str, tuple[Finding, frozenset[PeerId], float]] = {}

    def find(self, members: Sequence[KnownPeer], signature: Signature, now: float) -> list[Finding]:
        """Update the groups, and return all standing findings."""
        for group, share in suspicious(members, signature):
            found = _finding(group, share, signature)
            known = self._standing.get(group.name)
            if known is not None and known[0].confidence > found.confidence:
                found = known[0]
            peers = group.peers | (known[1] if known else frozenset())
            self._standing[group.name] = (found, peers, now + STANDS_S)
        here = {member.peer for member in members}
        self._standing = {
            name: (found, peers, until)
            for name, (found, peers, until) in self._standing.items()
            if now < until and len(peers & here) >= signature.samples_min
        }
        return [found for found, _, _ in self._standing.values()]


def suspicious(members: Sequence[KnownPeer], signature: Signature) -> list[tuple[SybilGroup, float]]:
    """Groups that are too unlikely, with the share of false ones among them."""
    groups: dict[str, SybilGroup] = {}
    for window_s in (signature.window_s, SLOWLY * signature.window_s):
        joined = [member for member in members if member.age_s < window_s]
        if len(joined) >= signature.samples_min:
            for group in _by_prefix(members, joined, signature.samples_min) + _by_id(joined, signature.samples_min):
                known = groups.get(group.name)
                if known is None or group.chance < known.chance:
                    groups[group.name] = group
    shares = discoveries([min(1.0, 2 * group.chance) for group in groups.values()])  # the better of two windows
    return [
        (group, share)
        for group, share in zip(groups.values(), shares, strict=True)
        if share <= signature.false_discovery and len(group.peers) >= signature.samples_min
    ]


def _by_prefix(members: Sequence[KnownPeer], joined: Sequence[KnownPeer], least: int) -> list[SybilGroup]:
    sizes = Counter(member.prefix for member in members if member.prefix is not None)
    joiners: defaultdict[str, list[KnownPeer]] = defaultdict(list)
    for member in joined:
        if member.prefix is not None:
            joiners[member.prefix].append(member)
    arrived = sum(map(len, joiners.values()))
    settled = sizes.total() - arrived
    found = []
    for prefix, here in sorted(joiners.items()):
        count, before = len(here), sizes[prefix] - len(here)
        if count < least:  # too few to accuse, but it counts as a test
            found.append(SybilGroup(prefix, frozenset(), 1.0, "", ()))
            continue
        first = before == 0
        chance = urn_tail(count - first, arrived - first, before + first, settled + first)
        expected = first + (arrived - first) * (before + first) / (settled + first)
        alike, likeness = _likeness(here, members)
        # Neighbours in a network often look alike: that supports other evidence, but is none by itself.
        if chance <= UNLIKELY:
            chance = min(1.0, 2 * min(chance, fisher((chance, likeness))))
        evidence = (
            ("identities", count),
            ("expected", f"{expected:.2g}"),
            ("there_before", before),
            ("alike", alike),
            ("youngest_s", f"{min(member.age_s for member in here):.0f}"),
        )
        text = f"{count} identities joined from {prefix}, {expected:.2g} were expected; {alike} look alike"
        found.append(SybilGroup(prefix, frozenset(member.peer for member in here), chance, text, evidence))
    return found


def _likeness(here: Sequence[KnownPeer], members: Sequence[KnownPeer]) -> tuple[int, float]:
    """How many of a group look alike, and the chance of that from the share of others that do."""
    ours = {member.peer for member in here}
    look, alike = Counter(member.fingerprint for member in here).most_common(1)[0]
    others = [member for member in members if member.peer not in ours]
    share = (sum(member.fingerprint == look for member in others) + 1) / (len(others) + 2)
    return alike, binomial_tail(alike - 1, len(here) - 1, share)


def _by_id(joined: Sequence[KnownPeer], least: int) -> list[SybilGroup]:
    """The least likely range of ids with many joiners, of a few lengths."""
    places = sorted((int.from_bytes(member.peer[:8], "big"), member.peer) for member in joined)
    count = len(places)
    lengths = [length for length in RUNS if least <= length < count]
    found: list[tuple[float, int, int, int]] = []
    for length in lengths:
        ends = ((at, (at + length - 1) % count) for at in range(count))
        arc, at = min(((places[end][0] - places[at][0]) % CIRCLE, at) for at, end in ends)
        # Any joiner may begin a range; the others then fall into it by chance.
        chance = min(1.0, len(lengths) * count * poisson_tail(length - 1, count * arc / CIRCLE))
        found.append((chance, length, at, arc))
    if not found:
        return []
    chance, length, at, arc = min(found)
    first = places[at][1].hex()[:8]
    text = f"{length} ids that joined lie within {arc / CIRCLE:.1e} of all ids, from {first} on"
    evidence = (("identities", length), ("arc", f"{arc / CIRCLE:.1e}"), ("expected", f"{count * arc / CIRCLE:.1e}"))
    peers = frozenset(places[(at + step) % count][1] for step in range(length))
    return [SybilGroup(f"ids-{first}", peers, chance, text, evidence)]


def _finding(group: SybilGroup, share: float, signature: Signature) -> Finding:
    return finding(
        signature,
        group.name,
        confidence=belief(share),
        text=group.text,
        evidence=(*group.evidence, ("false_discovery", f"{share:.1e}")),
        scope="network",
    )
