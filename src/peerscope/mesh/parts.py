"""All parts of one peer, wired. A part gets the shared state and its own settings, and no other part."""

from __future__ import annotations

from collections import Counter
from random import Random

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.coordinates.sampling import Sampling
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.crawling.answers import CrawlAnswers
from peerscope.mesh.detection.doubts import Doubts
from peerscope.mesh.detection.links import Links, LocalHealth
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.dial_back import DialBack
from peerscope.mesh.dissemination.scopes import Scopes
from peerscope.mesh.events import Outbox
from peerscope.mesh.grid import Grid
from peerscope.mesh.handshake import Handshake
from peerscope.mesh.limits.rate_limit import OriginLimits
from peerscope.mesh.limits.reputation import Reputations
from peerscope.mesh.lookups import LookupAnswers, Lookups
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.membership.forgetting import Forgetting
from peerscope.mesh.membership.isolation import Isolation
from peerscope.mesh.membership.members import Membership
from peerscope.mesh.membership.neighbours import Neighbours
from peerscope.mesh.membership.shared_key import SharedKey, drawn
from peerscope.mesh.peer_state import Clocks, PeerState, VersionClock
from peerscope.mesh.publisher import Publisher
from peerscope.mesh.receiver import Receiver
from peerscope.mesh.revocation import Revocations
from peerscope.mesh.zoning.own_zone import OwnZone
from peerscope.mesh.zoning.remote_quota import RemoteQuota, remote_origins_max
from peerscope.records.identity import Signer
from peerscope.records.ledger import Ledger
from peerscope.records.record import Inspector


class Parts:
    """The parts of one peer. `routes.py` connects them."""

    def __init__(self, state: PeerState, config: PeerConfig, rng: Random, now: float, inspector: Inspector) -> None:
        me = state.me
        self.state = state
        self.neighbours = state.neighbours = Neighbours(me, config.links, rng)
        self.own_zone = state.own_zone = OwnZone(state, config.zones, now)
        self.membership = Membership(state, config.links.ring_hold_s)
        self.prober = Prober(state, rng)
        self.doubts = Doubts(state, config.gossip.fanout, rng)
        self.isolation = Isolation(state)
        self.coordinates = Coordinates(config.coordinates, rng)
        self.sampling = Sampling(me, config.coordinates, rng, now)
        self.scopes = Scopes(state, config.gossip, config.sync, rng, now)
        self.publisher = Publisher(state, config, rng, now)
        self.dial_back = DialBack(state, now)
        self.handshake = Handshake(state, config.links.linger_s)
        eviction = Eviction(state.ledger, me, config.network)
        remote_quota = RemoteQuota(state.ledger, state.global_ledger, me, config.trusted)
        self.receiver = Receiver(state, inspector, eviction, remote_quota, OriginLimits(config.limits))
        self.revocation = Revocations(state)
        self.forgetting = Forgetting(state, config.obeyed)
        self.crawl_answers = CrawlAnswers(config.crawl, state.ledger, me)
        self.lookup_answers = LookupAnswers(state, now)
        self.lookups = Lookups(state, inspector, rng)


def new_state(signer: Signer, config: PeerConfig, rng: Random, clocks: Clocks) -> PeerState:
    """The shared state of a new peer."""
    me = signer.peer_id
    links = Links(me, config.detector)
    return PeerState(
        signer=signer,
        detector=config.detector,
        out=Outbox(),
        refused=Counter(),
        ledger=Ledger(config.ledger),
        global_ledger=Ledger(remote_origins_max(config.ledger)),
        clock=VersionClock(clocks.wall_offset_s),
        admission=Admission(config.network, me, rng),
        reputations=Reputations(config.limits),
        shared_key=SharedKey(me, drawn(rng), clocks.now),
        links=links,
        local_health=LocalHealth(config.detector, links),
        grid=Grid(me),
    )
