"""The source that docs/howto/write-a-source.md shows: taken from there, installed as a package, asked by an agent."""

import asyncio
import http.server
import json
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import came_true, client, running, until
from nodes import at_work, attached
from peerscope.errors import ConfigError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.registry import GROUP, make_source

DOCUMENT = (Path(__file__).parents[2] / "docs" / "howto/write-a-source.md").read_text(encoding="utf-8")
LINES_MAX = 35
STATE = {"id": "toy-1", "peers": ["toy-2", "toy-3"], "messages": 7}


def shown(language: str) -> str:
    """The last block of code in that language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)[-1]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module and its entry point, as `pip install` leaves them."""
    package = tmp_path / "site"
    (package / "toy_source-1.0.dist-info").mkdir(parents=True)
    (package / "toy_source.py").write_text(shown("python"))
    entry = shown("toml").partition("]\n")[2].replace('"', "")
    (package / "toy_source-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-source\nVersion: 1.0\n"
    )
    (package / "toy_source-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}")
    monkeypatch.syspath_prepend(str(package))
    yield
    sys.modules.pop("toy_source", None)


@pytest.fixture
def toy() -> Iterator[tuple[int, dict[str, object]]]:
    """A toy node: its port, and its state."""
    state = dict(STATE)

    class State(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(state).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), State) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, state
        server.shutdown()
        thread.join()


def test_it_is_as_short_as_it_says() -> None:
    assert len([line for line in shown("python").splitlines() if line.strip()]) <= LINES_MAX


@pytest.mark.usefixtures("installed")
def test_it_is_found_by_its_entry_point_and_tells_what_the_node_does(toy: tuple[int, dict[str, object]]) -> None:
    port, state = toy

    async def scenario() -> None:
        async with at_work(attached(make_source(f"toy:{port}"), limit_s=5.0)) as attachment:
            await came_true(lambda: attachment.current() is not None, "it answers")
            assert attachment.current() == Reading(
                node="toy",
                node_id="toy-1",
                metrics=NodeMetrics(p2p_peers=2, messages=7),
                overlay=(OverlayLink("toy-2"), OverlayLink("toy-3")),
            )
            del state["id"]
            await came_true(lambda: attachment.failures > 0, "it fails")
            assert attachment.check().message == "failed: KeyError: 'id'"

    asyncio.run(scenario())


@pytest.mark.usefixtures("installed")
def test_a_mistake_in_its_argument_is_told_before_the_start() -> None:
    with pytest.raises(ConfigError, match="'toy:x': 'x' is no port, as in toy:7000"):
        make_source("toy:x")


@pytest.mark.usefixtures("installed")
def test_an_agent_with_it_shows_its_node_to_all(toy: tuple[int, dict[str, object]], tmp_path: Path) -> None:
    with running(tmp_path, node={"sources": [f"toy:{toy[0]}"]}, report={"interval_s": 0.1}) as agent:
        with client(agent) as asking:
            until(lambda: asking.get("/api/v1/self").json()["node"] == "toy", "it is attached")
            until(lambda: asking.get("/api/v1/topology").json()["links"] != [], "its neighbours are on the map")
            found = asking.get("/api/v1/topology").json()
    assert {link["layer"] for link in found["links"]} == {"toy"}
    assert {peer["peer_id"] for peer in found["peers"] if not peer["monitored"]} == {"toy:toy-2", "toy:toy-3"}
