"""Whole agents in one process: they join, see each other, part, and find each other again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from live import PATIENCE_S, came_true, settings
from peerscope import Monitor
from peerscope.config import Config
from peerscope.errors import ConfigError


def agent(state: Path, *join: str, **peer: Any) -> Monitor:
    return Monitor(settings(peer={"join": join, **peer}), state)


def statuses(monitor: Monitor) -> dict[str, str]:
    return {view.peer_id: view.status for view in monitor.peers()}


def sees_both_well(monitor: Monitor) -> bool:
    health = monitor.network_health()
    return health.healthy_peers == health.total_peers == 2 and health.connectivity == 1.0


async def together(*monitors: Monitor) -> None:
    for monitor in monitors:
        await came_true(lambda monitor=monitor: sees_both_well(monitor), "both see two healthy, linked peers")


def test_two_that_join_by_ticket_see_each_other_and_a_stop_is_a_goodbye(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agent(tmp_path / "one", region="eu-west") as one:
            events: list[dict[str, Any]] = []
            one.listen(events.append)
            async with agent(tmp_path / "two", one.self_view().ticket, region="us-east") as two:
                await together(one, two)
                assert {view.region for view in two.peers()} == {"eu-west", "us-east"}
                other = two.peer.me.hex()
                assert one.peer_view(two.peer.me).addresses == two.self_view().addresses
            await came_true(lambda: statuses(one)[other] == "left", "the other one has left")
            health = one.network_health()
            assert (health.total_peers, health.down_peers, health.connectivity) == (1, 0, None)
            said = [event for event in events if event.get("peer_id") == other]
            assert {"event": "link", "up": True}.items() <= next(e for e in said if e["event"] == "link").items()
            verdicts = [event["verdict"] for event in said if event["event"] == "verdict"]
            assert verdicts == ["left"]

    asyncio.run(scenario())


def test_one_that_restarts_is_the_same_peer_and_finds_the_others_without_a_ticket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agent(tmp_path / "one") as one:
            async with agent(tmp_path / "two", one.self_view().ticket) as two:
                await together(one, two)
                before = two.self_view().peer_id
            async with agent(tmp_path / "two") as two:
                assert two.self_view().peer_id == before
                await together(one, two)

    asyncio.run(scenario())


def test_peers_of_another_network_stay_strangers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agent(tmp_path / "one") as one:
            options = settings(network={"name": "other"}, peer={"join": (one.self_view().ticket,)})
            async with Monitor(options, tmp_path / "two") as two:
                await came_true(lambda: one.self_view().refused or two.self_view().refused, "one of them refuses")
                assert len(one.peers()) == len(two.peers()) == 1

    asyncio.run(scenario())


def test_a_secret_keeps_out_who_does_not_know_it_and_lets_in_who_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        secret = {"secret": "0123456789abcdef"}
        async with Monitor(settings(network=secret), tmp_path / "one") as one:
            join = {"join": (one.self_view().ticket,)}
            async with Monitor(settings(peer=join), tmp_path / "stranger"):
                await came_true(lambda: "not-a-member" in one.self_view().refused, "the stranger is refused")
            assert len(one.peers()) == 1
            async with Monitor(settings(network=secret, peer=join), tmp_path / "member") as member:
                await together(one, member)

    asyncio.run(scenario())


def test_one_alone_measures_itself_and_is_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agent(tmp_path) as alone:
            await came_true(lambda: statuses(alone) == {alone.peer.me.hex(): "healthy"}, "it is healthy")
            checks = alone.peer_view(alone.peer.me).checks
            assert checks is not None
            assert list(checks) == ["cpu", "memory", "storage", "network", "p2p"]
            assert [change.status for change in alone.history(alone.peer.me)][:1] == ["unknown"]
            me = alone.self_view()
            assert (me.network, me.http, me.refused) == ("peerscope", None, {})

    asyncio.run(scenario())


def test_two_agents_do_not_share_a_state_directory(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agent(tmp_path):
            with pytest.raises(ConfigError, match="in use by another agent"):
                await agent(tmp_path).start()

    asyncio.run(scenario())


@pytest.mark.parametrize("peer", [{"join": ("nonsense",)}, {"listen": "192.0.2.1:0"}])
def test_a_start_that_fails_leaves_the_state_directory_free(tmp_path: Path, peer: dict[str, Any]) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError):
            await Monitor(settings(peer=peer, network={"open": True}), tmp_path).start()
        async with agent(tmp_path):
            pass

    asyncio.run(scenario())


def test_stopping_twice_or_before_the_start_is_harmless(tmp_path: Path) -> None:
    async def scenario() -> None:
        monitor = agent(tmp_path)
        await monitor.stop()
        await monitor.start()
        await monitor.stop()
        await monitor.stop()

    asyncio.run(scenario())


def test_a_part_that_breaks_is_told_to_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with agent(tmp_path) as monitor:

            def broken(*_: object) -> bool:
                raise ArithmeticError("a bug of ours")

            monkeypatch.setattr(monitor.core, "deadline", broken)  # asked by the loop itself
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(ArithmeticError, match="a bug of ours"):
                    await monitor.wait()

    asyncio.run(scenario())


def test_the_names_on_the_front_page_are_those_of_the_package() -> None:
    import peerscope

    assert peerscope.Config is Config
    assert sorted(peerscope.__all__) == ["Config", "Monitor", "PeerId", "Telemetry"]
    with pytest.raises(AttributeError, match="nonsense"):
        _ = peerscope.nonsense
