"""What tests of the dashboard ask of a page."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from demo_network import eventually

PEERS = 12
SCREENSHOTS = Path(__file__).parents[1] / "docs" / "images"


@contextlib.contextmanager
def simulation(*arguments: str) -> Iterator[str]:
    """`peerscope simulate ... --serve`; the address of its page."""
    command = [sys.executable, "-m", "peerscope", "simulate", *arguments, "--serve", "--json", "--http", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["http"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def drawn(page: Page) -> list[dict[str, Any]]:
    """The peers as they stand on the canvas."""
    found: list[dict[str, Any]] = page.evaluate("window.peerscope?.map?.drawn() ?? []")
    return found


def until(page: Page, truth: str, given: Any = None, *, within_s: float = 60) -> None:
    """Wait until an expression over the page holds. (Playwright's own way evaluates a string in the page, which the
    page's content security policy refuses.)"""
    eventually(lambda: bool(page.evaluate(truth, given)), truth, within_s=within_s)


def keep(page: Page, name: str) -> None:
    """A screenshot for the docs, where it was asked for."""
    shot = page.screenshot()
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / name).write_bytes(shot)
