"""What a node does, against the signatures that are plain numbers: floods, churn, spikes, poisoning, and others.

Each signature is looked at as a sliding window where it names fixed steps, and window by window where it compares the
peer with its own past. Confidence is what the numbers themselves bear: for counts the chance that the true rate exceeds
the limit, for shares the lower bound of Wilson's interval, for comparisons a bound that holds for any distribution.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import log1p, sqrt
from statistics import median

from msgspec import Struct

from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId
from peerscope.threats.activity import SIGNALS, Activity, Sums
from peerscope.threats.chance import SIGMA, exceeded, wilson_lower
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature, Signatures

DAY_S = 86_400.0
KEPT_MAX = 1440
"""Windows remembered: a day of minutes."""
HELD_MAX = 60
"""An hour of minutes."""
COUNT_SPREAD = 1.0
FACTOR_SPREAD = 0.1
"""Nothing is steadier than this: a peer that did the very same for ten minutes may do a tenth more in the next."""


class Detections:
    """The signatures over one node's activity."""

    def __init__(self, signatures: Signatures, now: float) -> None:
        self._pasts: dict[str, Past] = {}
        self._since = now
        self.use(signatures)

    def use(self, signatures: Signatures) -> None:
        """Look for these from now on; what is known of the past of those that stay is kept."""
        self._signatures = tuple(one for one in signatures if one.enabled and one.signal in SIGNALS)
        wanted = {one.name: one for one in self._signatures if one.is_relative}
        self._pasts = {
            name: past
            if (past := self._pasts.get(name)) is not None and past.fits(signature)
            else Past(signature, self._since)
            for name, signature in wanted.items()
        }

    def find(self, activity: Activity, me: PeerId, now: float) -> list[Finding]:
        """Everything that is unlike it should be now."""
        found = []
        for signature in self._signatures:
            one = self._steps(signature, activity, me, now)
            past = self._pasts.get(signature.name)
            if past is not None:
                past.look(signature, activity, now)
                one = one or past.finding(signature, me)
            if one is not None:
                found.append(one)
        return found

    def _steps(self, signature: Signature, activity: Activity, me: PeerId, now: float) -> Finding | None:
        """The gravest step that is reached over any of the signature's times."""
        signal = SIGNALS[signature.signal]
        found: list[tuple[Severity, float, Finding]] = []
        for window_s in {signature.window_s, signature.brief_s or signature.window_s}:
            sums = activity.sums(window_s, now)
            value, samples = signal.value(sums), signal.samples(sums)
            reached = None if value is None or samples < _samples_for_steps(signature) else signature.grade(value)
            if value is None or reached is None:
                continue
            severity, limit = reached
            one = finding(
                signature,
                me,
                severity=severity,
                confidence=confidence(signature, sums, value, limit),
                text=f"{_shown(value)} {signal.unit} in {window_s:.0f} s; {_shown(limit)} is the limit",
                evidence=(
                    ("value", _shown(value)),
                    ("limit", _shown(limit)),
                    ("window_s", f"{window_s:g}"),
                    ("samples", f"{samples:.0f}"),
                ),
            )
            found.append((severity, one.confidence, one))
        return max(found, key=lambda each: each[:2])[2] if found else None


def confidence(signature: Signature, sums: Sums, value: float, limit: float) -> float:
    """How sure the numbers alone make one that a limit is exceeded."""
    if signature.signal == "inconsistent_ratio":
        return wilson_lower(round(sums.inconsistent), round(sums.judged))
    if signature.signal == "error_ratio":
        return wilson_lower(round(sums.errors), round(sums.messages))
    signal = SIGNALS[signature.signal]
    if signal.is_count:
        return exceeded(round(value), limit)
    samples = signal.samples(sums)
    return samples / (samples + 10)  # a mean of few things may be one of them


class Past:
    """One signature's windows, closed one by one, beside the peer's own baseline."""

    def __init__(self, signature: Signature, now: float) -> None:
        self._signal, self._window_s = signature.signal, signature.window_s
        self._baseline = Baseline(is_count=SIGNALS[signature.signal].is_count)
        self._close_at = now + signature.window_s
        self._streak: list[tuple[float, Compared]] = []
        """Windows in a row that exceeded what is usual, up to the last that was closed."""

    def fits(self, signature: Signature) -> bool:
        """Its windows are the same."""
        return (self._signal, self._window_s) == (signature.signal, signature.window_s)

    def look(self, signature: Signature, activity: Activity, now: float) -> None:
        """Close a window, if one has ended."""
        if now < self._close_at:
            return
        self._close_at = max(self._close_at + self._window_s, now)
        signal = SIGNALS[self._signal]
        sums = activity.sums(self._window_s, now)
        value = signal.value(sums)
        if value is None:
            self._streak.clear()
            return
        compared = self._baseline.compare(value)
        enough = signal.samples(sums) >= signature.samples_min
        if compared is not None and enough and self._exceeds(signature, value, compared):
            self._baseline.hold(value)
            self._streak = [*self._streak, (value, compared)][-signature.windows :]
        else:
            self._baseline.add(value)
            self._streak.clear()

    def finding(self, signature: Signature, me: PeerId) -> Finding | None:
        """The last windows all exceeded what is usual."""
        if len(self._streak) < signature.windows:
            return None
        value, compared = min(self._streak, key=lambda one: one[1].deviations)
        severity = signature.usual_severity
        if compared.windows * self._window_s < DAY_S:
            # Nobody can tell a job that comes once a day from an attack before a day is known.
            severity = Severity.LOW
        unit = SIGNALS[self._signal].unit
        return finding(
            signature,
            me,
            severity=severity,
            confidence=_surprise(compared),
            text=f"{_shown(value)} {unit}, {compared.times:.3g} times the usual {_shown(compared.usual)}",
            evidence=(
                ("value", _shown(value)),
                ("usual", _shown(compared.usual)),
                ("times", f"{compared.times:.3g}"),
                ("deviations", f"{compared.deviations:.3g}"),
                ("baseline_windows", compared.windows),
                ("window_s", f"{self._window_s:g}"),
            ),
        )

    def _exceeds(self, signature: Signature, value: float, compared: Compared) -> bool:
        return (
            compared.windows * self._window_s >= signature.baseline_s
            and value > (signature.times or 0.0) * compared.usual
            and compared.deviations >= (5.0 if signature.deviations is None else signature.deviations)
            and value > compared.high
        )


def _surprise(compared: Compared) -> float:
    """One less the chance of so many deviations in any distribution (Cantelli 1928), as far as so short a past can
    bear it: after n windows the next one exceeds them all once in n + 1."""
    square = compared.deviations**2
    return square / (1 + square) * compared.windows / (compared.windows + 1)


def _samples_for_steps(signature: Signature) -> float:
    """Where a signature compares both ways, its samples are about the comparison."""
    return 0 if signature.is_relative else signature.samples_min


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


class Compared(Struct, frozen=True):
    """A value beside what is usual."""

    usual: float
    """The median."""
    times: float
    """The value in multiples of it."""
    deviations: float
    """How many robust standard deviations the value lies above it."""
    high: float
    """What one window in a hundred exceeded."""
    windows: int
    """How many the baseline is made of."""


class Baseline:
    """The windows of the last day, of one signal of one peer."""

    def __init__(self, *, is_count: bool) -> None:
        self._is_count = is_count
        self._values: deque[float] = deque()
        self._sorted: list[float] = []
        self._held: list[float] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """One more window that was as usual; those held back before it turn out to have been a burst."""
        for one in (*self._held, value):
            self._keep(one)
        self._held.clear()

    def hold(self, value: float) -> None:
        """One window that exceeded the usual; after an hour of them they are the usual."""
        self._held.append(value)
        if len(self._held) >= HELD_MAX:
            for one in self._held:
                self._keep(one)
            self._held.clear()

    def compare(self, value: float) -> Compared | None:
        """None where nothing is known yet."""
        if not self._sorted:
            return None
        usual = median(self._sorted)
        scaled = sorted(abs(self._scale(one) - self._scale(usual)) for one in self._sorted)
        spread = max(SIGMA * median(scaled), COUNT_SPREAD if self._is_count else FACTOR_SPREAD)
        return Compared(
            usual=usual,
            times=value / usual if usual else float("inf") if value else 1.0,
            deviations=(self._scale(value) - self._scale(usual)) / spread,
            high=self._sorted[min(len(self._sorted) - 1, len(self._sorted) * 99 // 100)],
            windows=len(self._sorted),
        )

    def _scale(self, value: float) -> float:
        return 2 * sqrt(value + 0.375) if self._is_count else log1p(value)

    def _keep(self, value: float) -> None:
        if len(self._values) >= KEPT_MAX:
            del self._sorted[bisect_left(self._sorted, self._values.popleft())]
        self._values.append(value)
        insort(self._sorted, value)
