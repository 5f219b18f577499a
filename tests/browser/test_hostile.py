"""What other peers say of themselves is text on the page, whatever it looks like."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ledgers import Book
from live import Agent, running
from pages import until
from peerscope.records.bodies import Check, Profile, Report, Status
from peerscope.records.identity import Identity

pytestmark = pytest.mark.browser
IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script>"
BACKWARDS = "\u202eevil"
NOW = 1_700_000_000_000
PEERS = tuple(Identity(bytes((number,)) * 32) for number in range(100, 103))


@pytest.fixture
def agent(tmp_path: Path, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path, peer={"region": "eu-west"}, web={"update_interval_s": 0.2}) as agent:
        agent.loop.call(tell, agent)
        yield agent


def tell(agent: Agent) -> None:
    """Three peers name everything as an attacker would."""
    book, now = Book(agent.monitor.peer.ledger, PEERS), agent.monitor.snapshot().now
    for number, name in enumerate((IMAGE, SCRIPT, BACKWARDS)):
        book.say(number, Profile((name,), name[:64], name[:32], NOW, node=name[:32], node_id=name[:60]), at=now)
        check = Check(Status.UNHEALTHY, None, name)
        book.say(number, Report(600_000, (check,) * 5, ()), at=now)


def test_hostile_names_are_shown_as_text_in_every_panel(agent: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(agent.http)
    asked: list[Any] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    expect(page.get_by_test_id("count-total")).to_contain_text("4", timeout=30_000)
    until(page, "window.peerscope.map.drawn().length === 4")
    expect(page.get_by_test_id(f"peer-row-{PEERS[0].peer_id.hex()}")).to_contain_text(IMAGE[:20])
    for panel in ("regions", "latency", "traffic", "alerts", "topology"):
        page.get_by_test_id(f"tab-{panel}").click()
        page.wait_for_timeout(700)
    page.get_by_test_id("tab-regions").click()
    expect(page.get_by_test_id("regions")).to_contain_text(IMAGE)
    for identity in PEERS:
        page.get_by_test_id(f"peer-row-{identity.peer_id.hex()}").click()
        expect(page.get_by_test_id("drawer")).to_contain_text("unhealthy", timeout=10_000)
        page.wait_for_timeout(500)
        page.keyboard.press("Escape")
    assert asked == []
    assert page.evaluate("document.querySelectorAll('img[onerror], img[src=x]').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    assert "\u202e" not in page.inner_text("body")
