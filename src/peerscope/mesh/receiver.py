"""Records of others on their way in: checked, kept, and passed on where they are news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from peerscope.errors import RemoteError
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.dissemination.hop_timing import whole_path, with_last_hop
from peerscope.mesh.dissemination.scopes import Scopes
from peerscope.mesh.events import Delivered, Hangup, Outbox, Stored
from peerscope.mesh.handshake import Handshake
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.members import Membership
from peerscope.mesh.messages import Aged, Push, Topic
from peerscope.mesh.publisher import Publisher
from peerscope.mesh.record_store import RecordStore
from peerscope.records.bodies import WORLD, Kind, Observations, Profile, Report
from peerscope.records.certificates import Revoked
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry
from peerscope.records.record import Record

ANSWER_S = 10.0
"""An answer that is older than this is no longer pushed."""


class Receiver:
    """What a peer does with the records it is given."""

    def __init__(
        self,
        record_store: RecordStore,
        admission: Admission,
        prober: Prober,
        membership: Membership,
        coordinates: Coordinates,
        scopes: Scopes,
        handshake: Handshake,
        publisher: Publisher,
        out: Outbox,
        refuse: Callable[[PeerId | None, str, float], None],
    ) -> None:
        """`refuse`: called with the neighbour that sent what is refused, the reason, and the time."""
        self._me = record_store.me
        self._record_store = record_store
        self._admission = admission
        self._prober = prober
        self._membership = membership
        self._coordinates = coordinates
        self._scopes = scopes
        self._handshake = handshake
        self._publisher = publisher
        self._out = out
        self._refuse = refuse
        self.copies: Counter[str] = Counter()
        """Record bodies received, pushed and announced, and how many of them were news."""
        self.hops: Counter[int] = Counter()
        """Hops that urgent news took to us."""

    def pushed(self, source: PeerId, push: Push, now: float) -> None:
        """Urgent news, or what was urgent to somebody. Raises `RemoteError` if the record is refused."""
        self._scopes.check(source, push.record.kind)
        entry = self._accept(push.record, push.age_ms, now, source)
        self.copies["pushed"] += 1
        if entry is not None:
            self.copies["pushed news"] += 1
            self.hops[len(push.path)] += 1
            sent_us = self._record_store.wall_us(now)
            hops_us = with_last_hop(push, sent_us, self._prober.ahead_s(source))
            path = whole_path(push, source, self._me)
            if path:
                self._out.add(Delivered(path, hops_us))
            self._scopes.of(push.record.kind).gossip.push(
                entry, now, hops=push.ttl - 1, path=push.path, source=source, hops_us=hops_us, sent_us=sent_us
            )

    def given(self, source: PeerId | None, items: Iterable[Aged], now: float) -> None:
        """Records that we asked for, or that `source` thinks we lack; None: kept by ourselves from an earlier time."""
        remember_ms = self._scopes.near.ledger.config.remember_s * 1000
        for item in sorted(items, key=lambda item: item.age_ms > remember_ms):  # those count if a later one does
            if source is not None and source not in self._prober.links:
                return  # it was banned for one of them
            try:
                self._scopes.check(source, item.record.kind)
                entry = self._accept(item.record, item.age_ms, now, source)
            except RemoteError as error:  # the others in the message may be good
                self._refuse(source, error.reason, now)
            else:
                self.copies["announced"] += 1
                if entry is not None:
                    self.copies["announced news"] += 1
                    self._pass_on(entry, source, now)

    def _pass_on(self, entry: Entry, source: PeerId | None, now: float) -> None:
        """Announce what we asked for. A late answer to accusations is urgent, however it came: those to whom it was
        pushed may have kept it."""
        gossip = self._scopes.of(entry.record.kind).gossip
        if isinstance(entry.body, Report) and entry.body.answers and now - entry.heard_at < ANSWER_S:
            gossip.push(entry, now, hops=1, source=source)
        else:
            gossip.spread(entry, now, source=source)

    def _accept(self, record: Record, age_ms: int, now: float, source: PeerId | None) -> Entry | None:
        """The entry if the record is news and true; None if it is known. Raises `RemoteError` otherwise."""
        if record.peer_id == self._me:
            if self._record_store.is_behind(record, now):
                self._publisher.outrun(record.kind, now)
            return None
        name, layer = ref(record.peer_id), self._scopes.of(record.kind)
        is_back = layer.ledger.is_buried(name)
        try:
            entry = self._record_store.accept(record, age_ms, now)
        except RemoteError:
            self._note(record, now)
            raise
        if is_back and source is not None and entry is not None:  # what it said before counts again
            layer.gossip.demand(source, [Topic(name, kind) for kind in Kind if kind not in WORLD | {record.kind}])
        if entry is not None:
            self._scopes.of(entry.record.kind).gossip.arrived(entry)
            self._out.add(Stored(entry))
            self._stored(entry, now)
        return entry

    def _note(self, record: Record, now: float) -> None:
        """A record that we refuse may accuse us, and others may have taken it: its author decides whom it sends what.

        Raises `RemoteError` if its origin did not sign it.
        """
        if record.kind == Kind.OBSERVATIONS and self._record_store.accuses_us(record):
            self._publisher.accused(record.peer_id, record.version, now)

    def _stored(self, entry: Entry, now: float) -> None:
        peer, body = entry.record.peer_id, entry.body
        if isinstance(body, Revoked):
            self._admission.learn(body.items, self._record_store.wall_ms(now))
        if entry.record.kind in WORLD:
            return
        self._membership.stored(entry, now)
        if isinstance(body, Report):
            self._coordinates.told(peer, body.coordinate)
        if isinstance(body, Profile) and body.left and peer in self._prober.links:
            self._out.add(Hangup(peer, "it left"))
            self._handshake.unlink(peer, "it left", now)
        elif isinstance(body, Observations) and any(o.subject == ref(self._me) for o in body.lost):
            self._publisher.refute(now)
