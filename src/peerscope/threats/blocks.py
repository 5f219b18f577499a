"""Block list: peers and addresses with which operators want no links.

An entry is a peer's id (its first 16 digits or more), an address, or an address prefix. The operator's own entries come
from the settings. Peers share others as signed records (`Blocks`), which count only if the settings trust their author.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.records.blocks import BLOCKS_MAX, Block, Blocks
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, PeerRef, ref, short
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature
from peerscope.views.snapshot import Snapshot

ID_DIGITS_MIN = 16
OWN = "the settings"


class Listed(Struct, frozen=True):
    """Why a peer or address is on a list."""

    entry: str
    reason: str
    by: tuple[str, ...]
    """Authors: "the settings", or short ids of trusted peers."""


class BlockList:
    """Own and trusted entries together."""

    def __init__(self, own: Sequence[str], shared: Iterable[tuple[PeerId, Blocks]] = ()) -> None:
        """Malformed entries of others are ignored; our own were checked when they were read."""
        self._ids: dict[str, Listed] = {}
        self._networks: dict[IPv4Network | IPv6Network, Listed] = {}
        for name in own:
            self._add(name, "", OWN)
        for author, blocks in shared:
            for block in blocks.blocks:
                self._add(block.name, block.reason, short(author))

    def __len__(self) -> int:
        return len(self._ids) + len(self._networks)

    def peer(self, peer: PeerId, addresses: Sequence[str] = ()) -> Listed | None:
        """Why a peer is listed, by its id or one of its addresses; None if it is not."""
        found = (listed for name in (peer.hex(), *addresses) if (listed := self.match(name)) is not None)
        return next(found, None)

    def match(self, remote: str) -> Listed | None:
        """Why a remote is listed: an id in hexadecimal, an address, or "host:port"."""
        if not self._ids and not self._networks:
            return None
        if (digits := identity(remote)) is not None:
            return next((listed for name, listed in self._ids.items() if digits.startswith(name)), None)
        address = host(remote)
        if address is None:
            return None
        return next((listed for network, listed in self._networks.items() if address in network), None)

    def _add(self, name: str, reason: str, by: str) -> None:
        digits, network = identity(name), None if identity(name) else _network(name)
        place: dict[object, Listed] = self._ids if digits else self._networks  # type: ignore[assignment]
        key = digits or network
        if key is None:
            return
        known = place.get(key)
        authors = tuple(sorted({by, *(known.by if known else ())}))
        place[key] = Listed(name, known.reason if known else reason, authors)


def identity(text: str) -> str | None:
    """The digits of an id; None for anything else."""
    digits = text.lower()
    is_id = ID_DIGITS_MIN <= len(digits) <= 64 and all(sign in "0123456789abcdef" for sign in digits)
    return digits if is_id else None


def host(text: str) -> IPv4Address | IPv6Address | None:
    """The address in "address", "address:port" or "[address]:port"."""
    for name in (text, text.rpartition(":")[0]):
        try:
            return ip_address(name.strip("[]"))
        except ValueError:
            continue
    return None


def checked(entries: Sequence[str], name: str) -> None:
    """Raise `ConfigError` that names the entry that is neither an id nor an address."""
    for entry in entries:
        if identity(entry) is None and _network(entry) is None:
            raise ConfigError(
                f"{name} has {entry!r}; must be {ID_DIGITS_MIN} or more hex digits of a peer's id, an address, or a "
                'prefix such as "192.0.2.0/24"'
            )
    if len(entries) > BLOCKS_MAX:
        raise ConfigError(f"{name} has {len(entries)} entries; at most {BLOCKS_MAX}")


def to_share(own: Sequence[str]) -> Blocks:
    """Our entries as a record."""
    return Blocks(tuple(Block(name) for name in own[:BLOCKS_MAX]))


def shared_by(snapshot: Snapshot, trusted: Iterable[PeerId]) -> list[tuple[PeerId, Blocks]]:
    """The lists of trusted peers of all zones."""
    found = ((peer, snapshot.global_ledger.get(peer, Kind.BLOCKS)) for peer in trusted)
    return [(peer, entry.body) for peer, entry in found if entry is not None and isinstance(entry.body, Blocks)]


class HeldLists:
    """Lists that count now. A list ends silently when the network forgets its author."""

    def __init__(self) -> None:
        self._entries: dict[PeerId, int] = {}

    def update(self, lists: Iterable[tuple[PeerId, Blocks]]) -> list[tuple[PeerId, int]]:
        """Authors whose lists are gone since the last call, with the number of entries. Not lists that became empty."""
        held = dict(lists)
        gone = [(author, entries) for author, entries in sorted(self._entries.items()) if author not in held]
        self._entries = {author: len(one.blocks) for author, one in held.items() if one.blocks}
        return gone


def bad_links(snapshot: Snapshot, blocks: BlockList, remotes: Iterable[str], signature: Signature) -> list[Finding]:
    """Our links, and connections of the monitored node, with listed peers and addresses."""
    if not len(blocks):
        return []
    found: dict[str, tuple[PeerId | str, str, Listed]] = {}
    report = snapshot.ledger.report(snapshot.me)
    for link in report.links if report else ():
        peer = snapshot.ledger.find(PeerRef(link.peer))
        profile = snapshot.ledger.profile(peer) if peer is not None else None
        if peer is not None and (listed := blocks.peer(peer, profile.addresses if profile else ())) is not None:
            found[ref(peer).hex()] = (peer, "mesh", listed)
    for remote in sorted(remotes):
        if (listed := blocks.match(remote)) is not None:
            found.setdefault(remote, (remote, "node", listed))
    return [
        finding(
            signature,
            subject,
            # Our own list is certain. Lists of others count more, the more of them agree.
            confidence=1.0 if OWN in listed.by else 1 - 0.3 ** len(listed.by),
            text=f"linked with {short(subject) if isinstance(subject, bytes) else subject}, listed as {listed.entry}",
            evidence=(("entry", listed.entry), ("listed_by", ", ".join(listed.by)), ("layer", layer))
            + ((("reason", listed.reason),) if listed.reason else ()),
        )
        for subject, layer, listed in found.values()
    ]


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
