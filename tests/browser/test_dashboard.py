"""The dashboard of a real demo network, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from demo_network import DemoNetwork
from pages import PEERS, drawn, keep, until

pytestmark = pytest.mark.browser


def test_twelve_peers_are_drawn_and_a_killed_one_changes_colour_and_comes_back(
    network: DemoNetwork, page: Page
) -> None:
    expect(page.get_by_test_id("count-total")).to_contain_text(str(PEERS), timeout=30_000)
    expect(page.get_by_test_id("count-healthy")).to_contain_text(str(PEERS), timeout=60_000)
    until(page, f"window.peerscope?.map?.drawn().length === {PEERS}")
    until(page, "window.peerscope.map.links().length >= 20")
    colours = {peer["id"]: peer["color"] for peer in drawn(page)}
    assert len(set(colours.values())) == 1
    page.wait_for_timeout(1500)  # let the layout settle for the picture
    keep(page, "dashboard.png")

    victim = network.kill(PEERS - 1)["peer_id"]
    row = page.get_by_test_id(f"peer-row-{victim}")
    expect(row).to_have_attribute("data-status", "down", timeout=30_000)
    until(
        page,
        "([id, was]) => window.peerscope.map.drawn().some(p => p.id === id && p.color !== was)",
        [victim, colours[victim]],
    )
    expect(page.get_by_test_id("count-down")).to_contain_text("1")
    row.click()
    drawer = page.get_by_test_id("drawer")
    expect(drawer).to_contain_text("down")
    expect(drawer).to_contain_text("observers", timeout=15_000)
    page.wait_for_timeout(500)  # it slides in
    keep(page, "peer-down.png")
    page.keyboard.press("Escape")

    network.restart(PEERS - 1)
    expect(row).to_have_attribute("data-status", "healthy", timeout=60_000)


def test_a_click_on_the_map_shows_the_five_checks(page: Page) -> None:
    until(page, f"window.peerscope?.map?.drawn().length === {PEERS}")
    page.wait_for_timeout(1500)
    peer, box = drawn(page)[4], page.get_by_test_id("map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + peer["x"], box["y"] + peer["y"])
    drawer = page.get_by_test_id("drawer")
    for check in ("cpu", "memory", "storage", "network", "p2p"):
        expect(drawer).to_contain_text(check, timeout=10_000, ignore_case=True)


def test_the_feed_reconnects_by_itself(network: DemoNetwork, page: Page) -> None:
    state = page.get_by_test_id("feed-state")
    expect(state).to_have_attribute("data-state", "live", timeout=30_000)
    network.kill(0)
    expect(state).not_to_have_attribute("data-state", "live", timeout=30_000)
    until(page, f"window.peerscope.map.drawn().length === {PEERS}")  # the last picture stays
    assert network.restart(0)["http"] == page.url.rstrip("/")
    expect(state).to_have_attribute("data-state", "live", timeout=60_000)
    expect(page.get_by_test_id("count-total")).to_contain_text(str(PEERS), timeout=30_000)


def test_every_file_of_the_page_comes_from_the_peer_itself(network: DemoNetwork, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.get_by_test_id("count-total")).to_contain_text(str(PEERS), timeout=30_000)
    assert asked
    assert all(url.startswith(network.peers[0]["http"]) for url in asked)
