"""Explanations of alerts, and how likely each is beside chance.

Each kind is a small generative model of which peers get an alert of one *sort*, and when:

    host            a machine: its agents get the same alert (also a provider's address prefix, less often)
    region-outage   a region: peers of it are lost; at least half of it
    region          a region: its peers get another alert
    version         peers that run one version get the same alert
    partition       one group of any peers is lost at one moment
    cascade         alerts spread along links from one peer (see `cascade`)
    pattern         any peers get the same alert, for a reason that nobody knows
    peer-cluster    one peer gets alerts of several rules

An explanation has a `score`: the log odds of its cause against chance, given its alerts, the alerts elsewhere, and the
peers that stayed quiet. It contains the prior odds of its kind, shared among all hosts, regions or versions. So a
network with more regions needs better evidence for each, and no test of significance is repeated a hundred times.

From papers we took four ideas. Quiet dependants count (Sherlock, Shrink). A few causes at once explain all (Shrink).
Events of different types have different consequences (Groot, Wang et al. 2021). A direction needs times that differ
(NetMedic, Kandula et al. 2009). Rankings by PageRank (MicroRCA, Wu et al. 2020) order suspects and do not say
how sure they are, so we do not use them. Counterfactual methods ask whether the effect stays without the cause. The
peers beside a cause that stayed well answer that here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf, log
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from peerscope.alerts.cascade_tree import TreeNode
from peerscope.alerts.context import Context
from peerscope.alerts.model import Alert
from peerscope.errors import ConfigError

IncidentKind = Literal["partition", "region-outage", "version", "cascade", "pattern", "peer-cluster", "host", "region"]
LOSS = "loss"
"""The sort of `peer-down` and of alerts about groups: peers that nobody hears."""


class Priors(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Odds of each kind of cause against chance, before any alert is seen: how often you expect it.

    Operators of one data centre may raise `host`. Operators of a network without releases may lower `version`.
    """

    host: float = 0.3
    region_outage: float = 0.01
    region: float = 0.02
    version: float = 0.05
    partition: float = 0.2
    cascade: float = 0.003
    pattern: float = 0.05
    peer_cluster: float = 0.05

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"incidents.priors.{name} is {getattr(self, name)}; must lie between 0 and 100")

    def log_odds(self, kind: IncidentKind) -> float:
        """Natural logarithm; minus infinity for a kind that never happens."""
        odds: float = getattr(self, kind.replace("-", "_"))
        return log(odds) if odds else -inf


class Explanation(Struct, frozen=True):
    """Alerts with a common cause."""

    kind: IncidentKind
    anchor: str
    """The part that stays the same meanwhile: the host, region, version, sort or peer."""
    alerts: tuple[Alert, ...]
    """Sorted by beginning, then id."""
    peers: tuple[str, ...]
    """Affected peers."""
    root: str | None
    score: float
    """Log odds of this cause against chance."""
    of: int = 0
    """Number of peers that the cause could have affected."""
    elsewhere: int = 0
    """Number of other peers with such alerts meanwhile."""
    accounts_for: frozenset[str] = frozenset()
    """Peers whose alerts of these sorts, and whose quiet, the cause accounts for."""
    tree: tuple[TreeNode, ...] = ()
    roots: tuple[tuple[str, float], ...] = ()
    """Peers where it may have begun, and the probability of each; empty where the root is not in doubt."""

    @property
    def name(self) -> str:
        """Equal for equal causes."""
        return f"{self.kind}-{self.anchor}"


class Account(Struct, frozen=True):
    """Peers that a known cause accounts for meanwhile: they are neither affected nor quiet."""

    peers: frozenset[str]
    first_at: float
    last_at: float


class Case(Struct, frozen=True):
    """Alerts to explain, and what is known about the network."""

    alerts: Sequence[Alert]
    """Sorted by beginning, then id."""
    around: Context
    window_s: float
    priors: Priors
    everybody: frozenset[str]
    """All peers of the network."""
    by_sort: Mapping[str, Sequence[Alert]] = field(default_factory=dict)
    at_peer: Mapping[str, Mapping[str, Sequence[Alert]]] = field(default_factory=dict)
    """By sort and peer, the alerts about that peer."""
    accounts: Mapping[str, Sequence[Account]] = field(default_factory=dict)
    """By sort, what known causes account for."""

    @property
    def size(self) -> int:
        """Peers of the network."""
        return len(self.around.regions)

    def at_risk(self, sort: str, peers: frozenset[str], alerts: Sequence[Alert]) -> frozenset[str]:
        """Those of these peers that no known cause accounts for while these alerts began."""
        for account in self.accounts.get(sort, ()):
            if account.first_at - self.window_s < alerts[-1].started_at and (
                alerts[0].started_at < account.last_at + self.window_s
            ):
                peers -= account.peers
        return peers

    def without(self, chosen: Iterable[Explanation]) -> Case:
        """The same without the alerts of these explanations."""
        accounts = defaultdict(list, {sort: list(its) for sort, its in self.accounts.items()})
        explained: set[str] = set()
        for one in chosen:
            explained.update(alert.id for alert in one.alerts)
            first_at, last_at = one.alerts[0].started_at, one.alerts[-1].started_at
            for sort in {sort_of(alert) for alert in one.alerts}:
                accounts[sort].append(Account(one.accounts_for, first_at, last_at))
        left = [one for one in self.alerts if one.id not in explained]
        return replace(case_of(left, self), accounts=dict(accounts))


Propose = Callable[[Case], Iterable[Explanation]]
"""Finds all explanations of one cause, or of one kind."""


def case(alerts: Sequence[Alert], around: Context, window_s: float, priors: Priors) -> Case:
    """A case of these alerts. `alerts`: sorted by beginning, then id."""
    by_sort: defaultdict[str, list[Alert]] = defaultdict(list)
    at_peer: defaultdict[str, defaultdict[str, list[Alert]]] = defaultdict(lambda: defaultdict(list))
    for alert in alerts:
        sort = sort_of(alert)
        by_sort[sort].append(alert)
        for peer in concerned(alert, around):
            at_peer[sort][peer].append(alert)
    return Case(alerts, around, window_s, priors, frozenset(around.regions), dict(sorted(by_sort.items())), at_peer)


def case_of(alerts: Sequence[Alert], whole: Case) -> Case:
    """The same case with these alerts only."""
    return replace(case(alerts, whole.around, whole.window_s, whole.priors), accounts=whole.accounts)


def sort_of(alert: Alert) -> str:
    """Alerts that one cause gives to different peers alike."""
    return LOSS if alert.type == "peer-down" or is_about_group(alert) else alert.rule


def is_about_group(alert: Alert) -> bool:
    """Whether it is about peers that were lost together."""
    return alert.type == "network-partition" and alert.peer_id is None


def concerned(alert: Alert, around: Context) -> Sequence[str]:
    """Peers that an alert is about: one, the members of a group, or none."""
    return (alert.peer_id,) if alert.peer_id is not None else around.groups.get(alert.id, ())


def peers_of(alerts: Iterable[Alert], around: Context) -> set[str]:
    """All peers that the alerts are about."""
    return {peer for alert in alerts for peer in concerned(alert, around)}


def in_order(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Sorted by beginning, each once."""
    return tuple(sorted({alert.id: alert for alert in alerts}.values(), key=lambda one: (one.started_at, one.id)))


def episodes(alerts: Sequence[Alert], window_s: float) -> Iterator[Sequence[Alert]]:
    """Chains of beginnings without a gap as long as the window. `alerts`: sorted by beginning."""
    first = 0
    for number in range(1, len(alerts) + 1):
        if number == len(alerts) or alerts[number].started_at - alerts[number - 1].started_at >= window_s:
            yield alerts[first:number]
            first = number
