"""Remote write against receivers that take, refuse, fail and vanish: what is sampled arrives, in order, once."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from live import came_true
from peerscope.export import delivery as delivery_module
from peerscope.export import remote_write as remote_write_module
from peerscope.export.config import MIB, RemoteWriteConfig
from peerscope.export.delivery import BACKOFF_S_MAX, BACKOFF_S_MIN
from peerscope.export.receiver import RemoteWriteReceiver
from peerscope.export.remote_write import FOLDER, RemoteWrite, brief
from peerscope.host.failures import backoff_s
from receivers import TAKEN, Asked, Written, decoded, receiving

EXTERNAL = {"network": "test", "zone": "", "peer": "me"}
Answers = Callable[[Asked], tuple[int, dict[str, str]]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MAX", 0.05)


class Toy:
    """What a peer tells: so many series, each with the number of the look as its value."""

    def __init__(self, series: int = 3) -> None:
        self.series = series
        self.failure_log = 0
        self.is_elected = True
        self.asked_for: list[tuple[bool, bool]] = []

    def collect(self, of_us: bool, of_all: bool) -> list[Metric]:
        self.asked_for.append((of_us, of_all))
        if not of_us and not of_all:
            return []
        self.failure_log += 1
        family = GaugeMetricFamily("toy_value", "x", labels=["number"])
        for number in range(self.series):
            family.add_metric([str(number)], self.failure_log)
        return [family]


def writer(toy: Toy, state: Path, url: str, **config: object) -> RemoteWrite:
    settings = RemoteWriteConfig(url=url, **config)  # type: ignore[arg-type]
    rng = Random(7)
    return RemoteWrite(
        settings, RemoteWriteReceiver(settings), state, lambda: EXTERNAL, lambda: toy.is_elected, toy.collect, rng
    )


@contextlib.asynccontextmanager
async def sending(writing: RemoteWrite) -> AsyncIterator[RemoteWrite]:
    """Its queue is emptied until the block ends. Samples are taken by the test, not by the clock."""
    task = asyncio.create_task(writing._send_always())
    try:
        yield writing
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def elected(writing: RemoteWrite) -> None:
    """As after a while in which this peer was elected."""
    writing._tenure.is_ours = True


def values(written: list[Written], number: str = "0") -> list[float]:
    return [one.value for one in written if one.labels["number"] == number]


def everything(answers: Answers, state: Path, samples: int, **config: object) -> tuple[RemoteWrite, list[Written]]:
    """Take so many samples, have all of them settled; the writer and what the receiver took."""
    toy = Toy()

    async def play() -> RemoteWrite:
        writing = writer(toy, state, store.url, **config)
        await elected(writing)
        async with sending(writing):
            for _ in range(samples):
                await writing.sample()
            await came_true(lambda: not writing.queue_samples, "nothing waits")
        return writing

    with receiving(answers) as store:
        return asyncio.run(play()), store.written()


def test_every_sample_arrives_once_in_order_with_its_labels(tmp_path: Path) -> None:
    before_ms = time.time() * 1000
    writing, written = everything(lambda _: TAKEN, tmp_path, 5)
    assert [one.name for one in written] == ["toy_value"] * 15
    assert {tuple(one.labels.items()) for one in written} == {
        (("network", "test"), ("number", str(number)), ("peer", "me")) for number in range(3)
    }
    for number in ("0", "1", "2"):
        assert values(written, number) == [1, 2, 3, 4, 5]
    times = [one.at_ms for one in written if one.labels["number"] == "0"]
    assert times == sorted(set(times))
    assert before_ms - 1 <= times[0] <= times[-1] <= time.time() * 1000 + 10
    assert writing.samples == {"sent": 15, "dropped": 0}
    assert writing.delivery.sent_at is not None


@pytest.mark.parametrize("failure", [(503, {}), (500, {"says": "boom"}), (429, {})])
def test_nothing_is_lost_or_repeated_when_the_receiver_fails_now_and_then(
    tmp_path: Path, failure: tuple[int, dict[str, str]]
) -> None:
    rng = Random(1)
    writing, written = everything(lambda _: failure if rng.random() < 0.6 else TAKEN, tmp_path, 12)
    assert values(written) == list(range(1, 13))
    assert writing.delivery.requests["retried"] > 3
    assert writing.samples["sent"] == 36


def test_what_is_refused_is_set_aside_counted_named_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answers(one: Asked) -> tuple[int, dict[str, str]]:
        bad = [sample for sample in decoded(one.body) if sample.labels["number"] == "1" and 2 <= sample.value <= 3]
        return (400, {"says": "out of order sample"}) if bad else TAKEN

    writing, written = everything(answers, tmp_path, 5)
    assert values(written) == values(written, "2") == [1, 2, 3, 4, 5]
    assert values(written, "1") == [1, 4, 5]
    assert (writing.samples["sent"], writing.samples["refused"]) == (13, 2)
    ((reason, aside),) = writing.delivery.aside.items()
    assert (reason, aside.samples) == ("400: out of order sample", 2)
    name = 'toy_value{network="test", number="1", peer="me"} of 20'
    assert aside.example.startswith(name)
    (told,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert told.startswith(
        f"remote write: samples are set aside, since it answers 400: out of order sample: first {name}"
    )


def test_a_credential_that_has_ended_is_a_trouble_until_it_is_replaced(tmp_path: Path) -> None:
    token, toy = tmp_path / "token", Toy()
    token.touch(mode=0o600)
    token.write_text("ended\n")

    def answers(one: Asked) -> tuple[int, dict[str, str]]:
        return TAKEN if one.headers["authorization"] == "Bearer renewed" else (401, {"says": "token expired"})

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url, bearer_token_file=str(token))
        await elected(writing)
        async with sending(writing):
            assert writing.trouble is None
            await writing.sample()
            await came_true(lambda: writing.trouble == "samples wait: it answers 401", "it is refused")
            token.write_text("renewed\n")
            await writing.sample()
            await came_true(lambda: writing.trouble is None, "it is taken again")

    with receiving(answers) as store:
        asyncio.run(play())


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("it answers 403: no such tenant 4711", "it answers 403"),
        ("export.remote_write.password_file: /etc/secret cannot be read", "export.remote_write.password_file"),
        ("HTTPConnection(host='10.1.2.3'): Failed to connect", "the receiver does not answer"),
    ],
)
def test_what_all_members_read_of_a_trouble_names_no_places(reason: str, told: str) -> None:
    assert brief(reason) == told


def test_it_waits_as_long_as_the_receiver_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await real(min(seconds, 0.01))

    monkeypatch.setattr(delivery_module.asyncio, "sleep", noted)
    answers = iter([(429, {"retry-after": "17"}), (503, {"retry-after": "9999999"}), (503, {})])
    everything(lambda _: next(answers, TAKEN), tmp_path, 1)
    first, second, third = [wait_s for wait_s in waits if wait_s != 0.01]  # the others are the test's own
    assert (first, second) == (17, 3600)
    assert 0 < third < 0.05


def test_waits_double_up_to_a_limit_and_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rng = Random(3)
    waits = [[backoff_s(failures, BACKOFF_S_MIN, BACKOFF_S_MAX, rng) for _ in range(50)] for failures in range(1, 30)]
    for failures, some in enumerate(waits, start=1):
        longest = min(30.0, 0.5 * 2 ** (failures - 1))
        assert longest / 2 <= min(some) < max(some) <= longest
        assert max(some) - min(some) > longest / 8
    assert backoff_s(10_000, BACKOFF_S_MIN, BACKOFF_S_MAX, rng) <= 30


def test_a_large_look_goes_in_several_requests(tmp_path: Path) -> None:
    toy = Toy(series=25)

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url, batch_samples_max=10)
        await elected(writing)
        async with sending(writing):
            await writing.sample()
            await came_true(lambda: writing.samples["sent"] == 25, "all is sent")

    with receiving() as store:
        asyncio.run(play())
    assert len(store.asked) == 3
    assert len(store.written()) == 25
    assert len({one.at_ms for one in store.written()}) == 1


def test_an_outage_and_a_restart_within_it_lose_nothing(tmp_path: Path) -> None:
    toy = Toy()

    async def without_receiver(looks: int, url: str) -> None:
        writing = writer(toy, tmp_path, url)
        await elected(writing)
        async with sending(writing):
            for _ in range(looks):
                await writing.sample()
            await came_true(lambda: writing.delivery.requests["retried"] > 2, "it has tried")
            assert writing.queue_samples >= 3 * looks

    async def with_receiver(url: str) -> RemoteWrite:
        writing = writer(toy, tmp_path, url)
        await elected(writing)
        async with sending(writing):
            await came_true(lambda: writing.samples["sent"] == 27, "what waited is sent")
            await writing.sample()
            await came_true(lambda: writing.samples["sent"] == 30, "and so is what is new")
        return writing

    with receiving() as store:
        port = int(store.url.rpartition(":")[2])
    asyncio.run(without_receiver(4, store.url))
    asyncio.run(without_receiver(5, store.url))
    with receiving(port=port) as store:
        asyncio.run(with_receiver(store.url))
    assert values(store.written()) == list(range(1, 11))
    times = [one.at_ms for one in store.written()]
    assert times == sorted(times)


def test_of_an_outage_that_is_too_long_the_newest_is_kept_and_the_rest_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toy, looks, room = Toy(), 300, MIB // 4096

    async def play() -> RemoteWrite:
        writing = writer(toy, tmp_path, "http://127.0.0.1:1", queue_bytes_max=MIB)
        await elected(writing)
        for _ in range(looks):
            await writing.sample()
        return writing

    writing = asyncio.run(play())
    assert writing.queue_samples == 3 * room
    assert writing.queue_bytes <= MIB
    assert writing.samples["dropped"] == 3 * (looks - room)
    assert len([one for one in caplog.records if "the queue is full" in one.message]) == 1


def test_a_series_that_is_told_no_longer_is_ended(tmp_path: Path) -> None:
    toy = Toy(series=3)

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url)
        await elected(writing)
        async with sending(writing):
            await writing.sample()
            toy.series = 1
            await writing.sample()
            await writing.sample()
            await came_true(lambda: not writing.queue_samples, "nothing waits")

    with receiving() as store:
        asyncio.run(play())
    ended = [one for one in store.written() if one.is_stale]
    assert [one.labels["number"] for one in ended] == ["1", "2"]
    assert len({one.at_ms for one in ended}) == 1
    assert values(store.written(), "0") == [1, 2, 3]


def test_one_that_is_no_longer_elected_ends_its_series_and_another_begins(tmp_path: Path) -> None:
    toy = Toy(series=1)
    clock = [0.0]

    async def play() -> list[bool]:
        writing = writer(toy, tmp_path, store.url, interval_s=2.0)
        held = []
        async with sending(writing):
            for is_elected in (True, True, True, False, False, False, True, True):
                toy.is_elected = is_elected
                clock[0] += 2.0
                await writing.sample()
                held.append(writing.is_elected)
            await came_true(lambda: not writing.queue_samples, "nothing waits")
        return held

    with receiving() as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_write_module, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock[0]))
        held = asyncio.run(play())
    assert held == [False, True, True, True, False, False, False, True]
    told = [("end" if one.is_stale else one.value) for one in store.written()]
    assert told == [1, 2, 3, "end", 4]


@pytest.mark.parametrize(("mode", "asked_for"), [("elected", (False, False)), ("every", (True, False))])
def test_one_that_is_not_elected_tells_of_itself_where_all_do(
    tmp_path: Path, mode: str, asked_for: tuple[bool, bool]
) -> None:
    toy = Toy()
    toy.is_elected = False

    async def play() -> None:
        await writer(toy, tmp_path, "http://127.0.0.1:1", mode=mode, interval_s=1.0).sample()

    asyncio.run(play())
    assert toy.asked_for == [asked_for]


def test_a_clock_that_is_set_back_a_little_does_not_disorder_time(tmp_path: Path) -> None:
    writing = writer(Toy(), tmp_path, "http://127.0.0.1:1")
    clock = iter([1000.0, 1015.0, 1003.0, 1004.0, 1030.0, 500.0, 515.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_write_module, "time", SimpleNamespace(time=lambda: next(clock)))
        told = [writing._now_ms() for _ in range(7)]
    assert told == [1_000_000, 1_015_000, 1_015_001, 1_015_002, 1_030_000, 500_000, 515_000]


def test_a_goodbye_ends_the_series_of_this_peer(tmp_path: Path) -> None:
    toy = Toy(series=2)

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url)
        await elected(writing)
        async with sending(writing):
            await writing.sample()
            await came_true(lambda: writing.samples["sent"] == 2, "it is sent")
        await writing.close()

    with receiving() as store:
        asyncio.run(play())
    assert [one.is_stale for one in store.written()] == [False, False, True, True]


def test_what_was_under_way_at_the_end_is_not_sent_again(tmp_path: Path) -> None:
    toy = Toy(series=1)

    def slow(_: Asked) -> tuple[int, dict[str, str]]:
        time.sleep(0.3)
        return TAKEN

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url)
        await elected(writing)
        async with sending(writing):
            await writing.sample()
            await came_true(lambda: writing.delivery._in_flight is not None, "it is being sent")
        await writing.close()
        assert writing.queue_samples == 0

    with receiving(slow) as store:
        asyncio.run(play())
    assert [math.isnan(one.value) for one in store.written()] == [False, True]


def test_a_receiver_that_hangs_does_not_keep_an_agent_from_leaving(tmp_path: Path) -> None:
    toy, leaving = Toy(), asyncio.Event()

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url)
        await elected(writing)
        async with sending(writing):
            await writing.sample()
            await came_true(lambda: bool(store.asked) or writing.delivery._in_flight is not None, "it is being sent")
        async with asyncio.timeout(10):
            await writing.close()
        leaving.set()

    def hangs(_: Asked) -> tuple[int, dict[str, str]]:
        time.sleep(4)
        return TAKEN

    with receiving(hangs) as store:
        asyncio.run(play())
    assert leaving.is_set()


def test_a_disk_that_cannot_be_written_is_told_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    toy = Toy()

    async def play() -> RemoteWrite:
        writing = writer(toy, tmp_path, "http://127.0.0.1:1", interval_s=1.0)
        await elected(writing)
        running = asyncio.create_task(writing.run())
        await came_true(lambda: writing.samples["failed"] >= 6, "samples were lost")
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return writing

    writing = asyncio.run(play())
    assert writing.queue_samples == 0
    told = [one.message for one in caplog.records if "its queue on disk fails" in one.message]
    assert len(told) == 1


def test_by_itself_it_samples_at_every_full_interval(tmp_path: Path) -> None:
    toy = Toy(series=1)

    async def play() -> None:
        writing = writer(toy, tmp_path, store.url, interval_s=1.0)
        running = asyncio.create_task(writing.run())
        await came_true(lambda: writing.samples["sent"] >= 3, "three samples are sent")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with receiving() as store:
        asyncio.run(play())
    seconds = [one.at_ms // 1000 for one in store.written()]
    assert seconds == sorted(set(seconds)), "never two of one interval"
