"""Alerts of whole agents: what one finds of itself, all show."""

import asyncio
from pathlib import Path
from typing import Any

from live import came_true, settings
from peerscope import Monitor

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
