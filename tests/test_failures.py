"""Looks that fail: nothing ends, each cause is logged once an hour, every failure is counted."""

import asyncio
import errno
import logging

import pytest

from peerscope.host.failures import CAUSES_MAX, SILENT_S, FailureLog

FULL = errno.EMFILE


def looking(name: str = "own memory", error: Exception | None = None, looks: FailureLog | None = None) -> FailureLog:
    looks = looks or FailureLog()
    with looks.at(name):
        raise error or OSError(FULL, "Too many open files", "/proc/1/statm")
    return looks


def test_a_look_that_fails_is_counted_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    assert looking().failures == {"own memory": 1}
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert said.exc_info is None  # the words of the system say it all
    assert said.getMessage() == (
        "own memory: [Errno 24] Too many open files: '/proc/1/statm'; unknown until the next try"
    )


def test_a_look_that_succeeds_gives_its_value_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    looks = FailureLog()
    assert looks.value("own memory", lambda: 7) == 7
    assert not looks.failures
    assert not caplog.records


def test_a_look_that_fails_has_no_value() -> None:
    def broken() -> int:
        raise OSError(FULL, "Too many open files")

    assert FailureLog().value("own memory", broken) is None


def test_a_cause_is_logged_once_an_hour_whatever_file_it_names(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    looks = FailureLog(lambda: now)
    for number in range(50):
        looking(error=OSError(FULL, "Too many open files", f"/proc/{number}"), looks=looks)
    assert looks.failures["own memory"] == 50
    assert len(caplog.records) == 1
    looking(error=OSError(errno.EACCES, "Permission denied"), looks=looks)
    looking("the look for peers", looks=looks)
    assert len(caplog.records) == 3  # another cause, another look
    now += SILENT_S
    looking(looks=looks)
    assert len(caplog.records) == 4


def test_a_bug_is_logged_with_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    looks = looking(error=KeyError("x"))
    looking(error=KeyError("y"), looks=looks)  # raised in the same line
    assert looks.failures["own memory"] == 2
    (said,) = caplog.records
    assert said.levelno == logging.ERROR
    assert said.exc_info is not None


def test_causes_without_number_are_not_all_remembered() -> None:
    looks = FailureLog(lambda: 0.0)
    for number in range(CAUSES_MAX + 50):
        looking(error=OSError(number, "of some kind"), looks=looks)
    assert len(looks._logged) == CAUSES_MAX


def test_work_that_fails_or_ends_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerscope.host.failures.RESTART_INTERVAL_S", 0)
    looks, begun = FailureLog(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise OSError(FULL, "Too many open files")
        if begun > 2:
            await asyncio.Event().wait()

    async def watch() -> None:
        going = asyncio.create_task(looks.going("the node", work))
        while begun < 3:
            await asyncio.sleep(0)
        going.cancel()
        assert isinstance((await asyncio.gather(going, return_exceptions=True))[0], asyncio.CancelledError)

    asyncio.run(watch())
    assert looks.failures == {"the node": 2}
