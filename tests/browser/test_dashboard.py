"""The dashboard of a real demo network, in a real browser."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from demo_network import DemoNetwork, demo_network, eventually, free_address

pytestmark = pytest.mark.browser
PEERS = 12
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "images"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[DemoNetwork]:
    need("chromium")
    with demo_network(tmp_path_factory.mktemp("demo"), peers=PEERS, http=free_address()) as network:
        yield network


@pytest.fixture
def page(network: DemoNetwork, need: Callable[[str], str]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(network.peers[0]["http"])
        yield page
        browser.close()
        refused = ("WebSocket connection to", "ERR_CONNECTION_REFUSED")  # the browser's own lines while a peer is dead
        assert [line for line in said if not any(words in line for words in refused)] == []


def drawn(page: Page) -> list[dict[str, Any]]:
    """The peers as they stand on the canvas."""
    found: list[dict[str, Any]] = page.evaluate("window.peerscope?.map?.drawn() ?? []")
    return found


def until(page: Page, truth: str, given: Any = None) -> None:
    """Wait until an expression over the page holds. (Playwright's own way evaluates a string in the page, which the
    page's content security policy refuses.)"""
    eventually(lambda: bool(page.evaluate(truth, given)), truth, within_s=60)


def keep(page: Page, name: str) -> None:
    """A screenshot for the docs, where it was asked for."""
    shot = page.screenshot()
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / name).write_bytes(shot)


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
