"""What the dashboard costs a browser without a GPU: first paint, and frames per second while the map is moved.

    .venv/bin/python benchmarks/dashboard.py [--simulate 1000] [--generate 10000] [--chromium PATH] [--seconds 4]

Prints JSON. `--simulate`: `peerscope simulate steady --serve` with so many peers, stopped (SIGSTOP) while frames are
counted, since it would take a core of its own. `--generate`: a ledger of so many linked peers behind the same web app,
first with its regions as bubbles, then with all of them opened. 0 leaves either out. The first paint is the median of
nine visits by a browser that has not seen the page. Frames are those in which the map
was drawn after an input event; the browser makes at most 60 in a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from random import Random
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from topology import Network

from peerscope.agent.event_log import EventLog
from peerscope.agent.network_view import NetworkView, SelfView
from peerscope.agent.traffic import Traffic
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingSilence
from peerscope.config import Config
from peerscope.core import Core, CoreConfig
from peerscope.errors import ConfigError
from peerscope.mesh.grid import Grid
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId, short
from peerscope.records.ledger import Ledger
from peerscope.sources.node import Node
from peerscope.web.app import make_app
from peerscope.web.feed import Feed

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE_S = 600.0
VISITS = 9
NOBODY = "nobody is told of a network that is generated"
MOVE = """([seconds, kind]) => new Promise((done) => {
  const canvas = document.querySelector("[data-testid=map]");
  const box = canvas.getBoundingClientRect();
  const middle = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
  const at = { ...middle, bubbles: true, pointerId: 1, button: 0 };
  canvas.setPointerCapture = () => {};
  if (kind === "pan") canvas.dispatchEvent(new PointerEvent("pointerdown", at));
  const before = window.peerscope.map.report().frames;
  const begun = performance.now();
  let last = begun, worst = 0, turn = 0;
  const frame = (now) => {
    worst = Math.max(worst, now - last);
    last = now;
    turn += 1;
    const angle = turn / 15;
    if (kind === "pan") canvas.dispatchEvent(new PointerEvent("pointermove",
      { ...at, clientX: at.clientX + 90 * Math.sin(angle), clientY: at.clientY + 60 * Math.cos(angle) }));
    else canvas.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY: 60 * Math.sin(angle), cancelable: true }));
    if (now - begun < seconds * 1000) return requestAnimationFrame(frame);
    if (kind === "pan") canvas.dispatchEvent(new PointerEvent("pointerup", at));
    const passed = (now - begun) / 1000;
    done({ fps: (window.peerscope.map.report().frames - before) / passed, worst_frame_s: worst / 1000 });
  };
  requestAnimationFrame(frame);
})"""


class Generated(NetworkView):
    """Looks through the first peer of a ledger that was never on a network."""

    def __init__(self, peers: int) -> None:
        super().__init__()
        self._network = Network(peers, Random(1))
        self.config, self.http, self.recorder = Config(), None, None
        self.event_log = EventLog(self.failure_log)
        self.node = Node(self.config.node, 5.0, Random(2))
        me = self._network.peers[0]
        ledger, settings = self._network.ledger, self.config.core()
        peer = SimpleNamespace(ledger=ledger, global_ledger=Ledger(), me=me, refused={}, config=settings, grid=Grid(me))
        self._core = Core(CoreConfig(rules=()), cast(Peer, peer), 1.0, time.time())
        self.traffic = Traffic(me, self.snapshot, lambda peer: None)

    @property
    def core(self) -> Core:
        return self._core

    def clock(self) -> tuple[float, float]:
        return 1.0, time.time()  # a moment that lasts: nothing expires

    def silence(self, matchers: Iterable[str], for_s: float, author: str, reason: str) -> StandingSilence:
        raise ConfigError(NOBODY)

    def lift(self, silence: str) -> bool:
        raise ConfigError(NOBODY)

    def acknowledge(self, key: str, author: str, reason: str = "") -> StandingAcknowledgement:
        raise ConfigError(NOBODY)

    def forget(self, peer: PeerId, author: str, reason: str = "", *, force: bool = False) -> StandingForget:
        raise ConfigError(NOBODY)

    def remember(self, peer: PeerId) -> bool:
        raise ConfigError(NOBODY)

    def leave(self, reason: str, for_s: float | None = None) -> None:
        raise ConfigError(NOBODY)

    def self_view(self) -> SelfView:
        me = self.peer.me
        return SelfView(
            me.hex(), short(me), "", "generated", None, None, "0", 0.0, None, None, (), {}, keeps_history=False
        )


@contextlib.contextmanager
def generated(peers: int) -> Iterator[str]:
    """Serves a generated network from a thread; its address."""
    view = Generated(peers)
    app = make_app(view, Feed(view))
    taken = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="websockets-sansio", ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def simulated(peers: int) -> Iterator[tuple[str, int]]:
    """`simulate --serve` once nearly all its links are known; its address and process."""
    command = [sys.executable, "-m", "peerscope", "simulate", "steady", "--peers", str(peers), "--unsigned"]
    command += ["--serve", "--speed", "10", "--json", "--http", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        http = json.loads(process.stdout.readline())["http"]
        end = time.monotonic() + PATIENCE_S
        while (links := _links(http)) < 3.9 * peers and time.monotonic() < end:
            time.sleep(5)
        print(f"{links} links of {peers} simulated peers are known", file=sys.stderr)
        yield http, process.pid
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def _links(http: str) -> int:
    with urllib.request.urlopen(f"{http}/api/v1/topology", timeout=60) as answer:
        return len(json.load(answer)["links"])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, default=1_000, metavar="PEERS")
    parser.add_argument("--generate", type=int, default=10_000, metavar="PEERS")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--seconds", type=float, default=4.0, help="of movement, each")
    options = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "dashboard", "cores": os.cpu_count()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
        if options.simulate:
            with simulated(options.simulate) as (http, process):
                page, paints = opened(browser, http)
                found["simulated"] = paints | look(page, options.seconds, stop=process)
        if options.generate:
            with generated(options.generate) as http:
                page, paints = opened(browser, http)
                found["generated"] = paints | look(page, options.seconds)
                if page.evaluate("window.peerscope.map.report().bubbles.length"):
                    page.evaluate("window.peerscope.map.openAll()")
                    _settle(page)
                    found["generated_all_open"] = _moved(page, options.seconds)
        browser.close()
    print(json.dumps(found, indent=2))


def opened(browser: Browser, http: str) -> tuple[Page, dict[str, Any]]:
    """The page, opened again and again by browsers that know nothing of it; the last one, and when each had the map."""
    paints = []
    for visit in range(VISITS):
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        page.goto("about:blank")  # everything has started before anything is timed
        page.goto(http)
        _settle(page)
        paints.append(page.evaluate("performance.getEntriesByName('map')[0].startTime / 1000"))
        if visit < VISITS - 1:
            context.close()
    return page, {"first_paint_s": round(median(paints), 3), "first_paints_s": [round(paint, 3) for paint in paints]}


def look(page: Page, seconds: float, stop: int | None = None) -> dict[str, Any]:
    """Frames while moving; the process `stop` stands still meanwhile."""
    if stop is not None:
        os.kill(stop, signal.SIGSTOP)
    try:
        return _moved(page, seconds)
    finally:
        if stop is not None:
            os.kill(stop, signal.SIGCONT)


def _settle(page: Page) -> None:
    end = time.monotonic() + PATIENCE_S
    page.wait_for_timeout(1000)
    while not page.evaluate("window.peerscope?.map?.report().settled") and time.monotonic() < end:
        page.wait_for_timeout(500)


def _moved(page: Page, seconds: float) -> dict[str, Any]:
    report = page.evaluate("window.peerscope.map.report()")
    shown = {"nodes": report["nodes"], "links_drawn": report["links"], "bubbles": len(report["bubbles"])}
    moves = {kind: page.evaluate(MOVE, [seconds, kind]) for kind in ("pan", "zoom")}
    return shown | {kind: {name: round(value, 3) for name, value in one.items()} for kind, one in moves.items()}


if __name__ == "__main__":
    main()
