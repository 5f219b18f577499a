"""What a peer tells of itself. So many series, whatever others say: by our tables, and `LINKS_MAX` neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import HistogramMetricFamily, Metric

from peerscope import __version__
from peerscope.agent.monitor import Monitor
from peerscope.export.families import PREFIX, counters, counts, gauge, gauges, info, measured, states
from peerscope.history.schema import FILE
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import CHECKS, LINKS_MAX, RATIO_ONE, Status
from peerscope.records.identity import ref
from peerscope.views.metrics import metrics_view

if TYPE_CHECKING:  # an extra: most agents do not have it
    from peerscope.export.remote_write import RemoteWrite

HOPS_MAX = 16
"""Buckets of the histogram of hops; the last holds what went further."""


def own(monitor: Monitor) -> Iterator[Metric]:
    """Everything about this peer."""
    yield from _who(monitor)
    yield from _health(monitor)
    yield from _links(monitor.peer)
    yield from _messages(monitor.peer)
    yield counts(
        "transport_failures", "What the transport dropped, or tried in vain.", "reason", monitor.transport.counters
    )
    yield counts("look_failures", "Looks of this agent that failed.", "look", monitor.failure_log.failures)
    refused = monitor.node.telemetry.refused
    yield counts("telemetry_refused", "Events of the node that were refused.", "reason", refused)
    yield from _kept(monitor)
    ends = [((one.what,), one.ends_at) for one in monitor.endings()]
    yield gauges("certificate_end_timestamp_seconds", "When this peer's certificates end.", ("setting",), ends)
    if monitor.exports.remote_write is not None:
        yield from _written(monitor.exports.remote_write)
    if monitor.exports.otlp is not None:
        yield counters("traces_exported", "Ways of messages told as traces.", (), [((), monitor.exports.otlp.told)])


def _who(monitor: Monitor) -> Iterator[Metric]:
    me, profile = monitor.self_view(), monitor.peer.ledger.profile(monitor.peer.me)
    yield info("build", "The program.", version=__version__, python=sys.version.split()[0])
    said = {"region": me.region, "zone": profile.zone if profile else None, "node": me.node}
    known = {name: value for name, value in said.items() if value}
    yield info("agent", "This peer.", peer_id=me.peer_id, network=me.network, **known)
    yield gauge("uptime_seconds", "Since the agent started.", me.uptime_s)
    with contextlib.suppress(RuntimeError):  # remote write collects in the loop as well, tests need not
        yield gauge("agent_tasks", "Work that runs in the agent's event loop.", len(asyncio.all_tasks()))


def _health(monitor: Monitor) -> Iterator[Metric]:
    report = monitor.snapshot().fresh_report(monitor.peer.me)
    if report is None:
        return
    yield states("status", "How this peer says it is.", (), [((), report.status.name.lower())])
    checks = list(zip(CHECKS, report.checks, strict=False))
    said = [((name,), Status(check.status).name.lower()) for name, check in checks]
    yield states("check_status", "Outcome of each health check.", ("check",), said)
    ratios = [((name,), None if check.ratio is None else check.ratio / RATIO_ONE) for name, check in checks]
    yield gauges("check_ratio", "What each health check measured.", ("check",), ratios)
    yield gauge("links_expected", "Neighbours that this peer should be linked to.", report.expected)
    if report.metrics is not None:
        yield from measured("", [((), metrics_view(report.metrics))])


def _links(core: Peer) -> Iterator[Metric]:
    links = [(ref(peer).hex(), link) for peer, link in sorted(core.links.items()) if link.is_up]
    yield gauge("links", "Neighbours that this peer hears.", len(links))
    rtts = [((name,), link.rtt.smoothed_s) for name, link in links[:LINKS_MAX]]
    yield gauges("link_rtt_seconds", "Smoothed round-trip time to each neighbour.", ("neighbour",), rtts)
    losses = [((name,), link.loss_ratio) for name, link in links[:LINKS_MAX]]
    yield gauges("link_loss_ratio", "Share of pings to each neighbour without an answer.", ("neighbour",), losses)


def _messages(core: Peer) -> Iterator[Metric]:
    yield counts("mesh_sent_messages", "Messages to other agents.", "type", core.out.messages)
    yield counts("mesh_sent_bytes", "Bytes to other agents, before QUIC adds its own.", "type", core.out.bytes)
    yield counts("mesh_received_messages", "Messages of other agents that were understood.", "type", core.received)
    heard = [((), float(core.heard_bytes))]
    yield counters("mesh_received_bytes", "Bytes from other agents, before QUIC adds its own.", (), heard)
    yield counts("mesh_refused", "Messages and records of others that were refused.", "reason", core.refused)
    ways = [(way, core.copies[way], core.copies[f"{way} news"]) for way in ("pushed", "announced")]
    copies = [((way, use), float(n)) for way, all_, news in ways for use, n in (("news", news), ("known", all_ - news))]
    yield counters("gossip_records", "Records received, by way, and whether they were news.", ("way", "use"), copies)
    yield _hops(core.hops)
    wanted = core.parts.scopes.near.gossip.wanted
    yield gauge("gossip_wanted_records", "Records that were announced and have not come yet.", wanted)


def _hops(hops: Mapping[int, int]) -> Metric:
    by_far = [0] * (HOPS_MAX + 1)
    for far, count in hops.items():
        by_far[min(far, HOPS_MAX)] += count
    ends = [*(f"{far}.0" for far in range(1, HOPS_MAX)), "+Inf"]
    buckets = [(end, float(count)) for end, count in zip(ends, list(accumulate(by_far))[1:], strict=True)]
    family = HistogramMetricFamily(f"{PREFIX}gossip_push_hops", "Hops that urgent news took to this peer.")
    family.add_metric([], buckets, float(sum(far * count for far, count in hops.items())))
    return family


def _kept(monitor: Monitor) -> Iterator[Metric]:
    ledger, global_ledger = monitor.peer.ledger, monitor.peer.global_ledger
    yield gauge("ledger_peers", "Peers of which records are kept.", len(ledger))
    yield gauge("ledger_records", "Records that are kept.", (ledger.counts + global_ledger.counts).total())
    proofs = len(ledger.proofs) + len(global_ledger.proofs)
    yield gauge("ledger_equivocations", "Proofs that a peer contradicted itself.", proofs)
    if monitor.recorder is not None:
        with contextlib.suppress(OSError):  # its journal may go at any time
            sizes = [place.stat().st_size for place in monitor.state.path.glob(f"{FILE}*")]
            yield gauge("history_size_bytes", "The history on disk, its journal included.", sum(sizes) or None)


def _written(writer: RemoteWrite) -> Iterator[Metric]:
    samples, delivery = "Samples of remote write, by what became of them.", writer.delivery
    yield counts("remote_write_samples", samples, "outcome", writer.samples)
    aside = {reason: found.samples for reason, found in delivery.aside.items()}
    yield counts("remote_write_aside_samples", "Samples that the receiver does not take.", "reason", aside)
    yield counts("remote_write_requests", "Requests of remote write, by outcome.", "outcome", delivery.requests)
    yield gauge("remote_write_queue_bytes", "What waits on disk for the receiver.", writer.queue_bytes)
    yield gauge("remote_write_queue_samples", "Samples that wait on disk for the receiver.", writer.queue_samples)
    held = "Of them, samples dated after the network's clock, which wait until it gets there."
    yield gauge("remote_write_held_samples", held, delivery.held)
    yield gauge("remote_write_elected", "1 while this peer writes what it sees of the network.", writer.is_elected)
    last = delivery.sent_at
    yield gauge("remote_write_last_sent_timestamp_seconds", "When the receiver last took samples.", last)
