"""Each panel of the dashboard, with the real peers of a demo."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from demo_network import DemoNetwork
from pages import PEERS, keep, until

pytestmark = pytest.mark.browser
REGIONS = ("ap-south", "eu-west", "us-east")


@pytest.fixture
def settled(page: Page) -> Page:
    """Everybody is healthy and all have told of their links."""
    expect(page.get_by_test_id("count-healthy")).to_contain_text(str(PEERS), timeout=60_000)
    until(page, "window.peerscope.map.links().length >= 20")
    return page


def test_regions_stand_on_the_map_of_the_world_and_in_a_table(settled: Page) -> None:
    settled.get_by_test_id("tab-regions").click()
    world = settled.get_by_test_id("world")
    for region in REGIONS:
        expect(world).to_contain_text(region)
        expect(settled.get_by_test_id("regions")).to_contain_text(region)
    assert settled.locator("[data-testid=world] .line").count() == 3  # every region has links to both others
    keep(settled, "regions.png")
    settled.get_by_role("button", name="Matrix").click()
    expect(settled.get_by_test_id("region-matrix").locator("tbody tr")).to_have_count(3)


def test_a_click_on_a_region_lists_its_peers(settled: Page) -> None:
    settled.get_by_test_id("tab-regions").click()
    settled.get_by_test_id("regions").get_by_role("button", name="eu-west").click()
    rows = settled.locator("[data-testid^=peer-row-]")
    expect(rows).to_have_count(PEERS // 3)
    assert all("eu-west" in row for row in rows.all_inner_texts())


def test_the_heatmap_has_a_cell_for_every_pair_of_regions(settled: Page) -> None:
    settled.get_by_test_id("tab-latency").click()
    cells = settled.get_by_test_id("heatmap").locator("tbody td")
    expect(cells).to_have_count(9)
    expect(settled.locator("td[data-kind=measured]").first).to_be_visible()
    title = settled.locator("td[data-kind=measured]").first.get_attribute("title") or ""
    assert "measured" in title
    assert "p95" in title
    settled.get_by_role("button", name="p95").click()
    expect(settled.get_by_role("button", name="p95")).to_have_attribute("aria-pressed", "true")


def test_traffic_is_drawn_and_an_absent_node_is_said_to_be_absent(settled: Page) -> None:
    settled.get_by_test_id("tab-traffic").click()
    panel = settled.get_by_test_id("panel-traffic")
    expect(panel.locator("canvas").first).to_be_visible()
    expect(settled.get_by_test_id("no-node")).to_contain_text("--node-source")
    expect(settled.get_by_test_id("routes").locator("tbody tr").first).to_be_visible(timeout=30_000)


def test_the_drawer_draws_history_and_has_id_and_ticket_to_take_along(settled: Page, network: DemoNetwork) -> None:
    me = network.peers[0]
    settled.get_by_test_id(f"peer-row-{me['peer_id']}").click()
    drawer = settled.get_by_test_id("drawer")
    expect(drawer.locator(".chart canvas").first).to_be_visible(timeout=30_000)
    expect(drawer.get_by_role("button", name="Copy peer id")).to_be_visible()
    expect(drawer.get_by_role("button", name="Copy ticket")).to_be_visible()
    for span in ("24 h", "30 d", "1 h"):
        drawer.get_by_role("button", name=span, exact=True).click()
        expect(drawer.get_by_role("button", name=span, exact=True)).to_have_attribute("aria-pressed", "true")
        expect(drawer.locator(".chart canvas").first).to_be_visible(timeout=30_000)
    expect(drawer).to_contain_text("No node attached")
    keep(settled, "peer.png")


def test_panels_are_reached_by_keyboard_and_kept_in_the_address(settled: Page, network: DemoNetwork) -> None:
    settled.get_by_test_id("tab-topology").focus()
    settled.keyboard.press("ArrowRight")
    expect(settled.get_by_test_id("panel-regions")).to_be_visible()
    expect(settled.get_by_test_id("tab-regions")).to_be_focused()
    assert settled.evaluate("location.hash") == "#panel=regions"
    settled.reload()
    expect(settled.get_by_test_id("panel-regions")).to_be_visible(timeout=30_000)
    settled.get_by_test_id("tab-alerts").click()
    expect(settled.get_by_test_id("panel-alerts")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)], ids=["laptop", "phone"])
@pytest.mark.parametrize("panel", ["topology", "regions", "latency", "traffic"])
def test_nothing_hangs_over_the_edge_of_the_window(
    network: DemoNetwork, open_page: Callable[..., Page], panel: str, width: int, height: int
) -> None:
    page = open_page(
        f"{network.peers[0]['http']}/#panel={panel}",
        viewport={"width": width, "height": height},
        color_scheme="light",
    )
    expect(page.get_by_test_id("count-total")).to_contain_text(str(PEERS), timeout=30_000)
    page.wait_for_timeout(1500)  # charts and maps load when they are first shown
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overlapping = page.evaluate("""() => {
      const parts = [...document.querySelectorAll(".brand, .counts > *, .facts > *, .state")]
        .map((part) => [part.className, part.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
      return parts.flatMap(([one, a], i) => parts.slice(i + 1)
        .filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        .map(([other]) => `${one} / ${other}`));
    }""")
    assert overlapping == []
    if panel in ("topology", "latency"):
        keep(page, f"{panel}-{'laptop' if width > 1000 else 'phone'}-light.png")


SHARE = re.compile(r"\d+\.\d{3} %")
"""Other tests kill peers of this network."""


def test_availability_has_the_network_its_regions_and_a_choice_of_windows(settled: Page) -> None:
    settled.get_by_test_id("tab-regions").click()
    table = settled.get_by_test_id("availability")
    expect(table.locator("tr[data-scope=network]")).to_contain_text(f"{PEERS} peers", timeout=30_000)
    expect(table.locator("tr[data-scope=network]")).to_contain_text(SHARE)
    for region in REGIONS:
        expect(table.locator("tr[data-scope=region]").filter(has_text=region)).to_have_count(1)
    settled.get_by_role("group", name="Window of availability").get_by_role("button", name="7 d").click()
    expect(table.locator("tr[data-scope=network]")).to_contain_text(SHARE, timeout=30_000)
