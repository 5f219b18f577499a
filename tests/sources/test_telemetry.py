"""Telemetry: what counts, what is refused, what finds no room."""

import asyncio
import json
import threading
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import came_true
from nodes import at_work
from peerscope import Telemetry
from peerscope.errors import NotYetError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources import telemetry as telemetry_module
from peerscope.sources.attachment import _checked
from peerscope.sources.base import Reading
from peerscope.sources.events import (
    Connection,
    Dht,
    Event,
    Gauge,
    Log,
    Message,
    NodeIdentity,
    RefusedEvent,
    read_lines,
)
from peerscope.views.traces import HopEvent


def lines(*events: Any) -> list[bytes]:
    return [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]


def read(*events: Any) -> tuple[list[Event], list[RefusedEvent], Counter[str]]:
    counts: Counter[str] = Counter()
    found, refused = read_lines(lines(*events), 1, counts)
    return found, refused, counts


async def counted(heard: Telemetry) -> Reading:
    """The sums once all events are counted."""
    async with at_work(heard):
        await came_true(lambda: heard.queued == 0 and heard.has_heard, "all is counted")
        return await heard.read()


EVENTS = [
    {"type": "gauge", "name": "tunnels", "value": 3},
    {"type": "message", "direction": "in", "bytes": 100, "error": False, "latency_s": 0.2},
    {"type": "message", "direction": "out", "bytes": 40, "error": True},
    {"type": "connection", "event": "opened", "remote": "12D3KooW", "rtt_s": 0.02},
    {"type": "dht", "op": "put", "key": "k", "values": ["h1", "h2"]},
    {"type": "dht", "op": "lookup", "key": "k", "consistent": False},
    {"type": "hop", "message_id": "m", "hop": "sent", "peer": "p", "at": 1_700_000_000.5},
    {"type": "log", "level": "info", "message": "hello"},
    {"type": "gauge", "name": "block_height", "value": 812_345, "unit": "blocks", "kind": "gauge"},
    {"type": "connection", "event": "measured", "remote": "12D3KooW", "rtt_s": 0.03},
    {"type": "node", "id": "12D3me", "name": "mine", "version": "1.0", "addresses": ["192.0.2.1:4001"]},
]


def test_every_documented_event_is_read() -> None:
    found, refused, counts = read(*EVENTS)
    assert (refused, counts) == ([], Counter())
    assert found[0] == Gauge("tunnels", 3)
    assert found[1] == Message("in", 100, False, 0.2)
    assert found[4] == Dht("put", "k", ("h1", "h2"))
    assert found[6] == HopEvent("m", "sent", 1_700_000_000.5, "p")
    assert found[7] == Log("info", "hello")
    assert found[8] == Gauge("block_height", 812_345, "blocks", "gauge")
    assert found[9] == Connection("measured", "12D3KooW", 0.03)
    assert found[10] == NodeIdentity("12D3me", "mine", "1.0", ("192.0.2.1:4001",))


def test_bad_lines_are_refused_by_number_and_good_ones_of_the_batch_are_kept() -> None:
    found, refused, counts = read(
        EVENTS[0],
        {"type": "colour", "name": "red"},
        b"",
        b"{",
        {"type": "message", "direction": "up", "bytes": 1},
        {"type": "message", "direction": "in", "bytes": -1},
        {"name": "tunnels"},
        b"\xff\xfe",
        EVENTS[7],
    )
    assert found == [Gauge("tunnels", 3), Log("info", "hello")]
    assert [refusal.line for refusal in refused] == [2, 4, 5, 6, 7, 8]
    assert refused[0].reason == "unknown type 'colour'"
    assert refused[3].reason == "bytes: must be at least 0"
    assert counts == {"unknown-type": 1, "no-json": 2, "malformed-event": 3}


GAUGE = {"type": "gauge", "name": "a", "value": 1}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (GAUGE | {"name": "Big"}, "name: must be lower case letters, digits and _, beginning with a letter"),
        (GAUGE | {"name": ""}, "name: must not be empty"),
        (GAUGE | {"name": "a" * 49}, "name: must have at most 48 characters"),
        (GAUGE | {"unit": "A b"}, "unit: must be lower case letters, digits, _ and /"),
        (GAUGE | {"value": "x"}, "value: must be a number, not a text"),
        (GAUGE | {"value": None}, "value: must be a number, not null"),
        (GAUGE | {"value": 1e301}, "value: must be at most 1e+300"),
        (GAUGE | {"kind": "x"}, "kind: unknown value 'x'"),
        (GAUGE | {"name": "tunnels", "value": 1.5}, "tunnels is 1.5; must be a whole number from 0 on"),
        ({"type": "gauge", "value": 1}, "name is missing"),
        ({}, "type is missing"),
        (b"[1]", "the event must be an object, not a list"),
        ({"type": "message", "direction": "in", "bytes": 1.5}, "bytes: must be a whole number, not a fraction"),
        (
            {"type": "message", "direction": "in", "bytes": 1, "error": 1},
            "error: must be true or false, not a whole number",
        ),
        ({"type": "node", "name": "a\0"}, "name: must have no control characters"),
        ({"type": "node", "addresses": ["a"] * 9}, "addresses: must have at most 8 entries"),
        ({"type": "dht", "op": "put", "key": "k", "values": [1]}, "values[0]: must be a text, not a whole number"),
        (
            {"type": "dht", "op": "put", "key": "k", "consistent": 1},
            "consistent: must be true, false or null, not a whole number",
        ),
    ],
)
def test_a_refusal_is_in_plain_words(event: dict[str, object] | bytes, reason: str) -> None:
    (refused,) = read(event)[1]
    assert refused.reason == reason


def test_a_field_that_is_not_known_is_ignored() -> None:
    assert read({**EVENTS[0], "colour": "red"})[0] == [Gauge("tunnels", 3)]


@given(st.lists(st.binary(max_size=200) | st.text(max_size=50).map(str.encode), max_size=20))
def test_whatever_arrives_is_an_event_or_refused_or_empty(batch: list[bytes]) -> None:
    counts: Counter[str] = Counter()
    found, refused = read_lines(batch, 1, counts)
    assert len(found) + len(refused) == sum(bool(line.strip()) for line in batch)
    assert counts.total() == len(refused)
    assert all(len(refusal.reason) <= 200 for refusal in refused)


def test_events_become_the_sums_of_a_reading() -> None:
    heard = Telemetry("beam")
    assert heard.take(read(*EVENTS)[0])
    reading = asyncio.run(counted(heard))
    assert reading.node == "beam"
    assert reading.metrics == NodeMetrics(
        tunnels=3,
        active_connections=1,
        messages=2,
        p2p_peers=1,
        dht_lookups=1,
        dht_puts=1,
        received_bytes=100,
        sent_bytes=40,
        errors=1,
    )
    assert reading.latency_s == 0.2
    assert reading.details["inconsistent_lookups"] == 1.0


def test_what_was_never_told_of_is_unknown() -> None:
    heard = Telemetry()
    heard.take([Log("info", "hello")])
    reading = asyncio.run(counted(heard))
    assert reading.metrics == NodeMetrics()
    assert reading.latency_s is None


def test_the_methods_say_the_same_as_the_lines() -> None:
    heard = Telemetry()
    heard.gauge("tunnels", 3)
    heard.message("in", 100, latency_s=0.2)
    heard.message("out", 40, error=True)
    heard.connection_opened("a")
    heard.connection_opened(remote="a", rtt_s=0.1)
    heard.connection_opened("b")
    heard.connection_closed("b")
    heard.dht_put("k", ["h1"])
    heard.dht_lookup("k", consistent=True)
    heard.hop("m", "received", "p")
    heard.log("warning", "careful")
    found = asyncio.run(counted(heard)).metrics
    assert found == NodeMetrics(3, 2, 2, 1, 1, 1, 100, 40, 1)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("gauge", ("Colours!", 1)),
        ("gauge", ("tunnels", -1)),
        ("gauge", ("tunnels", 1.5)),
        ("message", ("up", 1)),
        ("message", ("in", -1)),
        ("connection_opened", ("",)),
    ],
)
def test_a_method_called_wrongly_says_so_to_its_caller(method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="no such event"):
        getattr(Telemetry(), method)(*arguments)


def test_closing_what_was_opened_before_we_listened_never_goes_below_zero() -> None:
    heard = Telemetry()
    heard.connection_closed("a")
    heard.connection_opened("b")
    metrics = asyncio.run(counted(heard)).metrics
    assert (metrics.active_connections, metrics.p2p_peers) == (1, 1)


def test_a_full_queue_takes_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "QUEUE_MAX", 3)
    heard = Telemetry()
    assert heard.take([Gauge("tunnels", 1)] * 2)
    assert not heard.take([Gauge("tunnels", 2)] * 2)
    assert heard.queued == 2
    heard.gauge("tunnels", 3)
    heard.gauge("tunnels", 4)
    assert heard.refused == {"queue-full": 1}
    assert asyncio.run(counted(heard)).metrics.tunnels == 3


def test_hooks_hear_every_event_also_when_one_of_them_fails() -> None:
    heard, told = Telemetry(), []

    def fail(event: Event) -> None:
        raise RuntimeError("a hook's own fault")

    heard.on_event += [fail, told.append]
    heard.take([Gauge("tunnels", 1), Log("info", "x")])
    asyncio.run(counted(heard))
    assert told == [Gauge("tunnels", 1), Log("info", "x")]


def test_any_thread_may_tell() -> None:
    heard = Telemetry()

    async def scenario() -> None:
        async with at_work(heard):
            threads = [threading.Thread(target=lambda: [heard.message("in", 1) for _ in range(500)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            await came_true(lambda: heard.received["message"] == 2000, "all is counted")
            for thread in threads:
                thread.join()
            assert (await heard.read()).metrics.received_bytes == 2000

    asyncio.run(scenario())


def test_a_node_that_has_told_nothing_or_nothing_for_long_does_not_answer() -> None:
    heard = Telemetry()
    heard.silence_s = 60.0
    with pytest.raises(NotYetError, match="no telemetry yet"):
        asyncio.run(heard.read())
    heard.silence_s = 1e-9
    with pytest.raises(SourceError, match="no telemetry yet") as overdue:
        asyncio.run(heard.read())
    assert not isinstance(overdue.value, NotYetError)
    heard.take([Gauge("tunnels", 1)])
    with pytest.raises(SourceError, match="no telemetry for 0 s"):
        asyncio.run(counted(heard))
    heard.gauge("tunnels", 1)  # in this very process: it cannot be gone
    assert asyncio.run(counted(heard)).metrics.tunnels == 1


def test_mean_latency_is_of_the_time_since_the_last_reading() -> None:
    heard = Telemetry()
    heard.message("in", 1, latency_s=0.1)
    heard.message("in", 1, latency_s=0.3)
    first = asyncio.run(counted(heard))
    assert (first.latency_s, first.latency_age_s) == (pytest.approx(0.2), None)
    quiet = asyncio.run(counted(heard))
    assert quiet.latency_s == first.latency_s
    assert (quiet.latency_age_s or 0) > 0
    heard.message("in", 1, latency_s=0.5)
    assert asyncio.run(counted(heard)).latency_s == 0.5


def test_connections_become_neighbours_with_their_round_trip_times() -> None:
    heard = Telemetry()
    heard.connection_opened("/ip4/192.0.2.7/tcp/4001/p2p/12D3a", rtt_s=0.02)
    heard.connection_opened("/ip6/::1/udp/4001/quic-v1/p2p/12D3a")
    heard.connection_opened("192.0.2.8:4001")
    heard.connection_opened("x" * 100)  # too long for an id: a connection, no neighbour
    heard.connection_opened("with\u2028a line")
    heard.connection_opened("gone", rtt_s=0.1)
    heard.connection_closed("gone")
    heard.connection_measured("192.0.2.8:4001", 0.5)
    heard.connection_measured("unheard of", 0.5)
    reading = asyncio.run(counted(heard))
    assert reading.overlay == (OverlayLink("12D3a", 20_000), OverlayLink("192.0.2.8:4001", 500_000))
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (5, 5)


def test_of_too_many_neighbours_those_connected_for_longest_stay() -> None:
    heard = Telemetry()
    for number in range(100):
        heard.connection_opened(f"node-{number}")
    overlay = asyncio.run(counted(heard)).overlay
    assert [link.node for link in overlay] == [f"node-{number}" for number in range(32)]
    heard.connection_closed("node-3")
    assert [link.node for link in asyncio.run(counted(heard)).overlay][-1] == "node-32"


def test_a_node_introduces_itself_piece_by_piece() -> None:
    heard = Telemetry()
    heard.node("12D3me", version="1.0")
    heard.node(name="mine", addresses=["192.0.2.1:4001"])
    reading = asyncio.run(counted(heard))
    assert (reading.node, reading.node_id, reading.version) == ("mine", "12D3me", "1.0")
    assert reading.addresses == ("192.0.2.1:4001",)
    assert reading.details["node_events"] == 2.0
    named = Telemetry("settings")
    named.node(name="other")
    assert asyncio.run(counted(named)).node == "settings"


def test_a_node_that_restarts_has_no_connections_from_before() -> None:
    heard = Telemetry()
    heard.node("a", started_at=1000.0)
    heard.connection_opened("b")
    heard.gauge("tunnels", 3)
    heard.gauge("block_height", 7)
    heard.node("a", started_at=1000.0)  # said again
    heard.node("a")
    reading = asyncio.run(counted(heard))
    assert (reading.overlay, reading.metrics.tunnels) == ((OverlayLink("b"),), 3)
    heard.node("a", started_at=2000.0)
    reading = asyncio.run(counted(heard))
    assert (reading.overlay, reading.measures) == ((), ())
    assert (reading.metrics.active_connections, reading.metrics.tunnels) == (0, None)


def test_gauges_of_any_name_become_measures_declared_by_their_first_event() -> None:
    heard = Telemetry()
    heard.gauge("block_height", 812_345, unit="blocks")
    heard.gauge("block_height", 812_346)
    heard.gauge("rejected_total", 7.0, kind="counter")
    heard.gauge("load_ratio", 0.123456789)
    heard.gauge("below", -5)
    heard.gauge("block_height", 1, unit="bytes")
    heard.gauge("block_height", 1, kind="counter")
    assert asyncio.run(counted(heard)).measures == (
        Measure("block_height", 812_346, "blocks"),
        Measure("rejected_total", 7, "", True),
        Measure("load_ratio", 0.123457),
        Measure("below", -5),
    )
    assert heard.refused == {"declared-otherwise": 2}


def test_what_is_dropped_after_it_was_accepted_shows_in_the_details() -> None:
    heard = Telemetry()
    heard.gauge("block_height", 912_345, unit="blocks")
    reading = asyncio.run(counted(heard))
    assert not {"refused_events", "last_refusal"} & reading.details.keys()
    heard.gauge("block_height", 912_346, unit="m")
    heard.refused["no-json"] += 1
    reading = asyncio.run(counted(heard))
    assert reading.details["refused_events"] == 2.0
    assert reading.details["last_refusal"] == "gauge block_height: its first event declared another unit or kind"
    for number in range(16):
        heard.gauge(f"own_{number}", number)
    reading = asyncio.run(counted(heard))
    assert reading.details["last_refusal"] == "gauge own_15: there are 16 others already"


@pytest.mark.parametrize("value", [-5, 1e300, 2**53 - 1 + 0.5])
def test_a_running_total_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="running total"):
        Telemetry().gauge("jobs_total", value, kind="counter")
    heard = Telemetry()
    heard.gauge("jobs_total", 3, kind="counter")
    heard.gauge("jobs_total", value)
    assert asyncio.run(counted(heard)).measures == (Measure("jobs_total", 3, "", True),)
    assert heard.refused == {"out-of-range": 1}


def test_totals_beyond_their_limit_begin_anew_and_spoil_nothing_else() -> None:
    heard = Telemetry()
    heard.message("in", 2**53 - 1)
    assert asyncio.run(counted(heard)).metrics.received_bytes == 2**53 - 1
    heard.message("in", 8)
    reading = _checked(asyncio.run(counted(heard)))
    assert (reading.metrics.received_bytes, reading.metrics.messages) == (7, 2)


def test_a_node_has_at_most_sixteen_values_of_its_own() -> None:
    heard = Telemetry()
    for number in range(40):
        heard.gauge(f"own_{number}", number)
    heard.gauge("own_3", 33)
    heard.gauge("tunnels", 2)
    reading = asyncio.run(counted(heard))
    assert len(reading.measures) == 16
    assert Measure("own_3", 33) in reading.measures
    assert (reading.metrics.tunnels, heard.refused) == (2, {"too-many-gauges": 24})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "gauge", "name": "tunnels", "value": -1},
        {"type": "gauge", "name": "tunnels", "value": 1.5},
        {"type": "gauge", "name": "tunnels", "value": 2**53},
        {"type": "gauge", "name": "x", "value": 2**60},
        {"type": "gauge", "name": "x", "value": 1e301},
        {"type": "gauge", "name": "UPPER", "value": 1},
        {"type": "gauge", "name": "x", "value": None},
        {"type": "gauge", "name": "x", "value": 1, "unit": "a unit!"},
        {"type": "gauge", "name": "x", "value": 1, "kind": "rate"},
        {"type": "node", "id": "two\nlines"},
        {"type": "node", "id": ""},
        {"type": "node", "addresses": ["a:1"] * 9},
        {"type": "connection", "event": "lost", "remote": "a"},
    ],
)
def test_events_beyond_their_limits_are_refused(event: dict[str, Any]) -> None:
    found, refused, counts = read(event)
    assert (found, len(refused), counts) == ([], 1, {"malformed-event": 1})


def test_log_lines_are_counted_by_level_and_the_last_errors_shown() -> None:
    heard = Telemetry()
    for level in ("INFO", "info", "Warn", "notice", "wild"):
        heard.log(level, "fine")
    for number in range(5):
        heard.log("ERROR", f"failure {number}\x1b[31m\u202e\n  again" + "x" * 500)
    heard.log("fatal", "the end")
    details = asyncio.run(counted(heard)).details
    assert {name: value for name, value in details.items() if name.startswith("log_") and name != "log_events"} == {
        "log_info": 3.0,
        "log_warning": 1.0,
        "log_other": 1.0,
        "log_error": 5.0,
        "log_critical": 1.0,
    }
    assert details["last_error_1"] == "the end"
    assert str(details["last_error_2"]).startswith("failure 4 [31m again")
    assert len(str(details["last_error_2"])) == 160
    assert "last_error_4" not in details


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_of_an_event_makes_the_reading_invalid(remote: str, message: str) -> None:
    heard = Telemetry()
    found, _, _ = read(
        {"type": "connection", "event": "opened", "remote": remote or "x"},
        {"type": "log", "level": "error", "message": message},
        {"type": "gauge", "name": "own", "value": 1},
    )
    for event in found:
        heard._count(event)
    heard._heard_at = 0.0
    reading = asyncio.run(heard.read())
    assert msgspec.convert(msgspec.to_builtins(reading), Reading) == reading
