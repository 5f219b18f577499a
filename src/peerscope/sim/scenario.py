"""Scenarios: what happens in a simulated network, as data.

A scenario is a TOML file of this package, or one of the operator's own: sizes, the network's faults, and steps. Each
step is a fault at a time, applied to `count` peers or a `share` of them, chosen by the seed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.sim.lies import Gang, Plan
from peerscope.sim.network import NetworkFaults
from peerscope.sim.world import REGIONS

Action = Literal[
    "crash",
    "restart",
    "leave",
    "pause",
    "cut",
    "heal",
    "one-way",
    "flap",
    "step-clock",
    "slow",
    "forge",
    "replay",
    "equivocate",
    "accuse",
    "drop",
    "invent",
    "garble",
    "misplace",
    "churn",
    "crawl",
    "overload",
    "fall-behind",
    "sybil",
    "eclipse",
    "poison",
    "flood-puts",
    "flood-connections",
    "cascade",
    "region-outage",
    "bad-release",
    "busy-host",
    "noisy-neighbour",
    "two-causes",
    "slow-dependency",
    "unrelated",
    "noise",
    "kill-aggregators",
    "inflate",
    "lie",
    "hide",
    "false-ages",
    "clone",
]


class ScenarioStep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault."""

    at_s: Annotated[float, Meta(ge=0)]
    """Seconds after the network has settled."""
    do: Action
    count: Annotated[int, Meta(ge=0)] = 1
    """How many peers; 0 where `share` says it."""
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    for_s: float = 0.0
    """How long it lasts, where it lasts."""
    by_s: float = 0.0
    """Size of a clock's step; how far a clone's clock is ahead; period of a flap; time between the deaths of one zone's
    aggregators. Fall-behind: time between two blocks."""
    blocks: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Fall-behind: how many blocks the nodes are behind the others from then on."""
    per_minute: float = 0.0
    """Churn: share of the peers that restart each minute. Floods: puts or connections a minute."""
    prefixes: Annotated[int, Meta(ge=1)] = 2
    """Sybil and eclipse: address prefixes that the identities come from."""
    lie_share: Annotated[float, Meta(ge=0, le=1)] = 0.3
    """Poison: share of lookups that an attacker answers."""
    gang: Gang | None = None
    """Lie and hide: how many of the victim's observers do; null: `count` peers at random."""
    victims: Annotated[int, Meta(ge=1)] = 1
    """Lie and hide: peers that a gang is against."""
    plan: Plan | None = None
    """Lie: what the liars claim, when and of whom. Hide: the same beside; null: nothing beside."""
    victim: bool = False
    """Crash: the victims of the liars, instead of peers chosen at random."""


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds that must hold at the end; a run that breaks one has failed."""

    suspect_median_s: float | None = None
    down_median_s: float | None = None
    down_max_s: float | None = None
    false_down: int | None = 0
    missed: int | None = 0
    convergence_s: float | None = None
    """Seconds after the last step until every running peer holds the same records and misses nobody alive."""
    redundancy: float | None = None
    offences: int | None = None
    """Things held against neighbours; 0 where all are honest."""
    crawl_s: float | None = None
    """Seconds that a crawl takes."""
    crawl_missed: int | None = 0
    """Honest, running peers that a crawl may not find."""
    zone_error_ratio: float | None = None
    """How far off anybody's count of living peers in the whole network may be at the end."""
    zone_error_ratio_max: float | None = None
    """The same, at any time after settling."""
    zones_exact_s: float | None = None
    """Seconds after the last step until everybody counts exactly right."""
    zones: int | None = None
    """Zones at the end, neither more nor fewer."""
    unnamed: int | None = 0
    """Peers that may fail to name an aggregator that lies."""
    summary_age_s: float | None = None
    """Age of summaries of other zones, 99 % of all looks after settling."""
    alerts: dict[str, int] | None = None
    """By rule, the alerts that fire at the end, and that no other ever fired."""
    disagreeing: int | None = 0
    """Running peers that may see other alerts than most do."""
    coordinate_error: float | None = None
    """Median of the relative error of estimated round-trip times."""
    attacks_missed: float | None = 0.1
    """Share of the attacks that may stay unfound."""
    false_alarms: int | None = 0
    """Findings about peers that neither attack nor are attacked."""
    incidents: int | None = None
    """Incidents at most."""
    down_share_alive: float | None = None
    """Share of honest looks that call a living victim of liars down."""
    hidden_s: float | None = None
    """Seconds that liars may add to the time in which a death is seen."""
    root_wrong: int | None = None
    """0: the largest incident must be what happened, and two survivors must see the same."""


ALONE_MIN = 2
"""Peers that share no machine, at least."""


class SharedMachine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine on which several peers run."""

    share: Annotated[float, Meta(gt=0, le=0.9)]
    """Part of all peers, at most; the seed draws between half of it and all."""
    least: Annotated[int, Meta(ge=2)] = 3
    regions: Literal["one", "several", "any"] = "any"
    """Regions that its peers state: one; those of the whole network in turn, as in a demonstration; either by the
    seed."""


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network and what happens to it."""

    name: str
    summary: str
    peers: int = 100
    regions: int = 5
    duration_s: float = 60.0
    """Virtual seconds after settling."""
    settle_s: float = 30.0
    warm: bool = True
    """Begin with everybody knowing everybody; else all start at once through one bootstrap peer."""
    skewed_share: float = 0.0
    """Peers whose wall clock is off, by up to `skew_s` either way."""
    skew_s: float = 0.0
    link_rtt_s: float | None = None
    """Round trip of every link; null: 10 ms inside a region, 20 to 80 ms between regions."""
    latency: Literal["near", "world"] = "near"
    """Every region is near every other; or the matrix of ten regions of the world."""
    zones: int = 0
    """Begin with so many zones of regions of their own, each knowing itself; 0: with one."""
    zone_max: int | None = None
    """Members of a zone, at most; null: as configured."""
    summaries: bool = False
    """Aggregators speak for their zones."""
    network: NetworkFaults = NetworkFaults(loss=0.01)
    threats: bool = False
    """Every peer is in a prefix as honest machines are, beside a node of some behaviour, and looks for threats."""
    alerts: bool = False
    """Every peer looks at its alert rules, once a second."""
    versions: dict[str, float] = {}
    """Versions that peers run, and how many of them relative to each other; empty: all run one."""
    hosts: tuple[SharedMachine, ...] = ()
    """Machines of several peers. All other peers are each alone on one."""
    routers: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Share of the peers whose nodes route for those of all others; 0: no nodes run beside the peers."""
    steps: tuple[ScenarioStep, ...] = ()
    bounds: Bounds = Bounds()

    def __post_init__(self) -> None:
        if self.latency == "world" and self.regions > len(REGIONS):
            raise ConfigError(f"regions is {self.regions}; the world of `latency` has {len(REGIONS)}")
        shared = sum(host.least for host in self.hosts)
        if self.hosts and self.peers < shared + ALONE_MIN:
            raise ConfigError(f"peers is {self.peers}; its machines of several peers need {shared + ALONE_MIN} or more")

    def version(self, rng: Random) -> str:
        """The version of one peer, drawn anew each time."""
        if not self.versions:
            return "sim"
        return rng.choices(sorted(self.versions), [self.versions[name] for name in sorted(self.versions)])[0]

    def region(self, index: int) -> str:
        """Where the so-manieth peer is."""
        at = index % (self.zones or self.regions)
        return REGIONS[at] if self.latency == "world" else f"region-{at + 1}"


def load(name: str) -> Scenario:
    """A scenario by its name, or by the path of a file. Raises `ConfigError`."""
    place = Path(name)
    if name.endswith(".toml"):
        if not place.exists():
            raise ConfigError(f"{place}: no such file")
        return _read(place)
    for scenario in shipped():
        if scenario.name == name:
            return scenario
    known = ", ".join(scenario.name for scenario in shipped())
    raise ConfigError(f"no scenario {name!r}; known: {known}; or give the path of a .toml file")


def shipped() -> Iterator[Scenario]:
    """Those of this package, by name."""
    folder = Path(str(files("peerscope.sim"))) / "scenarios"
    for place in sorted(folder.glob("*.toml")):
        yield _read(place)


def _read(place: Path) -> Scenario:
    try:
        values = tomllib.loads(place.read_text(encoding="utf-8"))
        return msgspec.convert({"name": place.stem, **values}, Scenario)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{place}: {error}") from None
