"""The state of this peer, and the signals of rules about it: named, pure functions from that state to readings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.expiry import Expiry, certificate_reading, file_reading
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.overlay import NEIGHBOURS, overlay_neighbours
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import CHECKS, RATIO_ONE, Check, Status
from peerscope.records.certificates import Certificate
from peerscope.records.measures import Metrics
from peerscope.views.partitions import Partition
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot

OTHERS_MIN = 4
"""If fewer other peers are known, few links are normal."""
USUAL_RTT_S_MIN = 0.02
"""Least value of a usual round trip: three times a tenth of a millisecond is no problem."""
USUAL_BYTES_S_MIN = 10_000
"""A usual throughput below this is only the gossip of an idle agent."""
STEP_S = 60.0
STEPS_MIN = 10
"""Minutes with data before there is a usual value."""
STEPS_MAX = 1440
STEP_VALUES_MAX = 120


class OwnFacts(Struct, frozen=True):
    """Facts that only the agent can measure of itself; an event for the core."""

    routes: tuple[tuple[str, float], ...] = ()
    """Routes with enough messages, and the 95th percentile of their latency in seconds."""
    trouble: str | None = None
    """Why the history cannot be written, if so."""
    files: tuple[Expiry, ...] = ()
    """Files that expire: the dashboard's certificate."""
    export_trouble: str | None = None
    """Why the remote write receiver does not take samples, if so."""
    kills: int | None = None
    """Processes of ours that the kernel killed for lack of memory in the last minutes."""
    kills_text: str = ""


class Own(OwnFacts, frozen=True):
    """The state of this peer now. Values that are not measured are None."""

    checks: tuple[Check, ...] = ()
    """The last health checks in the order of `CHECKS`; the sixth only if a node is attached."""
    metrics: Metrics = Metrics()
    linked: int = 0
    """Number of peers with a link that is up."""
    rtt_s: float | None = None
    """Median round trip of these links."""
    loss_ratio: float | None = None
    """Median loss of these links."""
    relayed_ratio: float | None = None
    """Share of relayed links among those of which it is known."""
    overlay: frozenset[str] = frozenset()
    """Ids of the neighbours of the attached node when it last named any."""
    certificate: Certificate | None = None
    """Our own, if any."""
    lapsed: tuple[Certificate, ...] = ()
    """Expired certificates of members that this peer dropped."""


def own_state(peer: Peer, facts: OwnFacts) -> Own:
    """Combine the state of the protocol with values that only the agent has."""
    checks, metrics = peer.reporter.latest
    up = [link for link in peer.links.values() if link.is_up]
    rtts_s = [rtt_s for link in up if (rtt_s := link.rtt.smoothed_s) is not None]
    losses = [ratio for link in up if (ratio := link.loss_ratio) is not None]
    relayed = [link.via_relay for link in up if link.via_relay is not None]
    return Own(
        checks=checks,
        metrics=metrics or Metrics(),
        linked=len(up),
        rtt_s=median(rtts_s) if rtts_s else None,
        routes=facts.routes,
        trouble=facts.trouble,
        loss_ratio=median(losses) if losses else None,
        relayed_ratio=sum(relayed) / len(relayed) if relayed else None,
        overlay=frozenset(link.node for link in peer.reporter.known_overlay),
        certificate=peer.admission.certificate,
        lapsed=peer.admission.lapsed.certificates,
        files=facts.files,
        export_trouble=facts.export_trouble,
        kills=facts.kills,
        kills_text=facts.kills_text,
    )


class UsualLevel:
    """The usual value of one quantity: the median of the last day, one value a minute. `now` is monotonic seconds.

    A median does not follow a spike, and a day of it hardly follows an hour of trouble: a rise stays a rise.
    """

    def __init__(self) -> None:
        self.usual: float | None = None
        """None until there are ten minutes with data."""
        self._minutes: deque[float] = deque(maxlen=STEPS_MAX)
        self._minute: list[float] = []
        self._ends_at = inf

    def note(self, value: float | None, now: float) -> None:
        """Add a value measured now; None if it could not be measured."""
        if now >= self._ends_at:
            self._minutes.append(median(self._minute))
            self._minute, self._ends_at = [], inf
            if len(self._minutes) >= STEPS_MIN:
                self.usual = median(self._minutes)
        if value is None:
            return
        if not self._minute:
            self._ends_at = now + STEP_S
        if len(self._minute) < STEP_VALUES_MAX:
            self._minute.append(value)


class SignalContext(Struct, frozen=True):
    """The input of all signals."""

    snapshot: Snapshot
    own: Own = Own()
    usual_rtt_s: float | None = None
    usual_bytes_s: float | None = None
    regions: Sequence[RegionHealth] = ()
    groups: Sequence[tuple[str, Partition]] = ()
    """Partitions with their names."""


Signal = Callable[[SignalContext], Iterable[ConditionReading]]


def _cpu(sight: SignalContext) -> Iterator[ConditionReading]:
    cpu = sight.own.metrics.system.cpu
    value = _ratio("cpu", sight.own) if cpu is None else cpu / RATIO_ONE
    yield ConditionReading(value, text=_text(value, "{:.0%} of all cores busy"))


def _memory(sight: SignalContext) -> Iterator[ConditionReading]:
    system = sight.own.metrics.system
    value = _part(system.memory_used_kib, system.memory_total_kib)
    checked = _ratio("memory", sight.own)
    if checked is not None and (value is None or checked > value):  # a container can also run out of processes
        text = sight.own.checks[CHECKS.index("memory")].message
        yield ConditionReading(checked, text=text or _text(checked, "{:.0%} of this machine's memory used"))
        return
    yield ConditionReading(value, text=_text(value, "{:.0%} of this machine's memory used"))


def _storage(sight: SignalContext) -> Iterator[ConditionReading]:
    value = _ratio("storage", sight.own)  # the check knows the space that the system reserves
    system = sight.own.metrics.system
    value = _part(system.disk_used_kib, system.disk_total_kib) if value is None else value
    yield ConditionReading(value, text=_text(value, "{:.1%} of the disk used"))


def _network(sight: SignalContext) -> Iterator[ConditionReading]:
    value = _ratio("network", sight.own)
    yield ConditionReading(value, text=_text(value, "{:.1%} of this machine's packets had errors or were dropped"))


def _p2p(sight: SignalContext) -> Iterator[ConditionReading]:
    check = _check("p2p", sight.own)
    value = _ratio("p2p", sight.own)
    yield ConditionReading(value, text=(check and check.message) or _text(value, "{:.0%} of neighbours reachable"))


def _status_of(name: str) -> Signal:
    """The signal of one check: 0 healthy, 1 degraded, 2 unhealthy; unknown if it could not run."""

    def status(sight: SignalContext) -> Iterator[ConditionReading]:
        check = _check(name, sight.own)
        if check is not None:
            value = None if check.status == Status.UNKNOWN else float(check.status)
            yield ConditionReading(value, text=check.message or "")

    return status


def _node_status(sight: SignalContext) -> Iterator[ConditionReading]:
    """Without a node there is no reading. The metadata counts peers whose nodes were neighbours of this one."""
    for reading in _status_of("node")(sight):
        around = overlay_neighbours(sight.snapshot, sight.snapshot.me, sight.own.overlay) if reading.value else ()
        yield replace(reading, metadata=((NEIGHBOURS, str(len(around))),)) if around else reading


def _node_degraded(sight: SignalContext) -> Iterator[ConditionReading]:
    """Some sources of the node answer, others do not. A node that is down has an alert of its own."""
    for reading in _status_of("node")(sight):
        degraded = None if reading.value is None else float(reading.value == Status.DEGRADED)
        yield replace(reading, value=degraded)


def _loss(sight: SignalContext) -> Iterator[ConditionReading]:
    value = sight.own.loss_ratio
    yield ConditionReading(value, text=_text(value, "half of the links lose {:.1%} of pings or more"))


def _relayed(sight: SignalContext) -> Iterator[ConditionReading]:
    value = sight.own.relayed_ratio
    yield ConditionReading(value, text=_text(value, "{:.0%} of the links go through a relay"))


def _linked(sight: SignalContext) -> Iterator[ConditionReading]:
    """Read only if there are enough other peers that are neither down nor left."""
    snapshot, linked = sight.snapshot, sight.own.linked
    if linked >= OTHERS_MIN:
        yield ConditionReading(float(linked))  # enough: no need to compute all verdicts
        return
    gone = (Verdict.DOWN, Verdict.LEFT)
    others = sum(found.verdict not in gone for peer, found in snapshot.evidence.items() if peer != snapshot.me)
    if others >= OTHERS_MIN:
        yield ConditionReading(float(linked), text=f"linked to {linked} of {others} other peers")


def _rtt(sight: SignalContext) -> Iterator[ConditionReading]:
    value = sight.own.rtt_s
    yield ConditionReading(value, text=_text(value, "median round trip {:.3f} s"))


def _rtt_rise(sight: SignalContext) -> Iterator[ConditionReading]:
    value, usual = sight.own.rtt_s, sight.usual_rtt_s
    if usual is not None:
        times = None if value is None else value / max(usual, USUAL_RTT_S_MIN)
        yield ConditionReading(times, text=_text(value, "median round trip {:.3f} s") + f", usually {usual:.3f} s")


def _route(sight: SignalContext) -> Iterator[ConditionReading]:
    if sight.own.routes:
        name, p95_s = max(sight.own.routes, key=lambda route: (route[1], route[0]))
        yield ConditionReading(p95_s, text=f"95 % of messages by {name[:80]} took up to {p95_s:.2f} s")


def _errors(sight: SignalContext) -> Iterator[ConditionReading]:
    error = sight.own.metrics.performance.error
    value = None if error is None else error / RATIO_ONE
    yield ConditionReading(value, text=_text(value, "{:.1%} of messages failed"))


def _throughput(sight: SignalContext) -> Iterator[ConditionReading]:
    value, usual = sight.own.metrics.performance.throughput_bytes_s, sight.usual_bytes_s
    if usual is not None and usual >= USUAL_BYTES_S_MIN:
        share = None if value is None else value / usual
        yield ConditionReading(share, text=f"{value or 0:,} bytes a second, usually {usual:,.0f}")


def _agent_lag(sight: SignalContext) -> Iterator[ConditionReading]:
    lag_us = sight.own.metrics.agent.lag_us
    value = None if lag_us is None else lag_us / 1e6
    yield ConditionReading(value, text=_text(value, "the event loop came {:.2f} s late"))


def _agent_cpu(sight: SignalContext) -> Iterator[ConditionReading]:
    cpu = sight.own.metrics.agent.cpu
    value = None if cpu is None else cpu / RATIO_ONE
    yield ConditionReading(value, text=_text(value, "{:.0%} of one core"))


def _kills(sight: SignalContext) -> Iterator[ConditionReading]:
    if sight.own.kills is not None:
        yield ConditionReading(float(sight.own.kills), text=sight.own.kills_text)


def _history(sight: SignalContext) -> Iterator[ConditionReading]:
    if sight.own.trouble is not None:
        yield ConditionReading(text=sight.own.trouble)


def _export(sight: SignalContext) -> Iterator[ConditionReading]:
    if sight.own.export_trouble is not None:
        yield ConditionReading(text=sight.own.export_trouble)


def _certificate(sight: SignalContext) -> Iterator[ConditionReading]:
    if sight.own.certificate is not None:
        yield certificate_reading(sight.own.certificate, sight.snapshot.wall, is_cut_off=not sight.own.linked)


def _files(sight: SignalContext) -> Iterator[ConditionReading]:
    reading = file_reading(sight.own.files, sight.snapshot.wall)
    if reading is not None:
        yield reading


OWN_SIGNALS: dict[str, Signal] = {
    "cpu_ratio": _cpu,
    "memory_ratio": _memory,
    "storage_ratio": _storage,
    "network_error_ratio": _network,
    "p2p_ratio": _p2p,
    **{f"{name}_status": _status_of(name) for name in CHECKS},
    "node_status": _node_status,
    "node_degraded": _node_degraded,
    "linked_peers": _linked,
    "link_rtt_s": _rtt,
    "link_rtt_rise": _rtt_rise,
    "link_loss_ratio": _loss,
    "relayed_ratio": _relayed,
    "route_p95_s": _route,
    "error_ratio": _errors,
    "throughput_share": _throughput,
    "agent_lag_s": _agent_lag,
    "agent_cpu_ratio": _agent_cpu,
    "memory_kills": _kills,
    "history_trouble": _history,
    "export_trouble": _export,
    "certificate_left_ratio": _certificate,
    "tls_left_ratio": _files,
}


def _check(name: str, own: Own) -> Check | None:
    at = CHECKS.index(name)
    return own.checks[at] if at < len(own.checks) else None


def _ratio(name: str, own: Own) -> float | None:
    check = _check(name, own)
    return None if check is None or check.ratio is None else check.ratio / RATIO_ONE


def _part(used: int | None, total: int | None) -> float | None:
    return used / total if used is not None and total else None


def _text(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)
