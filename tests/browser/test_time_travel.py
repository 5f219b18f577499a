"""The last hour, played again on the page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from pages import drawn, keep, simulation, until

pytestmark = pytest.mark.browser
SLIDE = """([share]) => {
  const slider = document.querySelector("[data-testid=time-slider]");
  slider.value = String(Number(slider.min) + share * (Number(slider.max) - Number(slider.min)));
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""

LINKED = "(id) => window.peerscope.map.links().some((link) => [link.source, link.target].includes(id.slice(0, 16)))"


def then_linked(page: Page, share: float, peer: str) -> bool:
    """Whether the peer has links at this part of the hour."""
    page.evaluate(SLIDE, [share])
    page.wait_for_timeout(150)
    return bool(page.evaluate(LINKED, peer))


def places(page: Page) -> dict[str, tuple[int, int]]:
    return {peer["id"]: (round(peer["x"]), round(peer["y"])) for peer in drawn(page)}


def test_the_kill_of_a_while_ago_is_played_again_with_everybody_in_place(
    need: Callable[[str], str], open_page: Callable[..., Page]
) -> None:
    need("chromium")
    with simulation("kill", "--peers", "24", "--speed", "4", "--unsigned") as http:
        # Links are looked at every five seconds of the clock: it lives for nine before it is killed.
        page = open_page(http)
        expect(page.get_by_test_id("count-down")).to_contain_text("1", timeout=60_000)
        until(page, "window.peerscope.map.report().settled")
        page.wait_for_timeout(500)
        dead = page.locator("[data-testid^=peer-row-][data-status=down]").get_attribute("data-testid")
        assert dead is not None
        victim = dead.removeprefix("peer-row-")
        assert not page.evaluate(LINKED, victim)
        page.get_by_role("button", name="past hour").click()
        expect(page.get_by_test_id("time-slider")).to_be_visible(timeout=10_000)
        expect(page.get_by_test_id("then")).to_have_count(0)
        page.wait_for_timeout(1000)
        before = places(page)
        # Where its life lies on the slider depends on the machine.
        assert any(then_linked(page, step / 60, victim) for step in range(60))
        expect(page.get_by_test_id("then")).to_contain_text("THE PAST")
        expect(page.get_by_test_id("count-down")).to_contain_text("0")
        expect(page.get_by_test_id(dead)).to_have_attribute("data-status", "healthy")
        assert places(page) == before
        keep(page, "past.png")
        page.get_by_test_id("tab-alerts").click()
        expect(page.get_by_test_id("quiet")).to_contain_text("Nothing was wrong")
        page.get_by_test_id("then").get_by_role("button", name="Back to now").click()
        expect(page.get_by_test_id("count-down")).to_contain_text("1")
        expect(page.get_by_test_id("then")).to_have_count(0)
        expect(page.get_by_test_id(dead)).to_have_attribute("data-status", "down")
