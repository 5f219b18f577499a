"""Where an agent starts from, and what it says of itself and of its regions: whole agents in one process."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from live import came_true, settings
from mmdb import write_mmdb
from peerscope import Monitor
from peerscope.agent import bootstrap
from peerscope.agent import monitor as agent
from peerscope.errors import ConfigError
from peerscope.host.state import StateDirectory
from peerscope.records.identity import Identity
from peerscope.sources import geo

NOBODY = ("127.0.0.1:9",)


def test_one_that_remembers_many_dead_tries_them_all_until_it_meets_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "DIALLED_AT_ONCE_MAX", 1)
    monkeypatch.setattr(agent, "LOOK_INTERVAL_S", 0.05)

    async def scenario() -> None:
        async with Monitor(settings(), tmp_path / "alive") as alive:
            known = {Identity(bytes((number,)) * 32).peer_id: NOBODY for number in range(1, 25)}
            StateDirectory(tmp_path / "back").remember(known | {alive.peer.me: alive.self_view().addresses})
            async with Monitor(settings(), tmp_path / "back") as back:
                await came_true(lambda: alive.peer.me in back.peer.links.up(), "it has met the living one")

    asyncio.run(scenario())


def told_by(monitor: Monitor) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    monitor.listen(events.append)
    return events


def test_the_health_of_its_region_is_told_once_it_has_lasted(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = settings(peer={"region": "eu"}, regions={"hold_s": 0.5})
        async with Monitor(config, tmp_path) as monitor:
            events = told_by(monitor)
            await came_true(lambda: any(one["event"] == "region" for one in events), "its region is told")
            (told,) = (one for one in events if one["event"] == "region")
            assert (told["region"], told["status"], told["before"], told["severity"]) == ("eu", "healthy", None, "info")
            assert [health.region for health in monitor.region_health()] == ["eu"]

    asyncio.run(scenario())


def region_of(state: Path, **peer: Any) -> tuple[str | None, str | None]:
    """The region that an agent with these settings publishes, and who says so."""
    found: list[tuple[str | None, str | None]] = []

    async def scenario() -> None:
        async with Monitor(settings(peer=peer), state) as monitor:
            await came_true(lambda: monitor.peer.me in monitor.snapshot().peers, "it has said who it is")
            profile = monitor.peer.ledger.profile(monitor.peer.me)
            assert profile is not None
            found.append((profile.region, profile.region_source if profile.region else None))

    asyncio.run(scenario())
    return found[0]


def test_without_a_region_the_country_of_a_public_address_is_published_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert region_of(tmp_path / "private") == (None, None)  # loopback is in no country
    monkeypatch.setattr(geo, "is_public", lambda host: True)  # as if the internet began here
    table = str(write_mmdb(tmp_path / "own.mmdb", "127.0.0.0/8", {"country": {"iso_code": "DE"}}))
    assert region_of(tmp_path / "country", geo_database=table) == ("DE", "country")
    assert region_of(tmp_path / "off", geo_database=table, geo=False) == (None, None)
    assert region_of(tmp_path / "declared", geo_database=table, region="eu") == ("eu", "declared")


def test_a_table_that_is_not_there_stops_the_start_and_names_the_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = settings(peer={"geo_database": str(tmp_path / "none.mmdb")})
        with pytest.raises(ConfigError, match=r"peer\.geo_database"):
            await Monitor(config, tmp_path / "state").start()
        async with Monitor(settings(), tmp_path / "state"):
            pass  # the state directory is free

    asyncio.run(scenario())
