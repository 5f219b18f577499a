"""Orders given at a peer: bounded, kept over restarts, and lifted wherever they were given."""

import asyncio
import time
from pathlib import Path

import pytest

from peerscope.alerts.silences import FOR_S_MAX, StandingForget, StandingOrders, StandingSilence
from peerscope.errors import ConfigError
from peerscope.host.damaged_files import damaged_files
from peerscope.host.state import ORDERS_FILE, StateDirectory
from peerscope.notify.order_book import OrderBook
from peerscope.records.alerts import ORDERS_MAX, Orders
from peerscope.records.bodies import Kind, body_bytes_max, decode_body, encode_body
from peerscope.records.identity import PeerId

ME, OTHER = "aa" * 32, "bb" * 32
BAD_ID = b'{"silences": [{"id": "no hex", "matchers": [["rule", "x"]], "begun_at": 0, "ends_at": 1e12, "author": "a",\
 "reason": "", "peer_id": ""}]}'


class Desk:
    """A book and what it published."""

    def __init__(self, place: Path, *standing: StandingSilence) -> None:
        self.said: list[Orders] = []
        self.others = standing
        self.forgotten: tuple[StandingForget, ...] = ()
        self.book = OrderBook(StateDirectory(place), ME, self.said.append, self.standing)

    def standing(self) -> StandingOrders:
        return StandingOrders(self.others, forgotten=self.forgotten)


def foreign(ends_in_s: float = 3600.0) -> StandingSilence:
    now = time.time()
    return StandingSilence("0badcafe", (("rule", "cpu-*"),), now - 60, now + ends_in_s, "bob", "upgrade", OTHER)


def test_a_silence_is_said_at_once_in_ages(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.book.silence(["rule=cpu-*", "region=eu-*"], 7200, "ann@host", "maintenance")
    (said,) = desk.said[-1].silences
    assert (said.id, said.matchers) == (made.id, (("rule", "cpu-*"), ("region", "eu-*")))
    assert (said.for_ms, said.author, said.reason) == (7_200_000, "ann@host", "maintenance")
    assert said.begun_ms < 60_000
    assert decode_body(Kind.ORDERS, encode_body(desk.said[-1])) == desk.said[-1]


def test_orders_survive_a_restart_and_are_said_again(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    first.book.silence(["rule=cpu-*"], 7200, "ann", "maintenance")
    first.book.acknowledge("cpu-high-aa", "ann", "on it")
    second = Desk(tmp_path)

    async def begin() -> None:
        running = asyncio.create_task(second.book.run())
        await asyncio.sleep(0)
        running.cancel()

    asyncio.run(begin())
    (said,) = second.said
    assert [(one.id, one.for_ms, one.author) for one in said.silences] == [
        (one.id, one.for_ms, one.author) for one in first.said[-1].silences
    ]
    assert [(one.key, one.reason) for one in said.acknowledgements] == [("cpu-high-aa", "on it")]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"silences": 5}', b"\xff", BAD_ID])
def test_a_damaged_file_ends_its_silences_and_nothing_else(tmp_path: Path, damage: bytes) -> None:
    StateDirectory(tmp_path).keep(ORDERS_FILE, damage)
    desk = Desk(tmp_path)
    desk.book.silence(["rule=cpu-*"], 60, "ann", "reason")
    assert len(desk.said[-1].silences) == 1
    assert [place.read_bytes() for place in damaged_files(tmp_path)] == [damage]


def test_our_own_silence_is_lifted_by_listing_it_no_more(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.book.silence(["rule=cpu-*"], 7200, "ann", "maintenance")
    desk.others = (made,)
    assert desk.book.lift(made.id)
    assert desk.said[-1] == Orders()
    assert not desk.book.lift("ffffffff")


def test_the_silence_of_another_is_lifted_by_its_shortest_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, foreign())
    assert desk.book.lift("0badcafe")
    (said,) = desk.said[-1].silences
    assert (said.id, said.for_ms) == ("0badcafe", 0)
    desk.book.silence(["rule=x"], 60, "ann", "another")
    assert desk.said[-1].silences[0].id == "0badcafe", "it stays as long as the silence would"
    later = Desk(tmp_path, foreign())
    later.book.acknowledge("x", "ann")
    assert "0badcafe" in {one.id for one in later.said[-1].silences}


def test_a_silence_of_an_earlier_life_whose_file_is_lost_can_be_lifted(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    made = first.book.silence(["rule=cpu-*"], 7200, "ann", "maintenance")
    (tmp_path / ORDERS_FILE).unlink()
    second = Desk(tmp_path, made)
    assert second.book.lift(made.id)
    assert second.said == [Orders()]


def test_a_lift_is_forgotten_when_the_silence_would_have_ended(tmp_path: Path) -> None:
    desk = Desk(tmp_path, foreign(ends_in_s=-1.0))
    assert desk.book.lift("0badcafe")
    desk.book.silence(["rule=x"], 60, "ann", "another")
    assert "0badcafe" not in {one.id for one in desk.said[-1].silences}


def test_a_peer_orders_no_more_than_its_record_holds(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(ORDERS_MAX):
        desk.book.silence([f"rule=rule-{number}"], 60, "ann@host", "maintenance")
    with pytest.raises(ConfigError, match="64 silences"):
        desk.book.silence(["rule=one-more"], 60, "ann", "maintenance")
    assert len(desk.said[-1].silences) == ORDERS_MAX
    for number in range(2 * ORDERS_MAX):
        desk.book.acknowledge(f"alert-{number}", "a" * 64, "r" * 160)
    known = desk.said[-1].acknowledgements
    assert known[-1].key == f"alert-{2 * ORDERS_MAX - 1}"
    assert len(known) <= ORDERS_MAX
    assert len(encode_body(desk.said[-1])) <= body_bytes_max(Kind.ORDERS)


def test_silences_too_long_for_the_record_are_refused_before_it_overflows(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    wide = [f"{field}={'x' * 64}" for field in ("id", "type", "rule", "peer", "region", "severity", "id", "rule")]

    def order_many() -> None:
        for _ in range(ORDERS_MAX):
            desk.book.silence(wide, 60, "a" * 64, "r" * 160)

    with pytest.raises(ConfigError, match="lift some"):
        order_many()
    assert len(encode_body(desk.said[-1])) <= body_bytes_max(Kind.ORDERS)


@pytest.mark.parametrize(
    ("values", "wish"),
    [
        ({"for_s": 0.0}, "a second and 30 days"),
        ({"for_s": FOR_S_MAX + 1}, "a second and 30 days"),
        ({"for_s": float("nan")}, "a second and 30 days"),
        ({"author": ""}, "author"),
        ({"author": "a" * 65}, "author"),
        ({"reason": ""}, "reason"),
        ({"reason": "\x1b[31m"}, "reason"),
        ({"matchers": ["rule"]}, "FIELD=VALUE"),
    ],
)
def test_a_mistake_is_told_and_nothing_ordered(tmp_path: Path, values: dict[str, object], wish: str) -> None:
    desk = Desk(tmp_path)
    order: dict[str, object] = {"matchers": ["rule=x"], "for_s": 60.0, "author": "ann", "reason": "why"}
    with pytest.raises(ConfigError, match=wish):
        desk.book.silence(**(order | values))  # type: ignore[arg-type]
    assert desk.said == []


def test_a_full_disk_keeps_no_orders_but_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "state")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StateDirectory, "keep", full)
    made = desk.book.silence(["rule=x"], 60, "ann", "why")
    assert desk.said[-1].silences[0].id == made.id


GONE = PeerId(b"\xcc" * 32)


def test_an_order_to_forget_is_said_at_once_and_survives_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.book.forget(GONE, 17, "ann@host", "sold")
    (said,) = desk.said[-1].forgotten
    assert (made.id, made.peer_id) == (GONE.hex(), ME)
    assert (said.peer, said.until, said.author, said.reason, said.is_lifted) == (GONE, 17, "ann@host", "sold", False)
    assert said.sent_ms < 60_000
    assert decode_body(Kind.ORDERS, encode_body(desk.said[-1])) == desk.said[-1]
    later = Desk(tmp_path)
    later.book.acknowledge("x", "ann")
    assert [one.until for one in later.said[-1].forgotten] == [17]


def test_the_latest_order_about_a_peer_replaces_the_one_before_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.book.forget(GONE, 17, "ann", "")
    desk.book.forget(GONE, 99, "ann", "")
    assert [one.until for one in desk.said[-1].forgotten] == [99]


def test_that_a_peer_is_forgotten_is_taken_back_wherever_it_was_ordered(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert not desk.book.remember(GONE)
    desk.forgotten = (StandingForget(GONE.hex(), time.time() - 60, "bob", "gone", OTHER),)
    assert desk.book.remember(GONE)
    (said,) = desk.said[-1].forgotten
    assert (said.peer, said.is_lifted) == (GONE, True)


def test_a_peer_orders_to_forget_no_more_than_its_record_holds(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(ORDERS_MAX):
        desk.book.forget(PeerId(bytes((number,)) * 32), 17, "ann@host", "the rack was sold")
    with pytest.raises(ConfigError, match="keeps 64 orders to forget already"):
        desk.book.forget(GONE, 17, "ann@host", "the rack was sold")
    assert len(desk.said[-1].forgotten) == ORDERS_MAX
    assert len(encode_body(desk.said[-1])) <= body_bytes_max(Kind.ORDERS)


@pytest.mark.parametrize("author", ["", "a" * 65, "two\nlines"])
def test_an_order_to_forget_that_others_would_refuse_is_not_given(tmp_path: Path, author: str) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(ConfigError, match="author"):
        desk.book.forget(GONE, 17, author)
    assert desk.said == []
