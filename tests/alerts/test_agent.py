"""Alerts of whole agents: what one finds of itself, all show."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live import came_true, settings
from peerscope import Monitor
from peerscope.alerts.model import Alert
from peerscope.sources.memory_kills import FILE, Life, kill_counters

ALWAYS = {"rules": {"cpu-high": {"threshold": -1, "for_s": 0, "clear_for_s": 0}}}
NEVER = {"rules": {"cpu-high": {"enabled": False}, "agent-lag": {"enabled": False}}}


def test_what_one_agent_finds_of_itself_both_show_and_tell(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Monitor(settings(alerts=NEVER), tmp_path / "one") as one:
            told: list[dict[str, Any]] = []
            one.listen(told.append)
            join = {"join": (one.self_view().ticket,), "region": "eu-west"}
            async with Monitor(settings(peer=join, alerts=ALWAYS), tmp_path / "two") as two:
                name = f"cpu-high-{two.peer.me.hex()[:16]}"

                def shown(monitor: Monitor) -> list[str]:
                    return [alert.id for alert in monitor.alerts(active_only=True)]

                await came_true(lambda: shown(one) == shown(two) == [name], "both show the alert")
                (alert,) = one.alerts()
                assert (alert.peer_id, alert.region) == (two.peer.me.hex(), "eu-west")
                assert alert.uncertainty_s > 0.0
            await came_true(lambda: not shown(one), "who has left has no alert any more")
            assert one.alerts()[0].metadata["ended"] == "left"
        events = [(event["id"], event["state"]) for event in told if event["event"] == "alert"]
        assert events == [(name, "firing"), (name, "resolved")]

    asyncio.run(scenario())


def test_a_look_that_fails_does_not_end_the_agent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Monitor(settings(alerts=ALWAYS), tmp_path / "one") as one:
            find = one.core.threats.for_rules

            def broken() -> Any:
                one.core.threats.for_rules = find  # type: ignore[method-assign]
                raise ValueError("a bug in a detection")

            one.core.threats.for_rules = broken  # type: ignore[method-assign]
            await came_true(lambda: bool(one.alerts()), "it looks again")
            assert one.failure_log.failures["the look at alert rules"] == 1

    asyncio.run(scenario())


def test_a_life_that_the_kernel_may_have_killed_is_an_alert_of_the_next_and_a_goodbye_is_none(tmp_path: Path) -> None:
    counted = kill_counters()
    if counted.machine is None or not counted.boot:
        pytest.skip("this system does not count kills for lack of memory")

    def left(machine: int, *, ended: bool) -> None:
        """The file of an earlier life that saw so many kills."""
        life = Life(counted.boot, None, machine, ended)
        (tmp_path / FILE).write_bytes(msgspec.json.encode(life))

    async def found() -> list[Alert]:
        async with Monitor(settings(alerts=NEVER), tmp_path) as agent:
            await came_true(lambda: agent.core.facts.kills is not None, "the kills are counted")
            if agent.core.facts.kills:
                await came_true(lambda: bool(agent.alerts()), "it is shown")
            return [alert for alert in agent.alerts() if alert.rule == "memory-kill"]

    assert asyncio.run(found()) == []
    assert msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Life).ended
    left(counted.machine - 1, ended=True)
    assert asyncio.run(found()) == []
    left(counted.machine - 1, ended=False)
    (alert,) = asyncio.run(found())
    assert (alert.severity, alert.metadata["value"], alert.metadata["unit"]) == ("high", "1", "processes")
    assert "last life ended without a goodbye" in alert.description
