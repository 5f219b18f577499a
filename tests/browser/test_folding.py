"""Equal alerts are one card that opens, grave ones stay in sight, and an incident tells its story."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, expect

from ledgers import Book
from live import Agent, running
from live import until as came_true
from pages import keep
from peerscope.alerts.incident import Alternative, Incident
from peerscope.records.alerts import Alerts, Severity, Statement
from peerscope.records.bodies import Profile
from peerscope.records.identity import Identity

pytestmark = pytest.mark.browser
BUSY, FULL = 12, 3
PEERS = tuple(Identity(bytes((number,)) * 32) for number in range(60, 60 + BUSY + FULL))


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[Agent]:
    """Twelve peers with one alert, three with a graver and older one; no incident holds any."""
    need("chromium")
    sections = {"report": {"interval_s": 0.5}, "web": {"update_interval_s": 0.2}}
    with running(tmp_path_factory.mktemp("crowded"), **sections) as agent:

        def tell() -> None:
            book, now = Book(agent.monitor.peer.ledger, PEERS), agent.monitor.snapshot().now
            for number in range(BUSY + FULL):
                book.say(number, Profile(("192.0.2.1:1",), "eu-west", "1.0", 1_700_000_000_000), at=now)
                rule, severity = ("cpu-high", Severity.MEDIUM) if number < BUSY else ("storage-high", Severity.HIGH)
                age_ms = 1_000 * number if number < BUSY else 600_000
                book.say(number, Alerts((Statement(rule, "", severity, age_ms, text="99 %"),)), at=now)

        agent.loop.call(tell)
        came_true(lambda: agent.loop.call(lambda: len(agent.monitor.alerts(active_only=True))) >= 15, "all fire")
        yield agent


@pytest.fixture
def alone(crowded: Agent, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """Without what the correlation makes of it."""
    monkeypatch.setattr(type(crowded.monitor.core.alerts.correlation), "mark", lambda self, alerts: list(alerts))
    monkeypatch.setattr(crowded.monitor, "incidents", list)
    return crowded


def test_twelve_equal_alerts_are_one_card_that_opens_and_do_not_bury_three_graver_ones(
    alone: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{alone.http}/#panel=alerts")
    many, few = page.get_by_test_id("alerts-cpu-high"), page.get_by_test_id("alerts-storage-high")
    expect(many).to_have_attribute("data-count", str(BUSY), timeout=30_000)
    expect(few).to_have_attribute("data-count", str(FULL))
    expect(page.locator("ul.alerts > li").first).to_have_attribute("data-testid", "alerts-storage-high")
    expect(few).to_be_in_viewport(ratio=1)
    expect(many).to_contain_text(f"×{BUSY}")
    expect(many).to_contain_text("and 9 more")
    expect(page.locator("[data-testid^=alert-]")).to_have_count(0)
    keep(page, "folded.png")
    many.locator("> .line .title").click()
    expect(many.locator("[data-testid^=alert-cpu-high]")).to_have_count(BUSY)
    many.locator("[data-testid^=alert-cpu-high]").first.locator(".title").click()
    expect(many).to_contain_text("do first", timeout=10_000)
    many.locator("> .line .title").click()
    expect(page.locator("[data-testid^=alert-]")).to_have_count(0)


def test_a_critical_alert_stands_before_a_lesser_incident_and_its_story_is_told(
    alone: Agent, open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [one for one in alone.loop.call(lambda: alone.monitor.alerts(active_only=True)) if one.rule == "cpu-high"]
    host = Incident(
        id="host-m1-1",
        kind="host",
        severity="medium",
        title="12 peers on one machine report the same CPU",
        description="12 cpu-high",
        state="open",
        started_at=busy[0].started_at,
        updated_at=busy[0].started_at,
        ended_at=None,
        alerts=tuple(one.id for one in busy),
        peers=tuple(one.peer_id for one in busy if one.peer_id),
        root=None,
        confidence=0.9,
        alternatives=(Alternative("host", "m1", 0.6), Alternative("cascade", None, 0.3)),
        evidence=("All run on <b>one</b> machine.", "No order along links."),
        first_step="Log in to that machine.",
        split_from="pattern-cpu-high-1",
        merged=("pattern-cpu-high-2",),
        was="pattern",
    )
    ids = set(host.alerts)

    def mark(self: object, alerts: list) -> list:
        return [replace(one, incident=host.id) if one.id in ids else one for one in alerts]

    monkeypatch.setattr(type(alone.monitor.core.alerts.correlation), "mark", mark)
    monkeypatch.setattr(alone.monitor, "incidents", lambda: [host])
    page = open_page(f"{alone.http}/#panel=alerts")
    card = page.get_by_test_id("incident-host-m1-1")
    expect(card).to_be_visible(timeout=30_000)
    expect(card.get_by_test_id("alternatives")).to_have_text("Either one machine m1 (60 %) or cascade (30 %)")
    evidence = card.get_by_test_id("incident-evidence").locator("li")
    expect(evidence).to_have_text(["All run on <b>one</b> machine.", "No order along links."])
    expect(card.get_by_test_id("first-step")).to_have_text("Do first: Log in to that machine.")
    expect(card.get_by_test_id("incident-history")).to_have_text(
        [
            "It was reported as pattern before.",
            "Its alerts were part of pattern-cpu-high-1 before.",
            "It holds the alerts of pattern-cpu-high-2 too.",
        ]
    )
    expect(card.get_by_test_id("alerts-cpu-high")).to_have_attribute("data-count", str(BUSY))
    above, below = page.get_by_test_id("alerts-storage-high").bounding_box(), card.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] < below["y"], "three graver alerts are not buried below the incident"
    keep(page, "incident-story.png")


def test_an_incident_without_a_story_shows_none(alone: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{alone.http}/#panel=alerts")
    expect(page.get_by_test_id("alerts-cpu-high")).to_be_visible(timeout=30_000)
    for name in ("alternatives", "incident-evidence", "first-step", "incident-history"):
        expect(page.get_by_test_id(name)).to_have_count(0)
