"""Which samples to send next, and which to set aside: no I/O and no clock here.

The oldest batch goes first, whole, one request at a time. What a receiver refuses about samples (400 and the like) is
halved until the samples at fault are alone; they are set aside, and the others of the batch arrive.

A failure (5xx, no answer) may be an outage, in which everything must wait, or the samples' own fault, which would then
hold up everything for ever: Prometheus answers 500 to what lies beyond its out-of-order window. Only a success tells
them apart. After `FAILURES` failures of one batch in a row, each further one is followed by another question: one
sample of this batch, and if that fails as well, another batch, from the next one on to ever newer ones. Where something
else was taken and the batch fails again, `PROOFS` times over, the batch is at fault, and is halved. A single sample has
to fail `STRIKES` times more, with a success before each of them. So an outage convicts nothing, however long it lasts.

The words of a 500 that were proven so are believed at once when they come again, but each success pays for `CREDIT`
judgements only. An outage with the very same words therefore costs four batches at most.

After a batch of which nothing was taken, sample by sample, the next one that is refused in the same words is judged by
`PROBES` of its samples, spread evenly: an old queue may hold thousands of batches that are all too old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from peerscope.export.receiver import Later, Outcome, RefusedSamples, Taken
from peerscope.export.spool import Batch

FAILURES = 5
"""With waits from 0.5 s on, doubled each time, these are four to eight seconds."""
PROOFS = 2
STRIKES = 3
CREDIT = 64
"""Four batches that are judged by probes."""
PROBES = 16
REACH_MAX = 2**20
GOLDEN = 0.6180339887
BELIEVED_MAX = 8
"""Kinds of words that are remembered."""

Span = tuple[int, int]
"""Samples of a batch: from the first to before the last."""


class Part(Struct, frozen=True):
    """A batch, or some of its samples, to be sent in one request."""

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
    """The receiver has these."""

    part: Part


class SetAside(Struct, frozen=True):
    """The receiver takes others and not these."""

    part: Part
    words: str


class Settled(Struct, frozen=True):
    """Nothing of this batch is left to be sent."""

    batch: Batch


class Wait(Struct, frozen=True):
    """Send nothing for a while: the longer, the more failures there were since the last success."""

    failures: int
    after_s: float


Effect = SentSamples | SetAside | Settled | Wait


class Strikes(Struct, frozen=True):
    """Failures of a single sample while others were taken."""

    count: int
    successes: int
    """How many there had been at the last one."""
    words: str
    """The same each time; empty where they differed."""


class _Trial:
    """The batch that is being sent."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.spans: list[Span] = [(0, batch.samples)]
        """What is left of it; the last one goes next."""
        self.taken = 0
        self.verdicts: set[str] = set()
        """The words in which samples of it were set aside."""
        self.failures = 0
        """In a row."""
        self.proofs = 0
        self.is_proof_pending = False
        """Something else was taken since the last failure."""
        self.is_guilty = False
        """It is proven that some of it is at fault."""
        self.strikes: dict[int, Strikes] = {}
        """Of single samples."""
        self.probes = 0
        """Single samples still to be judged for all others; 0 where each is judged by itself."""

    @property
    def settled(self) -> int:
        """Samples that are done with."""
        return self.batch.samples - sum(stop - start for start, stop in self.spans)

    def isolate(self, at: int) -> None:
        """Have one sample of what goes next go before the rest of it."""
        start, stop = self.spans.pop()
        self.spans += [(a, b) for a, b in ((at + 1, stop), (start, at), (at, at + 1)) if a < b]

    def strike(self, at: int, words: str, successes: int) -> Strikes | None:
        """Count a failure of the single sample that goes next; None where there was no success since its last one.
        Until it is the last, the others of its batch go first."""
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
    """What became of every sample, from one request to the next."""

    def __init__(self) -> None:
        self.failures = 0
        """Since the last success."""
        self._main: _Trial | None = None
        """Of the oldest batch."""
        self._trials: dict[int, _Trial] = {}
        """Those that have begun, by number of the batch: the main one, and others of which some samples are settled."""
        self._wants: Literal["main", "sample", "other"] = "main"
        """The next request: what goes next of the main batch, one sample of it, or what goes next of another batch."""
        self._reach = 1
        """How far from the main batch the other one is."""
        self._turn = 0
        self._believed: list[str] = []
        self._successes = 0
        self._credit = 0
        self._hopeless = ""
        """The words in which each sample of the last batch was refused."""

    @property
    def settled(self) -> int:
        """Samples that are done with, of batches that are not."""
        return sum(trial.settled for trial in tuple(self._trials.values()))

    def is_begun(self, batch: Batch) -> bool:
        """Some of its samples are settled, some are not."""
        trial = self._trials.get(batch.number)
        return trial is not None and trial.settled > 0

    def next(self, look: Callable[[int], Batch | None]) -> Part | Wait | None:
        """What to send now; None where nothing waits. `look(n)`: the batch n places after the oldest that may go."""
        if self._main is None:
            oldest = look(0)
            if oldest is None:
                return None
            self._main, self._wants = self._trial(oldest), "main"
        main = self._main
        if self._wants == "sample":
            start, stop = main.spans[-1]
            self._turn += 1
            at = start + int(
                self._turn * GOLDEN % 1 * (stop - start)
            )  # each turn asks for another one, far from the last
            return Part(main.batch, at, at + 1)
        if self._wants == "other":
            other = look(self._reach)
            if other is not None and other != main.batch:
                return Part(other, *self._trial(other).spans[-1])
            self._wants = "main"
            return Wait(self.failures, 0.0)
        return Part(main.batch, *main.spans[-1])

    def note(self, part: Part, outcome: Outcome) -> list[Effect]:
        """What follows from the answer to the part that `next` named last."""
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
        """It cannot be sent; how many of its samples were not settled."""
        trial = self._trials.pop(batch.number, None)
        if trial is self._main:
            self._main = None
        self._wants = "main"
        return batch.samples - (0 if trial is None else trial.settled)

    def _trial(self, batch: Batch) -> _Trial:
        return self._trials.setdefault(batch.number, _Trial(batch))

    def _judged(self, main: _Trial, trial: _Trial, part: Part, outcome: Taken | RefusedSamples) -> list[Effect]:
        """The receiver took a part, or refused it for good."""
        asked, is_taken = self._wants, isinstance(outcome, Taken)
        if asked == "sample":
            trial.isolate(part.start)
        if is_taken or asked == "sample":
            self._wants = "main"  # otherwise go on with what was refused: its good samples are the proof that is sought
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
        """The oldest batch, or what goes next of it, was not taken this time."""
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
        """A success was lately enough to believe that this sample is at fault."""
        is_paid = self._credit > 0
        self._credit -= is_paid
        return is_paid

    def _condemn(self, trial: _Trial, part: Part, words: str) -> list[Effect]:
        """Some of this part is at fault: halve it, or set it aside where it is one sample."""
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
            if not trial.probes:  # not one of them was taken
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
    """A whole batch as single samples that lie apart, which go first, and what lies between them."""
    probes = [index * samples // PROBES for index in range(PROBES)]
    between = [(a + 1, b) for a, b in zip(probes, [*probes[1:], samples], strict=True) if a + 1 < b]
    return [*reversed(between), *((at, at + 1) for at in reversed(probes))]
