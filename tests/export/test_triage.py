"""Which samples are set aside, and which wait: against receivers that refuse chosen samples in any schedule."""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerscope.export.receiver import Later, Outcome, RefusedSamples, Taken
from peerscope.export.spool import Batch
from peerscope.export.triage import CREDIT, PROBES, Part, SentSamples, SetAside, Settled, Triage, Wait

REFUSED = RefusedSamples("it answers 400: out of order", "400: out of order")
TOO_OLD = Later("it answers 500: too old", "500: too old", is_fault=True)
BUSY = Later("it answers 503", "503")
AWAY = Later("Connection refused", "no answer")
FULL = Later("it answers 500: disk full", "500: disk full", is_fault=True)
REQUESTS_MAX = 20_000
Ids = list[tuple[int, int]]
Answer = Callable[[int, Ids], Outcome]
"""To the n-th request, with these samples."""


class End(NamedTuple):
    """What became of every sample."""

    stored: Ids
    aside: Ids
    waiting: set[tuple[int, int]]
    requests: int
    longest_wait: int
    """Failures behind the longest wait."""


class Play:
    """A queue whose sender is driven without a disk, a network or a clock."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.queue: list[Batch] = []
        self.produced = 0
        self.triage = Triage()
        self.stored: Ids = []
        self.aside: Ids = []
        self.requests = 0
        self.longest_wait = 0
        self.waits = 0
        for size in sizes:
            self.put(size)

    def put(self, size: int) -> None:
        """One more batch, as every interval brings one."""
        self.produced += 1
        self.queue.append(Batch(self.produced, size, 4096))

    def look(self, skip: int) -> Batch | None:
        return self.queue[min(skip, len(self.queue) - 1)] if self.queue else None

    def run(self, answer: Answer, *, arrivals: int = 0, requests_max: int = REQUESTS_MAX) -> End:
        """Until nothing waits. While the sender waits, so many more batches of two good samples come, one at a time."""
        while self.requests < requests_max:
            step = self.triage.next(self.look)
            if isinstance(step, Part):
                self.requests += 1
                ids = [(step.batch.number, index) for index in range(step.start, step.stop)]
                effects = self.triage.note(step, answer(self.requests, ids))
            else:
                effects = [step] if step else []
                if step is None and not arrivals:
                    break
            if step is None or any(isinstance(effect, Wait) for effect in effects):
                arrivals -= arrivals > 0 and self.put(2) is None
            self.apply(effects)
        waiting = {(batch.number, index) for batch in self.queue for index in range(batch.samples)}
        waiting -= {*self.stored, *self.aside}
        assert len(waiting) == sum(batch.samples for batch in self.queue) - self.triage.settled
        return End(self.stored, self.aside, waiting, self.requests, self.longest_wait)

    def apply(self, effects: Sequence[object]) -> None:
        for effect in effects:
            match effect:
                case SentSamples(part):
                    self.stored += [(part.batch.number, index) for index in range(part.start, part.stop)]
                case SetAside(part, _):
                    self.aside += [(part.batch.number, index) for index in range(part.start, part.stop)]
                case Settled(batch):
                    self.queue.remove(batch)
                case Wait(failures, _):
                    self.waits += 1
                    self.longest_wait = max(self.longest_wait, failures)


def refusing(bad: dict[tuple[int, int], Outcome]) -> Answer:
    """It takes a request unless one of its samples is bad, and then none of it."""
    return lambda _, ids: next((bad[one] for one in ids if one in bad), Taken())


@pytest.mark.parametrize("outcome", [REFUSED, TOO_OLD, BUSY, AWAY], ids=lambda outcome: outcome.words)
def test_one_bad_sample_of_three_hundred_is_found_and_the_others_arrive(outcome: Outcome) -> None:
    end = Play([300, 300]).run(refusing({(1, 123): outcome}), arrivals=6)
    assert end.aside == [(1, 123)]
    assert len(end.stored) == 600 - 1 + 6 * 2
    assert end.requests < 80


def test_what_is_refused_for_good_is_not_waited_for() -> None:
    end = Play([300]).run(refusing({(1, index): REFUSED for index in range(0, 300, 50)}))
    assert end.longest_wait == 0
    assert [len(end.stored), len(end.aside)] == [294, 6]


def test_samples_of_a_batch_that_is_refused_go_in_order_and_before_any_later_ones() -> None:
    end = Play([8, 8]).run(refusing({(1, 3): REFUSED}))
    assert end.stored == [*((1, index) for index in range(8) if index != 3), *((2, index) for index in range(8))]


@pytest.mark.parametrize("outcome", [TOO_OLD, BUSY, AWAY], ids=lambda outcome: outcome.words)
@pytest.mark.parametrize("sizes", [[1], [300], [5, 300, 1], [20] * 50])
def test_an_outage_of_any_length_sets_nothing_aside(sizes: list[int], outcome: Outcome) -> None:
    play = Play(sizes)
    during = play.run(lambda _n, _ids: outcome, arrivals=30, requests_max=400)
    assert not during.aside
    assert not during.stored
    assert play.waits >= during.requests // 3, "an outage is not hammered"
    after = play.run(refusing({}))
    assert after.aside == []
    assert after.waiting == set()
    assert len(set(after.stored)) == len(after.stored) == sum(sizes) + 60


@pytest.mark.parametrize("outcome", [TOO_OLD, REFUSED], ids=lambda outcome: outcome.words)
def test_a_queue_that_is_too_old_as_a_whole_blocks_nothing_new_and_costs_few_requests(outcome: Outcome) -> None:
    old = 200
    play = Play([300] * old)
    end = play.run(
        refusing({(batch, index): outcome for batch in range(1, old + 1) for index in range(300)}), arrivals=90
    )
    assert len(end.aside) == old * 300
    assert len(end.stored) == 90 * 2
    assert end.requests < 2 * 300 + old * 25 + 200


def test_words_that_were_proven_cost_no_more_than_one_success_pays_for_when_an_outage_uses_them() -> None:
    play = Play([40, 40])
    play.run(refusing({(1, 7): TOO_OLD}), arrivals=8)
    assert play.aside == [(1, 7)]
    for _ in range(20):
        play.put(40)
    end = play.run(lambda _n, _ids: TOO_OLD, requests_max=play.requests + 2000)
    assert len(end.aside) - 1 <= CREDIT // PROBES * 40
    assert len(play.run(refusing({})).waiting) == 0


def test_a_good_sample_between_hopeless_ones_is_found_by_the_search_that_follows_a_probe() -> None:
    bad = {(batch, index): REFUSED for batch in (1, 2) for index in range(300)}
    del bad[2, 0]  # the first probe of the second batch
    end = Play([300, 300]).run(refusing(bad))
    assert end.stored == [(2, 0)]
    assert len(end.aside) == 599
    assert PROBES < 300


def test_batches_that_are_all_partly_refused_do_not_hide_that_the_receiver_is_alive() -> None:
    """None of them is ever taken as a whole, and the oldest fails for ever."""
    bad: dict[tuple[int, int], Outcome] = {(batch, 0): REFUSED for batch in range(2, 9)}
    bad[1, 0] = BUSY
    end = Play([1, *[4] * 7]).run(refusing(bad))
    assert end.waiting == set() or end.waiting == {(1, 0)}
    assert len(end.stored) == 7 * 3


SAMPLES = st.sampled_from([Taken(), Taken(), Taken(), REFUSED, TOO_OLD, BUSY, AWAY])
BATCHES = st.lists(st.lists(SAMPLES, min_size=1, max_size=40), min_size=1, max_size=8)
OUTAGES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 80), st.sampled_from([FULL, BUSY, AWAY])), max_size=2)


@given(BATCHES, OUTAGES)
def test_every_sample_is_taken_or_set_aside_by_its_own_fault_once_whatever_the_receiver_does(
    batches: list[list[Outcome]], outages: list[tuple[int, int, Outcome]]
) -> None:
    bad = {
        (number, index): fate
        for number, batch in enumerate(batches, start=1)
        for index, fate in enumerate(batch)
        if fate != Taken()
    }
    judge = refusing(bad)

    def answer(request: int, ids: Ids) -> Outcome:
        start = 0
        for after, length, outcome in outages:
            start += after
            if start <= request < start + length:
                return outcome
            start += length
        return judge(request, ids)

    play = Play([len(batch) for batch in batches])
    end = play.run(answer, arrivals=400)
    assert end.waiting == set()
    assert set(end.aside) == set(bad)
    assert len(end.stored) + len(end.aside) == len({*end.stored, *end.aside})
    assert len(end.stored) == sum(map(len, batches)) + (play.produced - len(batches)) * 2 - len(bad)


@settings(max_examples=25)
@given(BATCHES, st.randoms(use_true_random=False), st.integers(0, 9))
def test_no_sample_is_lost_or_counted_twice_by_a_receiver_without_any_sense(
    batches: list[list[Outcome]], rng: Random, share: int
) -> None:
    kinds = [REFUSED, TOO_OLD, BUSY, AWAY, FULL]

    def answer(_request: int, _ids: Ids) -> Outcome:
        return rng.choice(kinds) if rng.random() * 10 < share else Taken()

    play = Play([len(batch) for batch in batches])
    end = play.run(answer, arrivals=50)
    everything = [*end.stored, *end.aside, *end.waiting]
    assert len(everything) == len(set(everything)) == sum(map(len, batches)) + (play.produced - len(batches)) * 2
    assert end.waiting == set(), "while the receiver takes something now and then, nothing stands still"
