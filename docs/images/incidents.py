"""Draws docs/images/incident-KIND.svg: one small network for each explanation of alerts, and what `correlate` finds.

    .venv/bin/python docs/images/incidents.py

Prints the incident of each, as docs/explanation/incidents-examples.md shows it. Networks and alerts are made up; the
incidents are those of the program. A row is a peer, a mark an alert, and peers that share something stand together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from html import escape
from pathlib import Path
from random import Random
from textwrap import fill, indent
from typing import NamedTuple

from peerscope.alerts.context import AGENT, Context
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert
from peerscope.alerts.rules import default_rules
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import SHORT_HEX, PeerId

IMAGES = Path(__file__).parent
BEGAN = 1_700_000_000.0
TYPES = {rule.name: rule.type for rule in default_rules()}
REGIONS, VERSIONS = ("ap-south", "eu-west", "us-east"), ("1.0", "1.1")
LEFT, TOP, RIGHT, WIDTH = 150, 56, 24, 720
ROW, QUIET_ROW = 9, 4
"""Height of a row, and of one in a group without alerts."""
SHAPES = ("M0-5L5 4H-5Z", "M-4-4H4V4H-4Z", "M0-5L5 0 0 5-5 0Z", "M0 5L5-4H-5Z", "M-3-3L3 3M3-3L-3 3")
"""Marks of rules. The first rule of an incident has a dot."""
Spot = Callable[[Alert, str], tuple[float, float]]
"""Where an alert about a peer is drawn."""
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1d2733}.t{font-size:14px;font-weight:600}.s{fill:#566273}"
    ".b{fill:#fff}.g{fill:#f1f4f8}.f{fill:#fde9c8;stroke:#b45f00;stroke-width:1.5}.q{stroke:#ccd4de}.x{stroke:#8b97a6}"
    ".a{fill:#c22a20;stroke:#fff;stroke-width:.8}.r{fill:none;stroke:#c22a20;stroke-width:2.2}"
    ".o{fill:#7b8796;stroke:#7b8796;stroke-width:1.5}.e{stroke:#b45f00;fill:none;marker-end:url(#p)}.h{fill:#b45f00}"
    "@media(prefers-color-scheme:dark){text{fill:#e3e8ef}.s{fill:#a3afbf}.b{fill:#141a22}.g{fill:#1e2732}"
    ".f{fill:#4a3410;stroke:#f0a63c}.q{stroke:#3a4655}.x{stroke:#7b8796}.a{fill:#ff6f61;stroke:#141a22}"
    ".r{stroke:#ff6f61}.o{fill:#98a4b3;stroke:#98a4b3}.e{stroke:#f0a63c}.h{fill:#f0a63c}}"
)
"""Colours for light and dark pages. The background is part of the picture, so the two never mix."""


class Group(NamedTuple):
    """Peers that stand together."""

    label: str
    peers: Sequence[str]
    is_cause: bool = False


class Example(NamedTuple):
    """A network, its alerts, what the program says of them, and how to draw it."""

    kind: str
    root: str | None
    """The cause that really worked; None for one that has no name."""
    around: Context
    alerts: Sequence[Alert]
    groups: Sequence[Group]

    def incidents(self) -> tuple[Incident, ...]:
        """All that the program finds."""
        return correlate(self.alerts, self.around, BEGAN + 600.0)


class Net:
    """A network of peers in three regions, with alerts."""

    def __init__(self, peers: int, seed: int = 17) -> None:
        self.rng = Random(seed)
        members = sorted(PeerId(self.rng.randbytes(32)) for _ in range(peers))
        rings = Rings(members=members)
        self.ids = [peer.hex() for peer in members]
        self.regions: dict[str, str | None] = {peer: REGIONS[place % 3] for place, peer in enumerate(self.ids)}
        self.versions = dict.fromkeys(self.ids, VERSIONS[1])
        self.links = {peer.hex(): {other.hex(): 0.04 for other in rings.neighbours(peer)} for peer in members}
        self.hosts: dict[str, str] = {}
        self.overlay: dict[str, dict[str, float | None]] = {}
        self.members: dict[str, tuple[str, ...]] = {}
        self.alerts: list[Alert] = []

    def of(self, region: str) -> list[str]:
        return [peer for peer in self.ids if self.regions[peer] == region]

    def tell(self, rule: str, peer: str, at: float, members: Sequence[str] = ()) -> None:
        """An alert about one peer, or about members that were lost together."""
        name = f"{rule}-{peer[:16]}"
        if members:
            self.members[name] = tuple(members)
        one = Alert(
            id=name,
            type=TYPES[rule],
            rule=rule,
            severity="high",
            title=rule,
            description="",
            peer_id=None if members else peer,
            region=None if members else self.regions[peer],
            state="firing",
            started_at=BEGAN + at,
            uncertainty_s=0.2,
        )
        self.alerts.append(one)

    def all(self, rule: str, peers: Iterable[str], over_s: float, after_s: float = 10.0) -> None:
        for peer in peers:
            self.tell(rule, peer, after_s + self.rng.uniform(0.0, over_s))

    def example(self, kind: str, root: str | None, groups: Sequence[Group]) -> Example:
        around = Context(
            regions=self.regions,
            versions={AGENT: self.versions},
            links=self.links,
            groups=self.members,
            hosts=self.hosts,
            overlay=self.overlay,
        )
        return Example(kind, root, around, self.alerts, groups)

    def by_region(self, cause: str | None = None) -> list[Group]:
        return [Group(f"region {name}", self.of(name), name == cause) for name in REGIONS]


def host() -> Example:
    """Seven agents on one machine have no processor time left."""
    net = Net(24)
    mine = net.rng.sample(net.ids, 7)
    net.hosts = {peer: "5f3a9c04" if peer in mine else f"{number:08x}" for number, peer in enumerate(net.ids, 161)}
    net.all("cpu-high", mine, 25.0)
    others = [peer for peer in net.ids if peer not in mine]
    return net.example("host", "5f3a9c04", [Group("machine 5f3a9c04", mine, True), Group("17 other machines", others)])


def region_outage() -> Example:
    """Seven of eight peers of a region fall silent."""
    net = Net(24)
    net.all("peer-down", net.of("eu-west")[1:], 12.0)
    net.tell("peer-down", net.of("us-east")[4], 95.0)
    return net.example("region-outage", "eu-west", net.by_region("eu-west"))


def region() -> Example:
    """Six of eight peers of a region have slow links, and one elsewhere."""
    net = Net(24)
    net.all("link-latency", net.of("ap-south")[:6], 40.0)
    net.tell("link-latency", net.of("us-east")[2], 88.0)
    return net.example("region", "ap-south", net.by_region("ap-south"))


def version() -> Example:
    """A new version uses up the memory, wherever it runs."""
    net = Net(24)
    new = sorted(net.rng.sample(net.ids, 9))
    net.versions.update(dict.fromkeys(new, "1.2"))
    net.all("memory-high", new[:8], 70.0)
    old = [peer for peer in net.ids if peer not in new]
    return net.example("version", "1.2", [Group("version 1.2", new, True), Group("version 1.1", old)])


def partition() -> Example:
    """Nine peers of all regions are lost at one moment. They still hear each other."""
    net = Net(24)
    lost = sorted(net.rng.sample(net.ids, 9))
    net.tell("network-partition", lost[0], 10.0, lost)
    net.all("peer-down", lost[1:4], 4.0, 12.0)
    rest = [peer for peer in net.ids if peer not in lost]
    return net.example("partition", None, [Group("lost together", lost, True), Group("still heard", rest)])


def cascade() -> Example:
    """Overload spreads from one peer to the peers beside it, and from these to theirs."""
    net = Net(64)
    root = net.ids[20]
    reached, caught, waiting = {root: 10.0}, dict[str, list[str]](), [root]
    while waiting and len(reached) < 13:
        peer = min(waiting, key=lambda one: reached[one])
        waiting.remove(peer)
        for other in sorted(net.links[peer]):
            if other not in reached and len(reached) < 13 and net.rng.random() < 0.45:
                reached[other] = reached[peer] + 5.0 + net.rng.expovariate(1 / 15)
                caught.setdefault(peer, []).append(other)
                waiting.append(other)
    for peer, at in reached.items():
        net.tell("cpu-high", peer, at)
    order = _branches(root, caught)
    quiet = [peer for peer in net.ids if peer not in reached]
    groups = [Group(f"root {root[:SHORT_HEX]}", order[:1], True), Group("its neighbours,\ntheir neighbours", order[1:])]
    return net.example("cascade", root, [*groups, Group("51 quiet peers", quiet)])


def _branches(root: str, caught: dict[str, list[str]]) -> list[str]:
    """Every peer before those that caught it from this one."""
    return [root, *(peer for kid in caught.get(root, ()) for peer in _branches(kid, caught))]


def dependency() -> Example:
    """The node of a busy peer slows the nodes that route through it."""
    net = Net(30)
    root, *others = net.rng.sample(net.ids, 9)
    net.overlay = {root: dict.fromkeys(others, 0.02), **{peer: {root: 0.02} for peer in others}}
    net.tell("cpu-high", root, 10.0)
    net.all("error-ratio", others[:7], 30.0, 22.0)
    rest = [peer for peer in net.ids if peer not in (root, *others)]
    groups = [Group(f"root {root[:SHORT_HEX]}", [root], True), Group("route through\nits node", others)]
    return net.example("cascade", root, [*groups, Group("21 other peers", rest)])


def pattern() -> Example:
    """Peers of all regions and versions lose throughput at one time."""
    net = Net(24)
    net.versions.update(dict.fromkeys(net.ids[::2], "1.0"))
    net.all("throughput-drop", sorted(net.rng.sample(net.ids, 14)), 20.0)
    return net.example("pattern", None, net.by_region())


def peer_cluster() -> Example:
    """One peer has four troubles of which none brings another."""
    net = Net(24)
    root = net.ids[7]
    for rule, at in (("clock-skew", 12.0), ("storage-high", 30.0), ("relayed-share", 41.0), ("agent-cpu", 60.0)):
        net.tell(rule, root, at)
    rest = [peer for peer in net.ids if peer != root]
    return net.example("peer-cluster", root, [Group(f"peer {root[:SHORT_HEX]}", [root], True), Group("others", rest)])


def chance() -> Example:
    """Three peers of a region have alerts of three rules, and two peers elsewhere have others: nothing in common."""
    net = Net(24)
    eu, us, ap = net.of("eu-west"), net.of("us-east"), net.of("ap-south")
    for rule, peer, at in (
        ("storage-high", eu[1], 20.0),
        ("error-ratio", eu[3], 75.0),
        ("clock-skew", eu[6], 150.0),
        ("cpu-high", us[2], 60.0),
        ("link-loss", ap[5], 110.0),
    ):
        net.tell(rule, peer, at)
    return net.example("chance", None, net.by_region())


def either() -> Example:
    """All peers of one region, and only these, run a new version: both explain the same alerts."""
    net = Net(24)
    both = net.of("eu-west")
    net.versions.update(dict.fromkeys(both, "1.2"))
    net.all("error-ratio", both[:7], 60.0)
    rest = [peer for peer in net.ids if peer not in both]
    return net.example("either", None, [Group("version 1.2,\nregion eu-west", both, True), Group("others", rest)])


EXAMPLES = {
    "host": host,
    "region-outage": region_outage,
    "region": region,
    "version": version,
    "partition": partition,
    "cascade": cascade,
    "dependency": dependency,
    "pattern": pattern,
    "peer-cluster": peer_cluster,
    "chance": chance,
    "either": either,
}


def drawn(example: Example) -> str:
    """The picture as SVG."""
    places, blocks, height = _places(example)
    last = max(alert.started_at for alert in example.alerts) - BEGAN
    step = next(one for one in (10, 20, 30, 60) if last / one < 7)
    end = (last // step + 1) * step
    scale = (WIDTH - LEFT - RIGHT - 8) / end

    def spot(alert: Alert, peer: str) -> tuple[float, float]:
        return LEFT + (alert.started_at - BEGAN) * scale, places[peer]

    incidents = example.incidents()
    title = incidents[0].title if incidents else "No incident: chance explains these alerts"
    held = {name for one in incidents for name in one.alerts}
    paths = [f'<path class="x" d="M{LEFT} {height - 32}H{WIDTH - RIGHT}"/>']
    for tick in range(0, int(end) + 1, step):
        x = f"{LEFT + tick * scale:.0f}"
        paths.append(f'<text class="s" x="{x}" y="{height - 14}" text-anchor="middle">{tick} s</text>')
    rows = "".join(f"M{LEFT} {y}H{WIDTH - RIGHT}" for y in places.values())
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<marker id="p" viewBox="0 0 8 8" refX="11" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
            '<path class="h" d="M0 0L8 4 0 8Z"/></marker>',
            f'<rect class="b" width="{WIDTH}" height="{height}"/>',
            f'<text class="t" x="14" y="24">{escape(title)}</text>',
            *blocks,
            f'<path class="q" d="{rows}"/>',
            *paths,
            *_edges(example, incidents, spot),
            *_marks(example, held, spot),
            *_key(example, held),
            "</svg>\n",
        )
    )


def _places(example: Example) -> tuple[dict[str, int], list[str], int]:
    """The height of every row, boxes around the groups, and the height of the picture."""
    around, alerts = example.around, example.alerts
    busy = {peer for one in alerts for peer in around.groups.get(one.id, (one.peer_id,))}
    places, blocks, y = dict[str, int](), list[str](), TOP
    for group in example.groups:
        words = group.label.split("\n")
        row = QUIET_ROW if busy.isdisjoint(group.peers) else ROW
        tall = max(len(group.peers) * row, 15 * len(words)) + 6
        style = "f" if group.is_cause else "g"
        blocks.append(f'<rect class="{style}" x="8" y="{y}" width="{WIDTH - 16}" height="{tall}" rx="4"/>')
        first = y + tall / 2 - 15 * (len(words) - 1) / 2 + 4
        blocks += [f'<text x="14" y="{first + 15 * n:.0f}">{escape(word)}</text>' for n, word in enumerate(words)]
        for number, peer in enumerate(group.peers):
            places[peer] = round(y + tall / 2 + (number - (len(group.peers) - 1) / 2) * row)
        y += tall + 6
    return places, blocks, y + 36


def _edges(example: Example, incidents: Sequence[Incident], spot: Spot) -> list[str]:
    """Arrows from cause to effect, and a ring around the root."""
    found = []
    by_id = {alert.id: alert for alert in example.alerts}
    for incident in incidents:
        at = {node.alert_id: spot(by_id[node.alert_id], node.peer_id) for node in incident.tree}
        for node in incident.tree:
            x, y = at[node.alert_id]
            if node.parent is None:
                found.append(f'<circle class="r" cx="{x:.1f}" cy="{y}" r="8"/>')
            else:
                u, v = at[node.parent]
                found.append(f'<path class="e" d="M{u:.1f} {v}L{x:.1f} {y}"/>')
    return found


def _rules(example: Example, held: Collection[str]) -> tuple[list[str], list[str]]:
    """Rules of alerts in the incident, and of the others."""
    inside = {alert.rule for alert in example.alerts if alert.id in held}
    return sorted(inside), sorted({alert.rule for alert in example.alerts if alert.id not in held})


def _mark(number: int, x: float, y: float, *, inside: bool) -> str:
    """The mark of a rule: in colour if its alert is in the incident."""
    if inside and number == 0:
        return f'<circle class="a" cx="{x:.1f}" cy="{y}" r="4"/>'
    shape = SHAPES[number - 1 if inside else number]
    return f'<path class="{"a" if inside else "o"}" transform="translate({x:.1f} {y})" d="{shape}"/>'


def _marks(example: Example, held: Collection[str], spot: Spot) -> list[str]:
    """A mark for each alert; one at every member of a group that was lost together."""
    inside, others = _rules(example, held)
    found = []
    for alert in sorted(example.alerts, key=lambda one: one.started_at):
        is_held = alert.id in held
        number = (inside if is_held else others).index(alert.rule)
        for peer in example.around.groups.get(alert.id, (alert.peer_id or "",)):
            found.append(_mark(number, *spot(alert, peer), inside=is_held))
    return found


def _key(example: Example, held: Collection[str]) -> list[str]:
    """Which mark is which rule."""
    inside, others = _rules(example, held)
    found, x = list[str](), 18.0
    for number, rule in [*enumerate(inside), *enumerate(others, len(inside))]:
        is_held = number < len(inside)
        text = f"{rule}, not in the incident" if inside and not is_held else rule
        found.append(_mark(number if is_held else number - len(inside), x, 40, inside=is_held))
        found.append(f'<text class="s" x="{x + 9:.0f}" y="44">{text}</text>')
        x += 26 + 6.6 * len(text)
    if example.kind == "cascade":
        found.append(f'<text class="s" x="{x:.0f}" y="44">An arrow leads from a cause to its effect.</text>')
    return found


def said(example: Example) -> str:
    """The incidents in words, as the page shows them."""
    lines = list[str]()
    for one in example.incidents():
        root = f"root {one.root[:16]}" if one.root is not None else "no root"
        lines += [one.title, f"  kind {one.kind}, {root}, confidence {one.confidence:.2f}"]
        lines += [f"  or {other.kind} {other.root or ''}: {other.probability:.2f}" for other in one.alternatives]
        lines += [f"  {line}" for line in one.evidence]
        lines.append(fill(f"First: {one.first_step}", 110, initial_indent="  ", subsequent_indent="  "))
    return indent("\n".join(lines) or "No incidents.", "    ")


def main() -> None:
    """Draw all, and print what the program says of each."""
    for name, make in EXAMPLES.items():
        example = make()
        (IMAGES / f"incident-{name}.svg").write_text(drawn(example), encoding="utf-8")
        print(f"## {name}\n\n{said(example)}\n")


if __name__ == "__main__":
    main()
