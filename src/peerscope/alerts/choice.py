"""Which explanations hold together, and how sure that is.

A *composition* is a set of explanations that share no alert. All other alerts are chance. Its weight is the sum of the
scores, each given what the others explain already. A search keeps the few best compositions while it adds
explanations. The best one gives the incidents.

The probability of an explanation is the weight of all compositions with the same cause, among all compositions that the
search met. "No explanation" is one of them. So two explanations of the same alerts compete, and two causes at once do
not: they stand in one composition.

Alerts that have nothing to do with each other are composed apart, so that they neither cost time nor change each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import exp

from msgspec import Struct

from peerscope.alerts.explanations import Case, Explanation, Propose, case
from peerscope.alerts.likelihoods import add

BEAM = 6
"""Compositions that the search follows at a time."""
WIDTH = 8
"""Explanations that it tries to add to each."""
DEPTH_MAX = 40
RIVAL_SCORE_MIN = -2.0
"""Explanations with worse odds than this are left out at once: chance is far likelier."""
RIVAL_FACTOR = 3.0
"""Explanations, or roots of one, within this factor of probability are alternatives."""
OVERLAP = 0.5
"""Part of an incident's alerts that another explanation must cover to compete with it."""


class Judged(Struct, frozen=True):
    """An explanation of the best composition."""

    found: Explanation
    probability: float
    """That its cause is what made its alerts, 0..1."""
    rivals: tuple[tuple[Explanation | None, float], ...] = ()
    """Other causes of most of its alerts with their probabilities, the likeliest first; None is chance."""


class Composition(Struct, frozen=True):
    """Explanations without a common alert."""

    chosen: tuple[Explanation, ...] = ()
    score: float = 0.0

    @property
    def key(self) -> frozenset[tuple[str, tuple[str, ...]]]:
        """Equal for equal sets of explanations, in whatever order they were chosen."""
        return frozenset((one.name, tuple(alert.id for alert in one.alerts)) for one in self.chosen)


Candidates = Mapping[str, Sequence[Explanation]]
"""By name of the cause, its explanations."""


def candidates_of(whole: Case, propose: Mapping[str, Propose]) -> Candidates:
    """All explanations that are not hopeless, each as if it were the only one."""
    found = {name: [one for one in look(whole) if one.score > RIVAL_SCORE_MIN] for name, look in propose.items()}
    return {name: found[name] for name in sorted(found) if found[name]}


def judge(whole: Case, propose: Mapping[str, Propose], candidates: Candidates) -> list[Judged]:
    """The incidents among the alerts of a case. `propose`: by name of the cause, the function that looks for it."""
    found: list[Judged] = []
    for names in _components(candidates):
        found += _Search(_near(whole, names, candidates), {name: propose[name] for name in names}, candidates).judged()
    return sorted(found, key=lambda one: (-one.found.score, one.found.name))


def _near(whole: Case, names: Iterable[str], candidates: Candidates) -> Case:
    """The case without alerts that began long before or after these explanations."""
    times = [alert.started_at for name in names for one in candidates[name] for alert in one.alerts]
    first_at, last_at = min(times) - whole.window_s, max(times) + whole.window_s
    if whole.alerts[0].started_at >= first_at and whole.alerts[-1].started_at <= last_at:
        return whole
    near = [alert for alert in whole.alerts if first_at <= alert.started_at <= last_at]
    return case(near, whole.around, whole.window_s, whole.priors)


def _components(candidates: Candidates) -> list[list[str]]:
    """Names of causes that compete for alerts, directly or through others."""
    leader = {name: name for name in candidates}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = name = leader[leader[name]]
        return name

    owner: dict[str, str] = {}
    for name in leader:
        for one in candidates[name]:
            for alert in one.alerts:
                first = owner.setdefault(alert.id, name)
                leader[max(find(first), find(name))] = min(find(first), find(name))
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for name in leader:
        grouped[find(name)].append(name)
    return [grouped[name] for name in sorted(grouped)]


class _Search:
    """The search among causes that compete."""

    def __init__(
        self,
        whole: Case,
        propose: Mapping[str, Propose],
        candidates: Candidates,
    ) -> None:
        self._whole = whole
        self._propose = propose
        self._first = {name: candidates[name] for name in propose}
        self._ours = {alert.id for its in self._first.values() for one in its for alert in one.alerts}
        """Other alerts belong to other searches."""
        self._met: dict[object, Composition] = {}

    def judged(self) -> list[Judged]:
        """The explanations of the best composition."""
        beam = [Composition()]
        self._met[Composition().key] = beam[0]
        for _ in range(DEPTH_MAX):
            grown: dict[object, Composition] = {}
            for composition in beam:
                for more in self._grown(composition):
                    known = grown.get(more.key)
                    if known is None or known.score < more.score:
                        grown[more.key] = more
            if not grown:
                break
            beam = sorted(grown.values(), key=lambda one: (-one.score, sorted(x.name for x in one.chosen)))[:BEAM]
            for composition in grown.values():
                known = self._met.get(composition.key)
                if known is None or known.score < composition.score:
                    self._met[composition.key] = composition
        met = list(self._met.values())
        best = max(met, key=lambda one: (one.score, -len(one.chosen)))
        return [self._judge(one, met) for one in best.chosen]

    def _grown(self, composition: Composition) -> list[Composition]:
        """The composition with one more explanation: the best ones of what it leaves."""
        if composition.chosen:
            rest = self._whole.without(composition.chosen)
            found = (one for look in self._propose.values() for one in look(rest))
            options = [one for one in found if one.score > RIVAL_SCORE_MIN and self._is_ours(one)]
        else:
            options = [one for its in self._first.values() for one in its]
        options.sort(key=lambda one: (-one.score, one.name))
        return [Composition((*composition.chosen, one), composition.score + one.score) for one in options[:WIDTH]]

    def _is_ours(self, one: Explanation) -> bool:
        return all(alert.id in self._ours for alert in one.alerts)

    def _judge(self, found: Explanation, met: Iterable[Composition]) -> Judged:
        """How likely its cause is among all compositions, and which causes compete with it."""
        ids = {alert.id for alert in found.alerts}
        weights: defaultdict[str | None, list[float]] = defaultdict(list)
        named: dict[str | None, Explanation | None] = {None: None}
        for composition in met:
            rival, most = None, OVERLAP * len(ids)
            for one in composition.chosen:
                shared = sum(alert.id in ids for alert in one.alerts)
                if shared > most:
                    rival, most = one, shared
            name = None if rival is None else rival.name
            named.setdefault(name, rival)
            weights[name].append(composition.score)
        total = {name: add(*scores) for name, scores in weights.items()}
        whole = add(*total.values())
        share = {name: exp(one - whole) for name, one in total.items()}
        rivals = sorted(
            ((named[name], its) for name, its in share.items() if name != found.name),
            key=lambda one: (-one[1], one[0].name if one[0] else ""),
        )
        return Judged(found, share.get(found.name, 0.0), tuple(rivals))
