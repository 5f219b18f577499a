"""A browser for the dashboard, and what every test of it uses."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo_network import DemoNetwork, demo_network, free_address
from pages import PEERS

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REFUSED = ("WebSocket connection to", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "status of 400")
"""The browser's own lines while a peer is dead, and where it refuses what it was asked."""


@pytest.fixture(scope="session", autouse=True)
def _patient() -> None:
    """A busy machine shows things later."""
    expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[DemoNetwork]:
    need("chromium")
    with demo_network(tmp_path_factory.mktemp("demo"), peers=PEERS, http=free_address()) as network:
        yield network


@pytest.fixture
def browser(need: Callable[[str], str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a new window; afterwards none may have complained, of its policy least of all."""
    said: list[str] = []

    def opening(address: str, **options: Any) -> Page:
        page = browser.new_page(**({"viewport": {"width": 1280, "height": 720}, "color_scheme": "dark"} | options))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield opening
    assert [line for line in said if not any(words in line for words in REFUSED)] == []


@pytest.fixture
def page(network: DemoNetwork, open_page: Callable[..., Page]) -> Page:
    return open_page(network.peers[0]["http"])
