"""A whole agent whose disk is spoilt goes on."""

import asyncio
from pathlib import Path
from typing import Any

from live import came_true, settings
from peerscope import Monitor
from peerscope.history.reader import Question
from peerscope.history.schema import FILE
from peerscope.history.series import SERIES
from volumes import fill, remount


def agent(state: Path) -> Monitor:
    return Monitor(settings(history={"interval_s": 1}), state)


async def values(monitor: Monitor) -> int:
    """How many values of its disk it knows."""
    assert monitor.recorder is not None
    now = int(monitor.snapshot().wall)
    found = await monitor.recorder.read(Question(SERIES["disk_ratio"], monitor.peer.me, now - 600, now))
    return sum(value is not None for _, value in found.samples)


def test_on_a_full_disk_an_agent_goes_on_and_raises_one_alert(volume: Path) -> None:
    async def scenario() -> None:
        async with agent(volume) as monitor:
            told: list[dict[str, Any]] = []
            monitor.listen(told.append)
            fill(volume)
            assert monitor.recorder is not None
            await came_true(lambda: monitor.peer.ledger.report(monitor.peer.me) is not None, "it has measured itself")
            for _ in range(2):
                monitor.recorder.take(monitor.recorder.sample(int(monitor.snapshot().wall)))
                await monitor.recorder.flush()
            name = f"history-degraded-{monitor.peer.me.hex()[:16]}"
            await came_true(lambda: [alert.id for alert in monitor.alerts(active_only=True)] == [name], "it is told")
            assert [event["id"] for event in told if event["event"] == "alert"] == [name]
            assert await values(monitor) >= 1
            assert monitor.network_health().total_peers == 1

    asyncio.run(scenario())


def test_an_agent_starts_in_a_directory_that_became_read_only(volume: Path) -> None:
    async def scenario() -> None:
        async with agent(volume) as monitor:
            assert monitor.recorder is not None
            await came_true(lambda: monitor.peer.ledger.report(monitor.peer.me) is not None, "it has measured itself")
            monitor.recorder.take(monitor.recorder.sample(int(monitor.snapshot().wall)))
            before, me = await values(monitor), monitor.peer.me
        assert (volume / FILE).exists()
        remount(volume, "ro")
        async with agent(volume) as monitor:
            assert monitor.peer.me == me
            assert monitor.recorder is not None
            monitor.recorder.take(monitor.recorder.sample(int(monitor.snapshot().wall)))
            await monitor.recorder.flush()
            assert monitor.recorder.trouble is not None
            assert "read-only" in monitor.recorder.trouble
            assert await values(monitor) >= before  # what was written can still be read

    asyncio.run(scenario())
