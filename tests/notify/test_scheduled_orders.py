"""The order book and silences ordered in advance: kept, published anew as windows pass, lifted at any peer."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from peerscope.alerts.silences import FOR_S_MAX, StandingOrders, StandingSilence
from peerscope.errors import ConfigError
from peerscope.host.state import ORDERS_FILE, StateDirectory
from peerscope.notify import order_book
from peerscope.notify.order_book import KeptOrders, OrderBook
from peerscope.notify.schedule import SilenceTimes
from peerscope.records.alerts import ORDERS_MAX, WINDOWS_MAX, Orders
from peerscope.records.bodies import Kind, decode_body, encode_body

ME, OTHER = "aa" * 32, "bb" * 32
NIGHTLY = SilenceTimes("02:30", "FREQ=DAILY", "Europe/Berlin")


class Desk:
    """A book, its clock, and what it published."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[Orders] = []
        self.now = time.time()
        self.others = StandingOrders()
        monkeypatch.setattr(order_book.time, "time", lambda: self.now)
        self.book = OrderBook(StateDirectory(place), ME, self.said.append, lambda: self.others)

    def look(self) -> None:
        """One turn of its loop."""

        async def turn() -> None:
            running = asyncio.create_task(self.book.run())
            await asyncio.sleep(0)
            running.cancel()

        asyncio.run(turn())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_silence_that_begins_later_is_published_with_its_window(desk: Desk) -> None:
    made = desk.book.silence(["rule=x"], 60, "ann", "why", SilenceTimes(str(int(desk.now) + 600)))
    (said,) = desk.said[-1].silences
    (window,) = said.windows
    assert (said.for_ms, window.for_ms, said.repeats, said.zone) == (0, 60_000, "", "UTC")
    assert window.in_ms == pytest.approx(600_000, abs=1000)
    assert made.begun_at == int(desk.now) + 600
    assert decode_body(Kind.ORDERS, encode_body(desk.said[-1])) == desk.said[-1]


def test_a_rule_travels_as_the_operator_wrote_it_with_its_zone(desk: Desk) -> None:
    made = desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    (said,) = desk.said[-1].silences
    assert (said.repeats, said.zone, len(said.windows)) == ("FREQ=DAILY", "Europe/Berlin", WINDOWS_MAX)
    assert (made.repeats, made.zone) == ("FREQ=DAILY", "Europe/Berlin")


def test_windows_that_pass_are_replaced_by_further_ones(desk: Desk) -> None:
    desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    before = [desk.now + one.in_ms / 1000 for one in desk.said[-1].silences[0].windows]
    desk.look()  # the first look publishes what an earlier run left
    count = len(desk.said)
    desk.now += 60
    desk.look()
    assert len(desk.said) == count, "no window has passed"
    desk.now = before[0] + 3601
    desk.look()
    after = [desk.now + one.in_ms / 1000 for one in desk.said[-1].silences[0].windows]
    assert after[:-1] == pytest.approx(before[1:], abs=1)
    assert len(after) == WINDOWS_MAX


def test_it_ends_with_its_last_window(desk: Desk) -> None:
    times = SilenceTimes("02:30", "FREQ=DAILY;COUNT=2", "UTC")
    desk.book.silence(["rule=x"], 3600, "ann", "why", times)
    assert len(desk.said[-1].silences[0].windows) == 2
    desk.now += 3 * 86_400
    desk.look()
    assert desk.said[-1] == Orders()


def test_it_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Desk(tmp_path, monkeypatch)
    first.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    second = Desk(tmp_path, monkeypatch)
    second.look()
    assert [one.id for one in second.said[-1].silences] == [one.id for one in first.said[-1].silences]
    assert second.said[-1].silences[0].windows[0].for_ms == 3_600_000


def test_an_older_agent_that_reads_the_file_does_not_take_it_for_one_that_holds(desk: Desk, tmp_path: Path) -> None:
    desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    kept = msgspec.json.decode((tmp_path / ORDERS_FILE).read_bytes(), type=KeptOrders)
    assert kept.silences == ()
    assert len(kept.scheduled) == 1


def test_its_own_peer_lifts_it(desk: Desk) -> None:
    made = desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    assert desk.book.lift(made.id)
    assert desk.said[-1] == Orders()
    assert not desk.book.lift(made.id)


def foreign(now: float) -> StandingSilence:
    windows = ((now + 600, now + 4200), (now + 87_000, now + 90_600))
    matchers = (("rule", "x"),)
    return StandingSilence("0badcafe", matchers, *windows[0], "bob", "w", OTHER, windows, "FREQ=DAILY", "UTC")


def test_another_peer_lifts_it_and_says_so_for_as_long_as_a_silence_may_last(desk: Desk) -> None:
    desk.others = StandingOrders(scheduled=(foreign(desk.now),))
    assert desk.book.lift("0badcafe")
    (said,) = desk.said[-1].silences
    assert (said.id, said.for_ms, said.windows) == ("0badcafe", 0, ())
    desk.now += FOR_S_MAX - 60
    desk.book.acknowledge("x", "ann")
    assert [one.id for one in desk.said[-1].silences] == ["0badcafe"]
    desk.now += 120
    desk.look()
    desk.book.acknowledge("y", "ann")
    assert desk.said[-1].silences == ()


def test_its_author_drops_it_when_another_peer_has_lifted_it(desk: Desk, tmp_path: Path) -> None:
    made = desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    desk.others = StandingOrders(lifted=frozenset((made.id,)))
    desk.look()
    assert desk.said[-1] == Orders()
    assert made.id not in (tmp_path / ORDERS_FILE).read_text()


def test_orders_beyond_the_limit_are_refused(desk: Desk) -> None:
    def order_many() -> None:
        for number in range(ORDERS_MAX + 1):
            desk.book.silence([f"rule=rule-{number}"], 3600, "ann", "maintenance", NIGHTLY)

    with pytest.raises(ConfigError, match="lift some first"):
        order_many()
    assert decode_body(Kind.ORDERS, encode_body(desk.said[-1])) == desk.said[-1]


def test_a_zone_that_is_gone_from_the_machine_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, monkeypatch)
    desk.book.silence(["rule=x"], 3600, "ann", "why", NIGHTLY)
    place = tmp_path / ORDERS_FILE
    place.write_text(place.read_text().replace("Europe/Berlin", "Mars/Olympus"))
    later = Desk(tmp_path, monkeypatch)
    later.look()
    later.book.silence(["rule=y"], 60, "ann", "why")
    assert [one.matchers for one in later.said[-1].silences] == [(("rule", "y"),)]
    assert len(msgspec.json.decode(place.read_bytes(), type=KeptOrders).scheduled) == 1
