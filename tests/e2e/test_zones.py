"""Zones among real agents: a network too large for one divides itself, and every peer still counts and finds all."""

import json
import subprocess
import sys
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from playwright.sync_api import expect, sync_playwright

from demo_network import DemoNetwork, demo_network, eventually, get, post

PEERS = 18
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SETTINGS = {"ZONE_MAX": "16", "HOLD_S": "2", "GRACE_S": "10", "SUMMARY_INTERVAL_S": "2"}


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNetwork]:
    """A network in which everybody sees all zones with the members they have."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SETTINGS.items():
            environment.setenv(f"PEERSCOPE_ZONES__{name}", value)
        environment.setenv("PEERSCOPE_REPORT__INTERVAL_S", "2")
        with demo_network(tmp_path_factory.mktemp("zones"), peers=PEERS) as network:

            def is_divided() -> bool:
                belonging = Counter(own_zone(peer) for peer in network.peers)
                return len(belonging) > 1 and all(zones(peer) == belonging for peer in network.peers)

            eventually(is_divided, "all see all zones as they are", within_s=120.0)
            yield network


def some(network: DemoNetwork) -> list[dict[str, Any]]:
    return [network.peers[0], network.peers[1], network.peers[-1]]


def zones(peer: dict[str, Any]) -> dict[str, int]:
    return {zone["zone"]: zone["total_peers"] for zone in get(peer, "/api/v1/zones")}


def own_zone(peer: dict[str, Any]) -> str:
    return next(zone["zone"] for zone in get(peer, "/api/v1/zones") if zone["is_ours"])


def printed(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "peerscope", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.e2e
def test_a_network_beyond_one_zone_divides_itself_and_everybody_sees_the_whole(divided: DemoNetwork) -> None:
    asked = some(divided)
    for peer in asked:
        assert get(peer, "/api/v1/health")["total_peers"] == PEERS
        measured = get(peer, "/api/v1/metrics")
        assert measured["whole"]["total_peers"] == PEERS
        machines = measured["whole"]["cpu_ratio"]["peers"]
        assert machines == len(zones(peer)), "all run on one machine, which each zone counts once"
        assert measured["zone"] == own_zone(peer)
        assert measured["total_peers"] == zones(peer)[own_zone(peer)] < PEERS
        assert f"all {len(zones(peer))} zones, {PEERS} peers" in printed("metrics", "--api", peer["http"])
    victim = divided.kill(2)
    far = next(peer for peer in asked if peer["region"] != victim["region"])
    eventually(lambda: get(far, "/api/v1/health")["down_peers"] == 1, "a death is known in other zones", within_s=90.0)


@pytest.mark.e2e
def test_an_alert_of_another_zone_is_shown_and_acknowledged_by_its_headline(
    divided: DemoNetwork, need: Callable[[str], str]
) -> None:
    """The death of before: known elsewhere by the id that heads its zone's summary."""
    known: dict[str, tuple[dict[str, Any], str]] = {}

    def is_known() -> bool:
        known.clear()  # a busy machine has other alerts, which come and go
        for peer in divided.peers[3:]:
            for zone in get(peer, "/api/v1/zones"):
                for line in zone["headlines"][:1]:
                    known[line["id"]] = peer, zone["zone"]
        return bool(known)

    def is_taken() -> bool:
        """It may have ended since: then the next one is taken."""
        if not is_known():
            return False
        (key, (peer, _)), *_ = known.items()
        with suppress(HTTPError):
            return (
                post(peer, "/api/v1/acknowledgements", {"key": key, "author": "ana", "reason": "on it"})["key"] == key
            )
        return False

    eventually(is_taken, "an alert heads another zone, and is acknowledged there", within_s=60.0)
    (alert, (far, zone)), *_ = known.items()
    assert alert in printed("alerts", "--api", far["http"])
    others = zones(far).keys() - {own_zone(far)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        page = browser.new_page()
        page.goto(f"{far['http']}/#panel=alerts")
        expect(page.get_by_test_id("other-zones-alerts")).to_contain_text(alert, timeout=30_000)
        page.get_by_role("tab", name="Regions").click()
        expect(page.get_by_test_id("other-zones").locator("tbody tr")).to_have_count(len(others), timeout=30_000)
        browser.close()
    near = next(peer for peer in divided.peers[3:] if own_zone(peer) == zone)

    def is_acknowledged() -> bool:
        alerts = [*get(near, "/api/v1/alerts"), *get(near, "/api/v1/incidents")]
        return any(one["id"] == alert and one["acknowledged_by"] in ("ana", ["ana"]) for one in alerts)

    eventually(is_acknowledged, "it is acknowledged where it fires", within_s=60.0)


@pytest.mark.e2e
def test_what_is_ordered_in_one_zone_holds_in_another(divided: DemoNetwork) -> None:
    near = divided.peers[0]
    far = next(peer for peer in divided.peers[3:] if own_zone(peer) != own_zone(near))
    post(far, "/api/v1/silences", {"matchers": ["rule=*"], "for_s": 600, "reason": "planned", "author": "ana"})
    eventually(lambda: len(get(near, "/api/v1/silences")) == 1, "the silence holds in other zones", within_s=60.0)


@pytest.mark.e2e
def test_a_peer_of_another_zone_is_found_by_its_id_alive_and_dead(divided: DemoNetwork) -> None:
    asker = divided.peers[0]
    index, subject = next(
        (index, peer)
        for index, peer in enumerate(divided.peers)
        if index > 2 and peer not in some(divided) and own_zone(peer) != own_zone(asker)
    )
    peer_id, zone = subject["peer_id"], own_zone(subject)
    eventually(lambda: get(asker, f"/api/v1/peers/{peer_id}")["verdict"] == "alive", "it is found", within_s=60.0)
    found = get(asker, f"/api/v1/peers/{peer_id}")
    assert (found["peer_id"], found["verdict"], found["region"]) == (peer_id, "alive", subject["region"])
    assert found["hearsay"]["zone"] == zone
    assert "alive" in found["hearsay"]["said"].values()
    assert found["links"]
    text = printed("peer", peer_id[:16], "--api", asker["http"])
    assert f"{zone}, not ours: the verdict comes from its aggregators" in " ".join(text.split())
    assert "are needed" in printed("why", peer_id[:16], "--api", asker["http"])

    divided.kill(index)
    eventually(
        lambda: get(asker, f"/api/v1/peers/{peer_id}")["verdict"] == "down", "it is down from afar", within_s=60.0
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        get(asker, f"/api/v1/peers/{'00' * 32}")
    assert refusal.value.code == 404
    detail = json.load(refusal.value)["detail"]
    assert all(other in detail for other in zones(asker) if other != own_zone(asker))

    divided.restart(index)
    assert own_zone(subject) == zone, "it remembers where it belonged"
    assert (Path(subject["state"]) / "zone").read_text() == zone
    eventually(
        lambda: get(asker, f"/api/v1/peers/{peer_id}")["verdict"] == "alive", "it lives from afar", within_s=60.0
    )
