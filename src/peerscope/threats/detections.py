"""Activity of a node against signatures that are plain numbers: floods, churn, spikes, poisoning, and others.

A signature with fixed steps tests a sliding window. A signature that compares a peer with its own past tests window by
window. Confidence follows from the numbers. For counts it is the chance that the true rate exceeds the limit. For
shares it is the lower bound of Wilson's interval, for comparisons a bound that holds for any distribution.

The past of a peer is the median and spread of its windows, by robust statistics. The median and the median absolute
deviation hardly move while less than half of the windows are an attack. Counts vary with their own size, so their
square roots are compared (Anscombe 1948: then one deviation is one, for any count). Sizes and rates vary by factors, so
their logarithms are. A window that exceeds the usual waits until the excess ends, or has lasted an hour: then it is the
new usual.
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
"""Least spread: a peer that did exactly the same for ten minutes may do a tenth more in the next."""


class Detections:
    """Tests signatures on one node's activity."""

    def __init__(self, signatures: Signatures, now: float) -> None:
        self._pasts: dict[str, Past] = {}
        self._since = now
        self.use(signatures)

    def use(self, signatures: Signatures) -> None:
        """Test these signatures from now on. Those that stay keep their past."""
        self._signatures = tuple(one for one in signatures if one.enabled and one.signal in SIGNALS)
        wanted = {one.name: one for one in self._signatures if one.is_relative}
        self._pasts = {
            name: past
            if (past := self._pasts.get(name)) is not None and past.fits(signature)
            else Past(signature, self._since)
            for name, signature in wanted.items()
        }

    def find(self, activity: Activity, me: PeerId, now: float) -> list[Finding]:
        """All findings now."""
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
        """The gravest step that any of the signature's windows reaches."""
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
    """Confidence that the limit is exceeded, from the numbers alone."""
    if signature.signal == "inconsistent_ratio":
        return wilson_lower(round(sums.inconsistent), round(sums.judged))
    if signature.signal == "error_ratio":
        return wilson_lower(round(sums.errors), round(sums.messages))
    signal = SIGNALS[signature.signal]
    if signal.is_count:
        return exceeded(round(value), limit)
    samples = signal.samples(sums)
    return samples / (samples + 10)  # one event can dominate a mean of few


class Past:
    """One signature's windows, closed one by one, and the peer's own baseline."""

    def __init__(self, signature: Signature, now: float) -> None:
        self._signal, self._window_s = signature.signal, signature.window_s
        self._baseline = Baseline(is_count=SIGNALS[signature.signal].is_count)
        self._close_at = now + signature.window_s
        self._streak: list[tuple[float, Compared]] = []
        """The last windows in a row that exceeded the usual."""

    def fits(self, signature: Signature) -> bool:
        """Whether the signature has the same windows."""
        return (self._signal, self._window_s) == (signature.signal, signature.window_s)

    def look(self, signature: Signature, activity: Activity, now: float) -> None:
        """Close a window if one has ended."""
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
        """A finding if the last windows all exceeded the usual."""
        if len(self._streak) < signature.windows:
            return None
        value, compared = min(self._streak, key=lambda one: one[1].deviations)
        severity = signature.usual_severity
        if compared.windows * self._window_s < DAY_S:
            # Before a whole day is known, a daily job looks like an attack.
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
                ("limit", _shown(max((signature.times or 0.0) * compared.usual, compared.high))),
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
    """One less the chance of so many deviations in any distribution (Cantelli 1928).

    A short past limits it: after n windows the next one exceeds them all once in n + 1.
    """
    square = compared.deviations**2
    return square / (1 + square) * compared.windows / (compared.windows + 1)


def _samples_for_steps(signature: Signature) -> float:
    """If a signature compares both ways, its samples are those of the comparison."""
    return 0 if signature.is_relative else signature.samples_min


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


class Compared(Struct, frozen=True):
    """A value compared with the usual."""

    usual: float
    """The median."""
    times: float
    """The value in multiples of it."""
    deviations: float
    """How many robust standard deviations the value lies above it."""
    high: float
    """The value that one window in a hundred exceeded."""
    windows: int
    """Number of windows in the baseline."""


class Baseline:
    """Windows of the last day of one signal of one peer."""

    def __init__(self, *, is_count: bool) -> None:
        self._is_count = is_count
        self._values: deque[float] = deque()
        self._sorted: list[float] = []
        self._held: list[float] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Add a usual window. Windows held back before it were a burst."""
        for one in (*self._held, value):
            self._keep(one)
        self._held.clear()

    def hold(self, value: float) -> None:
        """Hold back a window that exceeded the usual. After an hour of them they are the usual."""
        self._held.append(value)
        if len(self._held) >= HELD_MAX:
            for one in self._held:
                self._keep(one)
            self._held.clear()

    def compare(self, value: float) -> Compared | None:
        """Compare a value with the baseline; None if that is empty."""
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
