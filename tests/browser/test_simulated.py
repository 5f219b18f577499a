"""Virtual networks on the very same page: faults, a thousand peers, more than can be drawn one by one."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pages import drawn, keep, simulation, until

pytestmark = pytest.mark.browser
LYING = """() => {
  const text = (name) => document.querySelector(`[data-testid=${name}]`);
  window.lies = [];
  setInterval(() => {
    const down = Number(text("count-down")?.textContent);
    if (down > 0 && text("quiet")?.dataset.well === "yes") window.lies.push(down);
  }, 20);
}"""
"""Notes every moment at which the page says that nothing needs anybody while it counts peers as down."""
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def generated(need: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serves a network that exists only in a ledger."""
    need("chromium")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("dashboard").generated
    for name in ("dashboard", "topology"):
        sys.modules.pop(name, None)


def test_a_simulation_says_that_it_is_one_and_its_faults_are_seen(
    need: Callable[[str], str], open_page: Callable[..., Page]
) -> None:
    need("chromium")
    with simulation("kill", "--peers", "24", "--speed", "10", "--unsigned") as http:
        page = open_page(f"{http}/#panel=alerts")
        page.evaluate(LYING)
        expect(page.get_by_test_id("simulated")).to_contain_text("SIMULATED", timeout=30_000)
        expect(page.get_by_test_id("simulated")).to_contain_text("kill")
        expect(page.get_by_test_id("quiet")).to_have_attribute("data-well", "yes", timeout=30_000)
        expect(page.get_by_test_id("count-total")).to_contain_text("24")
        expect(page.get_by_test_id("count-down")).to_contain_text("1", timeout=60_000)
        dead = page.locator("[data-testid^=peer-row-][data-status=down]")
        dead.click()
        expect(page.get_by_test_id("evidence")).to_contain_text("observers", timeout=15_000)
        drawer = page.get_by_test_id("drawer")
        expect(drawer.locator("dl.pairs dd", has_text="down since")).to_be_visible()
        expect(drawer).to_contain_text("It is gone")
        expect(drawer.get_by_role("heading", name="Links 0")).to_be_visible()
        assert page.evaluate("window.lies") == []
        page.get_by_test_id("tab-traffic").click()
        expect(page.get_by_test_id("panel-traffic")).to_contain_text("Simulated peers have no node")


def test_a_partition_is_shaded_and_heals(need: Callable[[str], str], open_page: Callable[..., Page]) -> None:
    need("chromium")
    with simulation("partition", "--peers", "30", "--speed", "6", "--unsigned") as http:
        page = open_page(http)
        until(page, "window.peerscope?.map?.report().partitions.length === 1", within_s=120)
        page.wait_for_timeout(400)
        keep(page, "partition.png")
        until(page, "window.peerscope.map.report().partitions.length === 0", within_s=180)


def test_a_cascade_is_a_tree_that_begins_at_its_root(
    need: Callable[[str], str], open_page: Callable[..., Page]
) -> None:
    need("chromium")
    with simulation("cascade", "--peers", "50", "--speed", "20", "--unsigned") as http:
        page = open_page(f"{http}/#panel=alerts")
        tree = page.locator("article.incident[data-kind=cascade]").get_by_test_id("tree")
        expect(tree).to_be_visible(timeout=120_000)
        expect(tree.locator("> ul > li")).to_have_count(1)
        expect(tree.locator("> ul > li > .muted")).to_contain_text("root")
        expect(tree.locator("> ul > li > ul > li > .muted").first).to_contain_text("later")
        keep(page, "cascade.png")


def test_hundreds_of_simulated_peers_are_drawn_and_found(
    need: Callable[[str], str], open_page: Callable[..., Page]
) -> None:
    need("chromium")
    with simulation("coordinates", "--peers", "400", "--speed", "1", "--unsigned") as http:
        page = open_page(http)
        until(page, "window.peerscope?.map?.drawn().length === 400", within_s=180)
        one = drawn(page)[200]["id"]
        page.get_by_role("searchbox").fill(one[:10])
        expect(page.locator("[data-testid^=peer-row-]")).to_have_count(1)
        page.locator("[data-testid^=peer-row-]").click()
        expect(page.get_by_test_id("drawer")).to_have_attribute("data-peer", one)


def test_a_thousand_linked_peers_are_drawn_with_their_links(generated: Any, open_page: Callable[..., Page]) -> None:
    with generated(1000) as http:
        page = open_page(http)
        until(page, "window.peerscope?.map?.report().settled && window.peerscope.map.links().length > 3500")
        page.wait_for_timeout(500)
        keep(page, "dashboard-1000.png")


def test_beyond_three_thousand_peers_regions_are_bubbles_that_open(
    generated: Any, open_page: Callable[..., Page]
) -> None:
    with generated(3200) as http:
        page = open_page(http)
        until(page, "window.peerscope?.map?.report().bubbles.length === 8", within_s=120)
        page.wait_for_timeout(500)
        keep(page, "bubbles.png")
        assert drawn(page) == []
        bubble = page.evaluate("window.peerscope.map.report().bubbles[0]")
        box = page.get_by_test_id("map").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + bubble["x"], box["y"] + bubble["y"])
        until(page, "window.peerscope.map.report().bubbles.length === 7")
        until(page, "window.peerscope.map.drawn().length === 400")
        others = page.evaluate("window.peerscope.map.report().bubbles.map((one) => one.name)")
        assert bubble["name"] not in others
