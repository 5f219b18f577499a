"""Chooses the samples to send next, and those to set aside. No I/O and no clock here.

The oldest batch goes first, whole, one request at a time. If the receiver refuses samples (400 and the like), the batch
is halved until the samples at fault are alone. These are set aside, and the others of the batch arrive.

A failure (5xx, no answer) may be an outage, in which everything must wait. Or the samples may be at fault, which would
hold up the queue for ever: Prometheus answers 500 to samples beyond its out-of-order window. Only a success shows
which. After `FAILURES` failures of one batch in a row, each further failure leads to a probe: one sample of this batch.
If that fails too, another batch goes, from the next one on to ever newer ones. If a probe succeeds and the batch fails
again, `PROOFS` times, the batch is at fault and is halved. A single sample must fail `STRIKES` more times, with a
success before each. So an outage of any length sets nothing aside.

A 500 whose words were proven to mean the samples counts at once when it comes again. But each success pays for only
`CREDIT` such judgements, so an outage with the same words costs four batches at most.

Suppose the receiver took no sample of a batch, and refuses the next one in the same words. Then `PROBES` samples
decide about that one, spread evenly: an old queue may hold thousands of batches that are all too old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from peerscope.export.receiver import Later, Outcome, RefusedSamples, Taken
from peerscope.export.spool import Batch

FAILURES = 5
"""With pauses from 0.5 s on, doubled each time, these take four to eight seconds."""
PROOFS = 2
STRIKES = 3
CREDIT = 64
"""Enough for four batches that are judged by probes."""
PROBES = 16
REACH_MAX = 2**20
GOLDEN = 0.6180339887
BELIEVED_MAX = 8
"""How many texts of answers to remember."""

Span = tuple[int, int]
"""Samples of a batch: the first, and the one after the last."""


class Part(Struct, frozen=True):
    """A batch or some of its samples, for one request."""

    batch: Batch
    start: int
    stop: int

    @property
    def samples(self) -> int:
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        return self.samples == self.batch.samples


class SentSamples(Struct, frozen=True):
    """The receiver took these samples."""

    part: Part


class SetAside(Struct, frozen=True):
    """The receiver takes other samples, but not these."""

    part: Part
    words: str


class Settled(Struct, frozen=True):
    """All samples of this batch are done."""

    batch: Batch


class Wait(Struct, frozen=True):
    """Send nothing for a while: the longer, the more failures since the last success."""

    failures: int
    after_s: float


Effect = SentSamples | SetAside | Settled | Wait


class Strikes(Struct, frozen=True):
    """Failures of a single sample while others were taken."""

    count: int
    successes: int
    """Number of successes at the last failure."""
    words: str
    """The words of all these failures; empty where they differed."""


class _Trial:
    """The batch that is being sent."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.spans: list[Span] = [(0, batch.samples)]
        """Samples that are left; the last span goes next."""
        self.taken = 0
        self.verdicts: set[str] = set()
        """Words of the answers for which its samples were set aside."""
        self.failures = 0
        """Failures in a row."""
        self.proofs = 0
        self.is_proof_pending = False
        """Another part was taken since the last failure."""
        self.is_guilty = False
        """Some of its samples are proven to be at fault."""
        self.strikes: dict[int, Strikes] = {}
        """Failures of single samples, by index."""
        self.probes = 0
        """Samples still to be sent as probes for the others; 0 where each sample is judged by itself."""

    @property
    def settled(self) -> int:
        """Samples that are done."""
        return self.batch.samples - sum(stop - start for start, stop in self.spans)

    def isolate(self, at: int) -> None:
        """Send one sample of the next span before the rest of it."""
        start, stop = self.spans.pop()
        self.spans += [(a, b) for a, b in ((at + 1, stop), (start, at), (at, at + 1)) if a < b]

    def strike(self, at: int, words: str, successes: int) -> Strikes | None:
        """Count a failure of the single sample that goes next, and let the others of its batch go first.

        Returns None if there was no success since its last failure.
        """
        before = self.strikes.get(at)
        if before is not None and successes <= before.successes:
            return None
        is_same = before is None or words == before.words
        found = Strikes(1 if before is None else before.count + 1, successes, words if is_same else "")
        self.strikes[at] = found
        if found.count < STRIKES:
            self.spans.insert(0, self.spans.pop())
        return found


class Triage:
    """Keeps the outcome of every sample, from one request to the next."""

    def __init__(self) -> None:
        self.failures = 0
        """Failures since the last success."""
        self._main: _Trial | None = None
        """Trial of the oldest batch."""
        self._trials: dict[int, _Trial] = {}
        """Trials by number of the batch: the main one, and others that are settled in part."""
        self._wants: Literal["main", "sample", "other"] = "main"
        """The next request: the next span of the main batch, one sample of it, or the next span of another batch."""
        self._reach = 1
        """Distance from the main batch to the other one."""
        self._turn = 0
        self._believed: list[str] = []
        self._successes = 0
        self._credit = 0
        self._hopeless = ""
        """The words in which all samples of the last batch were refused."""

    @property
    def settled(self) -> int:
        """Samples that are done, of batches that are not."""
        return sum(trial.settled for trial in tuple(self._trials.values()))

    def is_begun(self, batch: Batch) -> bool:
        """Whether some of its samples are done."""
        trial = self._trials.get(batch.number)
        return trial is not None and trial.settled > 0

    def next(self, look: Callable[[int], Batch | None]) -> Part | Wait | None:
        """Choose the next part; None if the queue is empty. `look(n)`: the batch n places after the oldest due one."""
        if self._main is None:
            oldest = look(0)
            if oldest is None:
                return None
            self._main, self._wants = self._trial(oldest), "main"
        main = self._main
        if self._wants == "sample":
            start, stop = main.spans[-1]
            self._turn += 1
            at = start + int(self._turn * GOLDEN % 1 * (stop - start))  # each turn takes another one, far from the last
            return Part(main.batch, at, at + 1)
        if self._wants == "other":
            other = look(self._reach)
            if other is not None and other != main.batch:
                return Part(other, *self._trial(other).spans[-1])
            self._wants = "main"
            return Wait(self.failures, 0.0)
        return Part(main.batch, *main.spans[-1])

    def note(self, part: Part, outcome: Outcome) -> list[Effect]:
        """Take the outcome of the part that `next` returned last."""
        main, trial = self._main, self._trials[part.batch.number]
        assert main is not None
        if not isinstance(outcome, Later):
            return self._judged(main, trial, part, outcome)
        self.failures += 1
        asked_to: list[Effect] = [Wait(self.failures, outcome.after_s)] if outcome.after_s else []
        match self._wants:
            case "main":
                return self._failed(main, part, outcome)
            case "sample":
                self._wants = "other"
                return asked_to
            case _:
                if not trial.settled and len(trial.spans) == 1:
                    del self._trials[part.batch.number]
                self._wants, self._reach = "main", min(2 * self._reach, REACH_MAX)
                return [Wait(self.failures, outcome.after_s)]

    def forget(self, batch: Batch) -> int:
        """Drop a batch that cannot be sent. Returns how many of its samples were not done."""
        trial = self._trials.pop(batch.number, None)
        if trial is self._main:
            self._main = None
        self._wants = "main"
        return batch.samples - (0 if trial is None else trial.settled)

    def _trial(self, batch: Batch) -> _Trial:
        return self._trials.setdefault(batch.number, _Trial(batch))

    def _judged(self, main: _Trial, trial: _Trial, part: Part, outcome: Taken | RefusedSamples) -> list[Effect]:
        """Take a success, or a refusal for good."""
        asked, is_taken = self._wants, isinstance(outcome, Taken)
        if asked == "sample":
            trial.isolate(part.start)
        if is_taken or asked == "sample":
            self._wants = "main"  # else go on with the refused part: its good samples give the proof
        if isinstance(outcome, RefusedSamples):
            effects = self._condemn(trial, part, outcome.words)
            is_in_vain = asked == "other" and trial.batch.number not in self._trials
            return [*effects, Wait(self.failures, 0.0)] if is_in_vain else effects
        self.failures, self._credit = 0, CREDIT
        self._successes += 1
        if asked == "main":
            main.failures = main.proofs = 0
            self._reach = 1
        main.is_proof_pending = asked != "main"
        trial.spans.pop()
        trial.taken += part.samples
        trial.probes = 0
        return [SentSamples(part), *self._end(trial)]

    def _failed(self, main: _Trial, part: Part, later: Later) -> list[Effect]:
        """Take a failure of the oldest batch, or of its next span."""
        main.failures += 1
        main.proofs += main.is_proof_pending
        main.is_proof_pending = False
        main.is_guilty = main.is_guilty or main.proofs >= PROOFS
        is_believed = later.is_fault and later.words in self._believed
        asked_to: list[Effect] = [Wait(self.failures, later.after_s)] if later.after_s else []
        if is_believed or main.is_guilty:
            if part.samples > 1 or (is_believed and self._pay()):
                return [*asked_to, *self._condemn(main, part, later.words)]
            if not is_believed and (struck := main.strike(part.start, later.words, self._successes)):
                if struck.count < STRIKES:
                    return asked_to
                if later.is_fault and struck.words:
                    self._believed = [*self._believed, later.words][-BELIEVED_MAX:]
                return [*asked_to, *self._condemn(main, part, later.words)]
        elif main.failures < FAILURES:
            return [Wait(self.failures, later.after_s)]
        self._wants = "sample" if part.samples > 1 else "other"
        return asked_to

    def _pay(self) -> bool:
        """Whether a recent success pays for one more judgement without proof."""
        is_paid = self._credit > 0
        self._credit -= is_paid
        return is_paid

    def _condemn(self, trial: _Trial, part: Part, words: str) -> list[Effect]:
        """Halve a part that is at fault, or set it aside if it is one sample."""
        trial.spans.pop()
        if part.samples > 1:
            if part.is_whole and words == self._hopeless and part.samples > PROBES:
                trial.spans += _spread(part.samples)
                trial.probes = PROBES
            else:
                middle = (part.start + part.stop) // 2
                trial.spans += [(middle, part.stop), (part.start, middle)]
            return []
        trial.verdicts.add(words)
        effects: list[Effect] = [SetAside(part, words)]
        if trial.probes:
            trial.probes -= 1
            if not trial.probes:  # none of them was taken
                effects += [SetAside(Part(trial.batch, *rest), words) for rest in trial.spans]
                trial.spans = []
        return effects + self._end(trial)

    def _end(self, trial: _Trial) -> list[Effect]:
        if trial.spans:
            return []
        del self._trials[trial.batch.number]
        if trial is self._main:
            is_hopeless = not trial.taken and len(trial.verdicts) == 1 and trial.batch.samples > PROBES
            self._hopeless = trial.verdicts.pop() if is_hopeless else ""
            self._main = None
        self._wants = "main"
        return [Settled(trial.batch)]


def _spread(samples: int) -> list[Span]:
    """Split a batch into single samples that lie apart, which go first, and the spans between them."""
    probes = [index * samples // PROBES for index in range(PROBES)]
    between = [(a + 1, b) for a, b in zip(probes, [*probes[1:], samples], strict=True) if a + 1 < b]
    return [*reversed(between), *((at, at + 1) for at in reversed(probes))]
