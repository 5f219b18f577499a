"""A source that hangs, crashes or lies is isolated: its values are unknown, the check says why, and it may recover."""

import asyncio
import sys
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from limits import no_descriptors
from live import came_true
from nodes import GOOD, Toy, at_work, attached
from peerscope.errors import RemoteError, SourceError, TransportError
from peerscope.records.bodies import OVERLAY_MAX, Check, Kind, OverlayLink, Report, Status, decode_body, encode_body
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.attachment import BACKOFF_S_MAX, Attachment
from peerscope.sources.base import Reading


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


async def settled(source: Any) -> tuple[Reading | None, Check]:
    """What an attachment says after the first question."""
    async with at_work(attached(source)) as attachment:
        await came_true(lambda: attachment.check() is not None, "it was asked")
        check = attachment.check()
        assert check is not None
        return attachment.current(), check


def test_a_good_answer_is_passed_on_and_the_check_is_healthy() -> None:
    assert asyncio.run(settled(Toy())) == (GOOD, Check(Status.HEALTHY))


FAILURES = {
    "its own error": (raising(SourceError("the socket is gone")), "the socket is gone"),
    "an error of ours": (raising(TransportError("no admin socket")), "no admin socket"),
    "a remote error": (raising(RemoteError("malformed-answer", "an apple")), "malformed-answer: an apple"),
    "a bug": (raising(ZeroDivisionError("division by zero")), "failed: ZeroDivisionError: division by zero"),
    "an exit": (raising(SystemExit(3)), "failed: SystemExit: 3"),
    "a cancellation": (raising(asyncio.CancelledError()), "gave up by itself"),
    "control characters": (raising(SourceError("\x1b[31mred")), " [31mred"),
    "nothing": (lambda: None, "answered NoneType instead of a Reading"),
    "text": (lambda: "fine", "answered str instead of a Reading"),
    "text for a number": (lambda: Reading(node="toy", metrics=NodeMetrics("many")), "answered nonsense"),  # type: ignore[arg-type]
    "a terminal's commands": (lambda: Reading(node="\x1b[31m"), "answered nonsense"),
    "no name": (lambda: Reading(node=""), "answered nonsense"),
    "no neighbours' list": (lambda: Reading(node="toy", overlay=7), "answered nonsense"),  # type: ignore[arg-type]
    "a time that is none": (lambda: Reading(node="toy", latency_s=float("nan")), "answered nonsense"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_whatever_fails_becomes_an_unhealthy_check_with_its_reason_and_no_values(name: str) -> None:
    does, reason = FAILURES[name]
    reading, check = asyncio.run(settled(Toy(does)))
    assert reading is None
    assert check.status == Status.UNHEALTHY
    assert reason in (check.message or "")
    report = Report(5000, (check,))
    assert decode_body(Kind.REPORT, encode_body(report)) == report


def test_a_source_that_waits_for_ever_is_given_up_asked_again_and_may_recover() -> None:
    async def scenario() -> None:
        toy = Toy(lambda: asyncio.sleep(3600))
        async with at_work(attached(toy)) as attachment:
            await came_true(lambda: attachment.check() is not None, "it was given up")
            assert attachment.check().message == "has not answered for 0.2 s"
            toy.does = lambda: GOOD
            await came_true(lambda: attachment.current() == GOOD, "it recovered")
            assert attachment.check() == Check(Status.HEALTHY)
            assert attachment.failures == 0

    asyncio.run(scenario())


def test_a_source_that_blocks_its_thread_holds_up_nobody_and_is_not_asked_twice_at_a_time() -> None:
    async def scenario() -> None:
        free = threading.Event()
        toy = Toy(lambda: (free.wait(), GOOD)[1])
        async with at_work(attached(toy)) as attachment:
            await came_true(lambda: attachment.failures >= 3, "it was given up some times")
            assert toy.asked == 1
            assert attachment.current() is None
            free.set()
            await came_true(lambda: attachment.current() == GOOD, "it recovered")

    asyncio.run(scenario())


def test_a_source_that_gets_no_event_loop_is_unhealthy_until_there_are_descriptors_for_one() -> None:
    async def scenario() -> None:
        attachment = attached(Toy())
        with no_descriptors():
            asking = asyncio.create_task(attachment.run())
            await came_true(lambda: attachment.failures >= 2, "it was tried again")
            assert attachment.current() is None
            assert (attachment.check().message or "").startswith("cannot be asked: [Errno 24] Too many open files")
        await came_true(lambda: attachment.current() == GOOD, "it recovered")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(scenario())


def test_values_are_gone_with_the_first_failure() -> None:
    async def scenario() -> None:
        toy = Toy()
        async with at_work(attached(toy)) as attachment:
            await came_true(lambda: attachment.current() == GOOD, "it answers")
            toy.does = raising(OSError("gone"))
            await came_true(lambda: attachment.failures > 0, "it fails")
            assert attachment.current() is None

    asyncio.run(scenario())


def test_a_number_out_of_range_is_unknown_and_takes_no_other_with_it() -> None:
    measures = (Measure("a", 2**53), Measure("b", float("inf")), Measure("c", -1, "", True), Measure("d", -1))
    odd = Reading(
        node="toy",
        metrics=NodeMetrics(-1, 2**53, 5),
        overlay=(OverlayLink("b", -1), OverlayLink("c", 5)),
        measures=measures,
    )
    reading, check = asyncio.run(settled(Toy(lambda: odd)))
    assert reading is not None
    assert check == Check(Status.HEALTHY)
    assert reading.metrics == NodeMetrics(messages=5)
    assert [one.value for one in reading.measures] == [None, None, None, -1]
    assert reading.overlay == (OverlayLink("b"), OverlayLink("c", 5))


def test_a_neighbour_whose_name_is_none_is_left_out_and_counted() -> None:
    names = ("a", "", "evil\x1b[31m", "x" * 81, "\ud800")
    links = tuple(OverlayLink(name) for name in names)
    reading, check = asyncio.run(settled(Toy(lambda: Reading(node="toy", overlay=links, details={"own": 1.0}))))
    assert reading is not None
    assert check == Check(Status.HEALTHY)
    assert (reading.overlay, reading.details) == ((OverlayLink("a"),), {"own": 1.0, "names_refused": 4.0})


def test_more_neighbours_than_a_report_has_room_for_are_cut() -> None:
    many = tuple(OverlayLink(f"toy-{number}") for number in range(OVERLAY_MAX + 1))
    reading, check = asyncio.run(settled(Toy(lambda: Reading(node="toy", overlay=many))))
    assert reading is not None
    assert reading.overlay == many[:-1]
    assert check.status == Status.HEALTHY


def test_it_is_asked_in_a_thread_of_its_own_and_closed_at_the_end() -> None:
    toy = Toy()
    asyncio.run(settled(toy))
    assert toy.threads == {"source toy"}
    assert toy.closed.wait(5.0)


def test_waits_grow_with_failures_differ_by_chance_and_never_exceed_a_minute() -> None:
    attachment = attached(Toy(), interval_s=5.0)
    assert attachment._wait_s() == 5.0
    for failures, longest_s in ((1, 5.0), (2, 10.0), (3, 20.0), (5, 60.0), (5000, 60.0)):
        attachment.failures = failures
        waits = [attachment._wait_s() for _ in range(50)]
        assert longest_s / 2 <= min(waits) < max(waits) <= longest_s <= BACKOFF_S_MAX


def test_a_failure_to_close_is_nobodys_problem() -> None:
    class Stubborn(Toy):
        async def close(self) -> None:
            sys.exit(1)

    assert asyncio.run(settled(Stubborn()))[0] == GOOD


def test_its_name_shows_no_secret() -> None:
    attachment = Attachment("prometheus:http://h/m?token=s3cret", Toy(), interval_s=1, limit_s=1, rng=Random(0))
    assert (attachment.name, attachment.kind) == ("prometheus:http://h/m?...", "prometheus")
