"""What real stores take, as the tables in docs/reference/remote-write.md say: it is measured here, and compared."""

import asyncio
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import cramjam
import pytest
from google.protobuf.internal import encoder

from peerscope.export import delivery as delivery_module
from peerscope.export.config import MIB, RemoteWriteConfig
from peerscope.export.delivery import SampleDelivery
from peerscope.export.receiver import RemoteWriteReceiver
from peerscope.export.spool import Spool
from peerscope.export.wire import STALE, Sample, encode
from stores import CURRENT, CurrentPrometheus, CurrentVictoriaMetrics, Prometheus, Store, VictoriaMetrics

pytestmark = pytest.mark.tools
Need = Callable[[str], str]
DOC = Path(__file__).parents[2] / "docs" / "reference/remote-write.md"
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
WINDOW = "storage: {tsdb: {out_of_order_time_window: 30m}}\n"


class Asking:
    """One store, freshly started, to which requests go as they are."""

    def __init__(self, store: Prometheus | VictoriaMetrics) -> None:
        self.store = store
        self.now_ms = round(time.time() * 1000) - SECOND

    def send(self, body: bytes, *, path: str = "", **headers: str) -> str:
        """The status of the answer, and what it says of itself."""
        sent = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
            **headers,
        }
        url = self.store.url + path if path else self.store.write_url
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, sent), timeout=20) as answer:
                proof = answer.headers.get("X-Prometheus-Remote-Write-Samples-Written")
                return f"{answer.status}{f', {proof} written' if proof else ''}"
        except urllib.error.HTTPError as error:
            said = re.split(r" \d", error.read(300).decode().strip().removeprefix("404 "))[0]
            return f"{error.code} {said}" if len(said) < 60 else str(error.code)

    def write(self, *samples: Sample, at: int = 0) -> str:
        """Samples of this time after now, in milliseconds."""
        return self.send(encode(samples, self.now_ms + at))

    def stored(self, name: str) -> int:
        """How many samples of this metric there are."""
        return sum(map(len, self.store.samples(f"{{__name__=~'{name}.*'}}").values()))


def one(name: str, value: float = 1.0) -> Sample:
    return (("__name__", name),), value


def in_order(ask: Asking) -> tuple[str, int, int]:
    return ask.write(one("order_a")), ask.stored("order"), 1


def sent_twice(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("twice"))
    return ask.write(one("twice")), min(1, ask.stored("twice")), 1


def another_value(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("other_value"))
    return ask.write(one("other_value", 2.0)), ask.stored("other_value") - 1, 1


def ten_minutes_late(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("late"))
    return ask.write(one("late"), at=-10 * MINUTE), ask.stored("late") - 1, 1


def late_with_good_ones(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("mixed"))
    return ask.write(one("mixed"), one("mixed_good"), at=-10 * MINUTE), ask.stored("mixed") - 1, 2


def two_hours_late(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("later"))
    return ask.write(one("later_new"), at=-2 * HOUR), ask.stored("later_new"), 1


def end_mark(ask: Asking) -> tuple[str, int, int]:
    ask.write(one("ended"))
    assert not has_ended(ask.store)
    return ask.write(one("ended", STALE), at=1), int(has_ended(ask.store)), 1


def has_ended(store: Prometheus | VictoriaMetrics) -> bool:
    if isinstance(store, Prometheus):
        return store.query("ended") == []
    return any(value is None for told in store.samples("ended").values() for _, value in told)


def wrong_path(ask: Asking) -> tuple[str, int, int]:
    return ask.send(encode([one("path")], ask.now_ms), path="/api/v1/writ"), ask.stored("path"), 1


def version_two(ask: Asking) -> tuple[str, int, int]:
    """A request of remote write 2.0 with one series: symbols, and a series that refers to them."""

    def field(number: int, data: bytes) -> bytes:
        return encoder.TagBytes(number, 2) + encoder._VarintBytes(len(data)) + data  # type: ignore[attr-defined]

    sample = b"\x09" + b"\0\0\0\0\0\0\xf0\x3f" + b"\x10" + encoder._VarintBytes(ask.now_ms)  # type: ignore[attr-defined]
    series = field(1, b"\1\2") + field(2, sample)
    message = b"".join(field(4, symbol) for symbol in (b"", b"__name__", b"second_version")) + field(5, series)
    answer = ask.send(
        bytes(cramjam.snappy.compress_raw(message)),
        **{
            "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "X-Prometheus-Remote-Write-Version": "2.0.0",
        },
    )
    return answer, ask.stored("second_version"), 1


def two_hours_ahead(ask: Asking) -> tuple[str, int, int]:
    """Afterwards the store may be of no use."""
    answer = ask.write(one("ahead"), at=2 * HOUR)
    return answer, int(is_stored_ahead(ask)), 1


def is_stored_ahead(ask: Asking) -> bool:
    at_s = ask.now_ms / 1000 + 3 * 3600
    if isinstance(ask.store, Prometheus):
        found = ask.store.get("/api/v1/query", query="ahead[2h]", time=str(at_s))
        return bool(found["data"]["result"])
    ask.stored("ahead")  # has it written to disk
    return ask.store.text("/api/v1/export", **{"match[]": "ahead"}, end=str(at_s)) != ""


def after_one_ahead(ask: Asking) -> tuple[str, int, int]:
    return ask.write(one("after_ahead")), ask.stored("after_ahead"), 1


CASES: dict[str, Callable[[Asking], tuple[str, int, int]]] = {
    "a sample in order": in_order,
    "the same sample again": sent_twice,
    "another value for the same moment": another_value,
    "10 min older than its series": ten_minutes_late,
    "the same, with a new series beside it": late_with_good_ones,
    "2 h old, of a new series": two_hours_late,
    "the mark that ends a series": end_mark,
    "a wrong path": wrong_path,
    "remote write 2.0": version_two,
    "a sample 2 h ahead": two_hours_ahead,
    "a new series, after that one": after_one_ahead,
}


@pytest.fixture
def asking(request: pytest.FixtureRequest, need: Need, need_current: Need, tmp_path: Path) -> Iterator[Asking]:
    kind, config = request.param
    if config:
        (tmp_path / "prometheus.yml").write_text(config)
    store: Store = kind(need_current if kind in CURRENT else need, tmp_path)
    store.start()
    yield Asking(store)  # type: ignore[arg-type]
    store.stop()


def column(asking: Asking) -> list[str]:
    """One line for each case: the answer, and how much of it was stored."""
    found = []
    for case in CASES.values():
        answer, stored, sent = case(asking)
        kept = {0: "nothing", sent: "all"}.get(stored, f"{stored} of {sent}")
        found.append(f"{answer}: {kept} stored")
    return found


def documented(name: str) -> list[str]:
    """The table of this store in the document."""
    table = DOC.read_text("utf-8").split(f"### {name}\n")[1].split("###")[0]
    rows = [re.split(r" *\| *", line.strip("| \n")) for line in table.splitlines() if "|" in line]
    cells = {row[0]: row[1] for row in rows}
    return [cells[case].replace("`", "") for case in CASES]


@pytest.mark.parametrize(
    ("asking", "name"),
    [
        ((Prometheus, ""), "Prometheus"),
        ((Prometheus, WINDOW), "Prometheus with a window"),
        ((VictoriaMetrics, ""), "VictoriaMetrics"),
        ((CurrentPrometheus, ""), "Prometheus 3"),
        ((CurrentPrometheus, WINDOW), "Prometheus 3 with a window"),
        ((CurrentVictoriaMetrics, ""), "VictoriaMetrics 1.151"),
    ],
    indirect=["asking"],
    ids=["plain", "window", "victoria", "plain-3", "window-3", "victoria-1.151"],
)
def test_what_a_store_takes_is_what_the_document_says(asking: Asking, name: str) -> None:
    assert column(asking) == documented(name)


@pytest.mark.parametrize("asking", [(VictoriaMetrics, ""), (CurrentVictoriaMetrics, "")], indirect=True)
def test_victoria_metrics_drops_what_is_out_of_its_time_without_a_word(asking: Asking) -> None:
    """It keeps a year here (`stores.py`), and two days ahead."""
    day = 24 * HOUR
    answers = {at: asking.write(one(f"at_{at % 997}"), at=at) for at in (-400 * day, -300 * day, day, 3 * day)}
    assert set(answers.values()) == {"204"}
    asking.stored("at_")  # has it written to disk
    span = {"start": str(asking.now_ms / 1000 - 500 * 86400), "end": str(asking.now_ms / 1000 + 10 * 86400)}
    kept = {at: asking.store.text("/api/v1/export", **{"match[]": f"at_{at % 997}"}, **span) != "" for at in answers}
    assert kept == {-400 * day: False, -300 * day: True, day: True, 3 * day: False}


REAL = {
    "plain": ((Prometheus, ""), 1),
    "window": ((Prometheus, WINDOW), 1),
    "victoria": ((VictoriaMetrics, ""), 0),
    "plain-3": ((CurrentPrometheus, ""), 1),
    "window-3": ((CurrentPrometheus, WINDOW), 1),
    "victoria-1.151": ((CurrentVictoriaMetrics, ""), 0),
}


@pytest.mark.parametrize(("asking", "refused"), REAL.values(), indirect=["asking"], ids=REAL)
def test_what_a_real_store_cannot_take_is_set_aside_and_all_else_arrives(
    asking: Asking, refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MIN", 0.0)
    monkeypatch.setattr(delivery_module, "BACKOFF_S_MAX", 0.0)
    assert asking.write(one("queued_7")).startswith("204")
    samples: Counter[str] = Counter()
    spool = Spool(tmp_path / "queue", MIB)
    delivery = SampleDelivery(
        spool, RemoteWriteReceiver(RemoteWriteConfig(url=asking.store.write_url)), samples, Random(1), lambda: 0.0
    )

    def put(names: list[str], at: int) -> None:
        at_ms = asking.now_ms + at
        spool.put(encode([one(name) for name in names], at_ms), len(names), at_ms)

    put([f"queued_{number}" for number in range(20)], -45 * MINUTE)  # one of its series is much newer already
    put(["queued_new"], -SECOND)

    async def drain() -> None:
        for number in range(100):  # every interval brings another batch
            for _ in range(10):
                if not await delivery.send_next():
                    return
            put([f"queued_next_{number}"], number + 1)

    asyncio.run(drain())
    assert (spool.samples, samples["refused"]) == (0, refused)
    names = {dict(labels)["__name__"] for labels in asking.store.samples("{__name__=~'queued_.*'}")}
    assert {f"queued_{number}" for number in range(20)} | {"queued_new"} <= names
    assert asking.stored("queued") == samples["sent"] + 1
    words = {"out of order sample", "too old sample"} & {reason[5:] for reason in delivery.aside}
    assert len(words) == refused
