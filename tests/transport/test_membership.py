"""Real agents on loopback that let only members in: by list, by certificate, and out again when revoked."""

import asyncio
import re
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from live import came_true, settings
from peerscope import Monitor
from peerscope.cli.crawl import _identity
from peerscope.config import Config
from peerscope.crawl.mesh import crawl_mesh
from peerscope.errors import ConfigError
from peerscope.host.credentials import REVOKED_FILE, armored
from peerscope.host.state import StateDirectory
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.records.certificates import certify, revoke
from peerscope.records.identity import Identity, PeerId
from peerscope.transport.joining import parse_joins
from peerscope.web.app import make_app
from peerscope.web.feed import Feed

OPERATOR = Identity(b"o" * 32)
DAY_MS = 86_400_000


def now_ms() -> int:
    return round(time.time() * 1000)


def certified(place: Path, *, ends_ms: int = DAY_MS) -> str:
    """The certificate file of the peer with this state directory. `ends_ms`: from now on."""
    subject = StateDirectory(place).identity().peer_id
    serial, span = secrets.token_bytes(8), {"not_before_ms": now_ms() - 1000, "not_after_ms": now_ms() + ends_ms}
    file = place / "certificate"
    file.write_text(armored(certify(OPERATOR, subject, "peerscope", serial=serial, **span)) + "\n")
    return str(file)


def member(place: Path, *tickets: str, certificate: bool = True, **network: Any) -> Config:
    given = {"operators": (OPERATOR.peer_id.hex(),), **network}
    if certificate:
        given["certificate_file"] = certified(place)
    return settings(network=given, peer={"join": tickets})


def linked(one: Monitor) -> set[PeerId]:
    return set(one.peer.links.up())


def test_members_link_and_one_that_is_revoked_in_a_file_is_dropped_and_stays_out(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two", "three")]
    revoked = tmp_path / "revoked"
    revoked.write_text("# nobody yet\n")

    async def scenario() -> None:
        one = Monitor(member(places[0], revocation_file=str(revoked)), places[0])
        async with one:
            ticket = one.self_view().ticket
            async with Monitor(member(places[1], ticket), places[1]) as two:
                async with Monitor(member(places[2], ticket), places[2]) as three:
                    everybody = {one.peer.me, two.peer.me, three.peer.me}
                    for each in (one, two, three):
                        await came_true(lambda each=each: linked(each) == everybody - {each.peer.me}, "all are linked")
                    span = {"revoked_at_ms": now_ms(), "not_after_ms": now_ms() + DAY_MS}
                    revoked.write_text(armored(revoke(OPERATOR, three.peer.me, "peerscope", **span)) + "\n")
                    for each in (one, two):
                        await came_true(lambda each=each: three.peer.me not in each.peer.ledger, "it is forgotten")
                        assert three.peer.me not in linked(each)
                    await came_true(lambda: linked(three) == set(), "it has no links")
                    await came_true(lambda: one.peer.refused["revoked"] > 0, "it tries again and is refused")
                assert linked(one) == {two.peer.me}
                await came_true((places[1] / REVOKED_FILE).exists, "the second keeps what it learnt")

    asyncio.run(scenario())


def test_without_a_certificate_nobody_answers_and_with_one_a_crawler_is_told_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Monitor(member(tmp_path / "one"), tmp_path / "one") as one:
            ticket = one.self_view().ticket
            outside = member(tmp_path / "out", ticket, certificate=False)
            async with Monitor(outside, tmp_path / "out") as outsider:
                await came_true(lambda: one.peer.refused["not-a-member"] > 0, "it was refused")
                assert linked(outsider) == set()
                assert set(outsider.peer.ledger) == {outsider.peer.me}
                assert set(one.peer.ledger) == {one.peer.me}
            found = []
            for name, knows in (("out", False), ("crawler", True)):
                config = member(tmp_path / name, certificate=knows)
                secret, certificate = _identity(config, tmp_path / name)
                view = await crawl_mesh(
                    parse_joins([ticket]),
                    config.network,
                    WalkConfig(),
                    listen="127.0.0.1:0",
                    stopping=asyncio.Event(),
                    progress=lambda walk: None,
                    secret=secret,
                    certificate=certificate,
                )
                found.append(([peer.peer_id for peer in view.peers], [gone.reason for gone in view.unreachable]))
            assert found == [([], ["refused: not-a-member"]), ([one.peer.me.hex()], [])]

    asyncio.run(scenario())


def test_an_allow_list_on_both_sides_is_enough(tmp_path: Path) -> None:
    ids = {name: StateDirectory(tmp_path / name).identity().peer_id.hex() for name in ("one", "two", "three")}

    async def scenario() -> None:
        listed = {"network": {"allow": (ids["one"], ids["two"])}}
        async with Monitor(settings(**listed), tmp_path / "one") as one:
            join = {"peer": {"join": (one.self_view().ticket,)}}
            async with Monitor(settings(**listed, **join), tmp_path / "two") as two:
                await came_true(lambda: linked(one) == {two.peer.me}, "they are linked")
                async with Monitor(settings(**listed, **join), tmp_path / "three") as three:
                    await came_true(lambda: one.peer.refused["not-a-member"] > 0, "the third is refused")
                    assert three.peer.me not in one.peer.ledger

    asyncio.run(scenario())


def test_a_start_with_somebody_elses_certificate_is_refused_and_leaves_the_state_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        wrong = settings(
            network={"operators": (OPERATOR.peer_id.hex(),), "certificate_file": certified(tmp_path / "other")}
        )
        with pytest.raises(ConfigError, match="no certificate for this peer"):
            await Monitor(wrong, tmp_path / "one").start()
        async with Monitor(member(tmp_path / "one"), tmp_path / "one"):
            pass

    asyncio.run(scenario())


def test_whoever_wants_to_crawl_among_members_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--state"):
        _identity(member(tmp_path, certificate=False), None)


def test_when_all_certificates_end_every_agent_says_so_everywhere_and_all_meet_again_once_they_are_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = [tmp_path / "one", tmp_path / "two"]

    def named(one: Monitor) -> set[tuple[str, str | None]]:
        return {(a.severity, a.peer_id) for a in one.alerts(active_only=True) if a.rule == "certificate-end"}

    async def scenario() -> None:
        first = member(places[0])
        certified(places[0], ends_ms=20_000)
        async with Monitor(first, places[0]) as one:
            second = member(places[1], one.self_view().ticket)
            certified(places[1], ends_ms=20_000)
            async with Monitor(second, places[1]) as two:
                both = (one, two)
                ids = {one.peer.me, two.peer.me}
                for each in both:
                    await came_true(lambda each=each: linked(each) == ids - {each.peer.me}, "both are linked")
                for each in both:
                    await came_true(lambda each=each: linked(each) == set(), "they drop each other")
                for each in both:
                    grave = {("critical" if who == each.peer.me else "high", who.hex()) for who in ids}
                    await came_true(lambda each=each, grave=grave: named(each) == grave, "both are named at both")
                    await came_true(lambda each=each: each.network_health().unhealthy_peers == 1, "it is not healthy")
                    assert each.network_health().healthy_peers == 0
                    ready = await asked(each, "/readyz")
                    assert ready.status_code == 503
                    assert "former neighbours" in ready.json()["reason"]
                    page = (await asked(each, "/metrics")).text
                    (line,) = (x for x in page.splitlines() if x.startswith("peerscope_certificate_end_timestamp"))
                    assert line.startswith(
                        'peerscope_certificate_end_timestamp_seconds{setting="network.certificate_file"}'
                    )
                for each, place in zip(both, places, strict=True):
                    told = f"has ended .*; renew it: peerscope admit issue {each.peer.me.hex()} -o FILE, then copy"
                    lines = partial(re.search, told)
                    await came_true(lambda lines=lines: len([*filter(lines, caplog.messages)]) == 1, "the log says it")
                    certified(place)
                for each in both:
                    await came_true(lambda each=each: linked(each) == ids - {each.peer.me}, "both are linked again")
                    await came_true(lambda each=each: named(each) == set(), "the alerts are over")
                    await came_true(lambda each=each: each.network_health().healthy_peers == 2, "both are healthy")
                    assert (await asked(each, "/readyz")).status_code == 200

    asyncio.run(scenario())


async def asked(monitor: Monitor, path: str) -> httpx.Response:
    """What the agent answers over HTTP, without a socket."""
    transport = httpx.ASGITransport(app=make_app(monitor, Feed(monitor)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as asking:
        return await asking.get(path)
