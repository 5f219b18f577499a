"""What became of every sample, with a queue on a real disk and a receiver behind real HTTP."""

import asyncio
import errno
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerscope.export import delivery as delivery_module
from peerscope.export import spool as spool_module
from peerscope.export.config import MIB, RemoteWriteConfig
from peerscope.export.delivery import OTHER, REASONS_MAX, UNREADABLE, Delivery
from peerscope.export.receiver import RemoteWriteReceiver
from peerscope.export.spool import Spool
from peerscope.export.wire import encode
from receivers import NO_ANSWER, TAKEN, Asked, decoded, receiving
from receivers import Receiver as Store

Answer = tuple[int, dict[str, str]]
STEPS_MAX = 3000


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MIN", 0.0)
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MAX", 0.0)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with receiving() as store:
        yield store


class Sender:
    """A queue that is emptied, step by step."""

    def __init__(self, state: Path, url: str, ahead_s: float = 0.0) -> None:
        config = RemoteWriteConfig(url=url)
        self.samples: Counter[str] = Counter()
        self.spool = Spool(state, MIB)
        self.ahead_s = ahead_s
        self.delivery = Delivery(self.spool, RemoteWriteReceiver(config), self.samples, Random(1), lambda: self.ahead_s)

    def put(self, names: list[str], at_ms: int | None = None) -> None:
        at_ms = round(time.time() * 1000) - 1000 if at_ms is None else at_ms
        samples = [((("__name__", name),), 1.0) for name in names]
        assert self.spool.put(encode(samples, at_ms), len(names), at_ms) == 0

    def send(self, steps: int = STEPS_MAX) -> bool:
        """So many steps; whether nothing is left to send."""

        async def sending() -> bool:
            for _ in range(steps):
                if not await self.delivery.send_next():
                    return True
            return False

        return asyncio.run(sending())


def names(store: Store) -> list[str]:
    return [one.name for one in store.written()]


def serve(store: Store, bad: dict[str, Answer], outages: list[tuple[int, int, Answer]]) -> None:
    """Refuse requests that hold these samples, and all of them in outages: from the n-th request, for so many."""
    store.asked.clear()
    store.taken.clear()

    def answers(asked: Asked) -> Answer:
        number = len(store.asked) + 1
        for start, length, answer in outages:
            if start <= number < start + length:
                return answer
        return next((bad[one.name] for one in decoded(asked.body) if one.name in bad), TAKEN)

    store.answers = answers


FATES = st.sampled_from(
    [
        *[TAKEN] * 6,
        (400, {"says": "out of order sample"}),
        (422, {"says": "label too long"}),
        (500, {"says": "too old sample"}),
        (503, {}),
        (403, {"says": "not this one"}),
        NO_ANSWER,
    ]
)
OUTAGES = st.sampled_from([(503, {}), (500, {"says": "disk full"}), (429, {}), (401, {}), (404, {}), NO_ANSWER])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(FATES, min_size=1, max_size=9), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40), OUTAGES), max_size=2),
    st.none() | st.integers(1, 40),
)
def test_every_sample_is_stored_or_still_waits_or_is_counted_as_set_aside(
    store: Store, batches: list[list[Answer]], outages: list[tuple[int, int, Answer]], killed_after: int | None
) -> None:
    fates = {f"s_{number}_{index}": fate for number, batch in enumerate(batches) for index, fate in enumerate(batch)}
    bad = {name: fate for name, fate in fates.items() if fate[0] != 204}
    serve(store, bad, outages)
    with tempfile.TemporaryDirectory() as place:
        sender = Sender(Path(place), store.url)
        for number, batch in enumerate(batches):
            sender.put([f"s_{number}_{index}" for index in range(len(batch))])
        total = len(fates)
        if killed_after is not None:
            sender.send(killed_after)
            done = sender.samples.total()
            assert done + sender.spool.samples - sender.delivery.settled == total
            total -= done - sender.delivery.settled  # what was settled of a batch that was not is sent again
            sender = Sender(Path(place), store.url)
        for number in range(100):  # every interval brings another batch
            if sender.send(20):
                break
            sender.put([f"later_{number}"])
            total += 1
        assert sender.send(), "nothing stands still"
        assert (sender.spool.samples, list(Path(place).iterdir())) == (0, [])
        assert sender.samples.total() == total
        stored = set(names(store))
        assert {name for name in fates if name in stored} == fates.keys() - bad.keys()
        if killed_after is None:
            assert sender.samples["refused"] == sum(one.samples for one in sender.delivery.aside.values()) == len(bad)
            assert len(names(store)) == len(stored), "nothing is sent twice"


def test_a_wrong_credential_or_address_loses_nothing(store: Store, tmp_path: Path) -> None:
    serve(store, {}, [(1, 50, (401, {})), (51, 50, (404, {})), (101, 50, (307, {"location": "/"}))])
    sender = Sender(tmp_path, store.url)
    for number in range(5):
        sender.put([f"a_{number}", f"b_{number}"])
    assert sender.send()
    assert sender.samples == {"sent": 10}


def test_samples_dated_after_the_networks_clock_are_held_back_and_others_are_not(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serve(store, {}, [])
    now_ms = round(time.time() * 1000)
    sender = Sender(tmp_path, store.url, ahead_s=3600.0)
    sender.put(["ahead"], now_ms)
    sender.put(["right"], now_ms - 3_600_000)
    assert sender.send()
    asyncio.run(sender.delivery.look_ahead())
    asyncio.run(sender.delivery.look_ahead())
    assert (names(store), sender.delivery.held, sender.spool.samples) == (["right"], 1, 1)
    sender.ahead_s = 0.0  # the clock of the network gets there
    assert sender.send()
    asyncio.run(sender.delivery.look_ahead())
    assert (names(store), sender.delivery.held, sender.spool.samples) == (["right", "ahead"], 0, 0)
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["held back until" in one for one in told] == [True, False]
    assert "(+3600 s)" in told[0]


def test_what_a_clock_that_was_set_right_had_dated_ahead_waits_too(store: Store, tmp_path: Path) -> None:
    serve(store, {}, [])
    sender = Sender(tmp_path, store.url)
    sender.put(["ahead"], round(time.time() * 1000) + 3_600_000)
    sender.put(["now"])
    assert sender.send()
    assert names(store) == ["now"]
    asyncio.run(sender.delivery.look_ahead())
    assert sender.delivery.held == 1


def test_so_many_reasons_are_kept_apart_and_no_more(store: Store, tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    serve(store, {f"s_{letter}": (400, {"says": f"reason {letter}"}) for letter in letters}, [])
    sender = Sender(tmp_path, store.url)
    sender.put([f"s_{letter}" for letter in letters])
    assert sender.send()
    assert len(sender.delivery.aside) == REASONS_MAX + 1
    assert sender.delivery.aside[OTHER].samples == len(letters) - REASONS_MAX


def test_a_damaged_file_is_counted_and_holds_nothing_up(store: Store, tmp_path: Path) -> None:
    serve(store, {"bad": (400, {})}, [])
    sender = Sender(tmp_path, store.url)
    sender.put(["lost", "bad"])
    sender.put(["good"])
    (damaged,) = tmp_path.glob("000000000001-*")
    damaged.write_bytes(damaged.read_bytes().replace(b"lost", b"xxxx\xff"))
    store.answers = lambda asked: TAKEN if b"good" in asked.body else (400, {})
    assert sender.send()
    assert (sender.samples, set(sender.delivery.aside)) == ({"failed": 2, "sent": 1}, {UNREADABLE})


def test_a_file_that_cannot_be_read_holds_nothing_up_unless_the_machine_is_at_its_limit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(store, {}, [])
    sender = Sender(tmp_path, store.url)
    sender.put(["lost"])
    sender.put(["good"])
    real, code = spool_module.Path.read_bytes, [errno.EMFILE]

    def fails(place: Path) -> bytes:
        if place.name.startswith("000000000001-"):
            raise OSError(code[0], "no")
        return real(place)

    monkeypatch.setattr(spool_module.Path, "read_bytes", fails)
    with pytest.raises(OSError, match="no"):
        sender.send()
    code[0] = errno.EIO
    assert sender.send()
    assert (sender.samples, names(store)) == ({"failed": 1, "sent": 1}, ["good"])
    assert sender.delivery.aside[UNREADABLE].samples == 1


def test_a_store_that_fails_and_takes_in_turn_fills_no_log(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    too_old = (500, {"says": "too old sample"})
    serve(store, {f"old_{number}_{index}": too_old for number in range(20) for index in range(3)}, [])
    sender = Sender(tmp_path, store.url)
    for number in range(20):
        sender.put([f"old_{number}_{index}" for index in range(3)])
    for number in range(100):
        sender.put([f"new_{number}"])
        if sender.send(20):
            break
    assert (sender.samples["refused"], sender.spool.samples) == (60, 0)
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert [one.partition(":")[2][:40].strip() for one in told] == [
        "the receiver does not take samples, the",
        "the receiver takes samples again",
        "samples are set aside, since it answers",
    ]
