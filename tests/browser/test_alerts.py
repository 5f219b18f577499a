"""Alerts, incidents and orders on the page, with a real agent whose rules are always broken."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from live import Agent, running
from live import until as came_true
from pages import keep

pytestmark = pytest.mark.browser
RULES = {name: {"threshold": -1.0, "for_s": 0.0} for name in ("cpu-high", "memory-high", "storage-high")}
SECTIONS = {
    "alerts": {"rules": RULES},
    "peer": {"region": "eu-west"},
    "report": {"interval_s": 0.5},
    "web": {"update_interval_s": 0.2},
}


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path_factory.mktemp("alarmed"), **SECTIONS) as agent:
        came_true(
            lambda: len(agent.loop.call(agent.monitor.incidents)) == 1, "three alerts at one peer are an incident"
        )
        yield agent


@pytest.fixture
def calm(tmp_path: Path, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path) as agent:
        yield agent


@pytest.fixture
def panel(alarmed: Agent, open_page: Callable[..., Page]) -> Page:
    page = open_page(f"{alarmed.http}/#panel=alerts")
    expect(page.locator("article.incident")).to_have_count(1, timeout=30_000)
    return page


def test_alerts_stand_in_their_incident_with_severity_state_and_evidence(panel: Page, alarmed: Agent) -> None:
    incident = panel.locator("article.incident")
    expect(incident).to_have_attribute("data-kind", "peer-cluster")
    rows = incident.locator("[data-testid^=alert-]")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_attribute("data-state", "firing")
    expect(incident.locator(".glyph.severity").first).to_have_attribute("aria-label", "high")  # its gravest alert's
    shapes = {shape.get_attribute("d") for shape in incident.locator(".glyph.severity path").all()}
    assert len(shapes) == len({row.get_attribute("data-severity") for row in rows.all()} | {"high"})
    rows.first.locator(".title").click()
    expect(rows.first).to_contain_text("do first", timeout=10_000)
    rows.first.get_by_role("button", name="Evidence: the peer").click()
    drawer = panel.get_by_test_id("drawer")
    expect(drawer).to_have_attribute("data-peer", alarmed.peer_id)
    expect(drawer.get_by_test_id("peer-alerts").locator("[data-testid^=alert-]")).to_have_count(3)
    panel.keyboard.press("Escape")
    keep(panel, "alerts.png")


def test_the_address_of_an_alert_opens_it_with_its_facts(alarmed: Agent, open_page: Callable[..., Page]) -> None:
    alerts = alarmed.loop.call(alarmed.monitor.alerts)
    (alert,) = [one for one in alerts if one.rule == "cpu-high"]
    page = open_page(f"{alarmed.http}{alert.url}")
    shown = page.get_by_test_id("linked-alert")
    expect(shown).to_contain_text(alert.title)
    for fact in ("do first", "threshold", "-1", "since", alert.metadata["since"]):
        expect(shown).to_contain_text(fact)
    assert page.evaluate("location.hash") == f"#panel=alerts&alert={alert.id}"
    shown.get_by_role("button", name="close").click()
    expect(shown).to_have_count(0)
    assert page.evaluate("location.hash") == "#panel=alerts"


def test_an_alert_is_acknowledged_and_an_incident_silenced_from_the_page(panel: Page, alarmed: Agent) -> None:
    row = panel.locator("[data-testid^=alert-cpu-high]").first
    row.locator(".title").click()
    row.get_by_role("button", name="Acknowledge…").click()
    row.get_by_label("you").fill("ann")
    row.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(row).to_contain_text("✓ ann", timeout=10_000)
    incident = panel.locator("article.incident")
    incident.get_by_role("button", name="Silence…").last.click()
    form = panel.get_by_test_id("order")
    expect(form.get_by_label("you")).to_have_value("ann")
    form.get_by_label("why").fill("a drill")
    form.get_by_role("button", name="Silence", exact=True).click()
    expect(panel.get_by_role("button", name="Silences 1")).to_be_visible(timeout=10_000)
    panel.get_by_role("button", name="Silences 1").click()
    silences = panel.get_by_test_id("silences")
    expect(silences).to_contain_text("a drill")
    assert [one.author for one in alarmed.loop.call(alarmed.monitor.orders).silences] == ["ann"]
    silences.get_by_role("button", name="End it").click()
    expect(panel.get_by_role("heading", name="No silence")).to_be_visible(timeout=10_000)


def test_an_order_that_is_refused_says_why(panel: Page) -> None:
    panel.route("**/api/v1/silences", lambda route: route.fulfill(status=400, json={"detail": "for_s is too long"}))
    row = panel.locator("[data-testid^=alert-memory-high]").first
    row.locator(".title").click()
    row.get_by_role("button", name="Silence…").click()
    row.get_by_label("you").fill("bob")
    row.get_by_label("why").fill("because")
    row.get_by_role("button", name="Silence", exact=True).click()
    expect(row.get_by_role("alert")).to_contain_text("for_s is too long")


def test_threats_anomalies_and_conduct_are_told_or_said_to_be_none(panel: Page) -> None:
    panel.get_by_role("button", name="Threats", exact=True).click()
    expect(panel.get_by_test_id("threats")).to_contain_text("No threats found", timeout=10_000)
    expect(panel.get_by_test_id("conduct")).to_contain_text("misbehaves")
    panel.get_by_role("button", name="Ended", exact=True).click()
    expect(panel.get_by_test_id("panel-alerts")).to_contain_text("Nothing ended within a day", timeout=10_000)


@pytest.mark.parametrize("width", [1920, 1440, 1280, 1000, 390])
def test_counts_by_severity_are_in_sight_at_every_width(
    alarmed: Agent, open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(alarmed.http, viewport={"width": width, "height": 800})
    counts = page.get_by_test_id("fact-alerts")
    expect(counts).to_have_attribute("aria-label", re.compile("[1-9] high"), timeout=30_000)
    expect(counts).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    counts.click()
    expect(page.get_by_test_id("panel-alerts")).to_be_visible()


def test_nothing_wrong_is_said_kindly(calm: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{calm.http}/#panel=alerts")
    expect(page.get_by_test_id("quiet")).to_contain_text("Nothing needs you", timeout=30_000)
    expect(page.get_by_test_id("fact-alerts")).to_contain_text("none")
