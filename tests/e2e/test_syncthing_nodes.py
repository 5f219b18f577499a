"""Three real Syncthing nodes share a folder: read as the how-to says, beside their own interfaces."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peerscope.errors import SourceError
from peerscope.sources.base import Reading, Source, make_source
from syncthing_network import syncthing_network, until

pytestmark = pytest.mark.tools
HOWTO = Path(__file__).parents[2] / "docs/howto/nodes/syncthing.md"
Need = Callable[[str], str]


def read(source: Source) -> Reading:
    return asyncio.run(source.read())


def values(reading: Reading, names: dict[str, object]) -> dict[str, object]:
    known: dict[str, object] = {"version": reading.version, "node_id": reading.node_id}
    known |= {"overlay": {link.node for link in reading.overlay}}
    known |= {one.name: one.value for one in reading.measures}
    return {name: known[name] if name in known else getattr(reading.metrics, name) for name in names}


def agrees(source: Source, truth: Callable[[], dict[str, object]]) -> Reading:
    """Read beside the truth until both agree: bytes pass between two looks."""
    for _ in range(40):
        before, reading = truth(), read(source)
        if values(reading, before) == before:
            return reading
        time.sleep(0.25)
    assert values(reading, before) == before
    return reading


def test_syncthing_is_read_as_its_own_interface_shows_it(
    need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shown = re.findall(r"--node-source[\s\\]+'?([^\s']+)", HOWTO.read_text(encoding="utf-8"))
    with syncthing_network(need("syncthing"), tmp_path, 3) as network:
        for number in range(3):
            spec = shown.replace("http://127.0.0.1:8384", network.url(number))
            spec = spec.replace("/etc/peerscope/syncthing", str(network.key_file(number)))
            assert spec == network.spec(number)
            reading = agrees(make_source(spec), lambda number=number: network.truth(number))
            assert {link.node for link in reading.overlay} == set(network.ids) - {network.ids[number]}
            assert reading.details["devices_by_tcp"] == 2
            assert network.ask(number, "/rest/config/options")["listenAddresses"] == [f"tcp://{reading.addresses[0]}"]

        monkeypatch.setenv("STHOMEDIR", str(network.home(1)))
        assert read(make_source(f"{own}:{network.url(1)}")).node_id == network.ids[1]
        with pytest.raises(SourceError, match="does not accept"):
            read(make_source(network.spec(0).replace("key-0", "key-1")))

        source = make_source(network.spec(0))
        until(lambda: values(read(source), {"discovery_errors": 0})["discovery_errors"] == 1, "discovery fails")
        network.kill(2)
        until(lambda: network.truth(0)["devices_connected"] == 1, "the node misses a device")
        reading = agrees(source, lambda: network.truth(0))
        assert values(reading, {"overlay": 0, "p2p_peers": 0}) == {"overlay": {network.ids[1]}, "p2p_peers": 1}
        assert (reading.details["devices_never_seen"], reading.metrics.errors) == (0, None)
        network.stop(1)  # Syncthing keeps it for minutes
        assert values(read(source), {"devices_connected": 0, "dead_links": 0}) == {
            "devices_connected": 1,
            "dead_links": 0,
        }
        network.go_on(1)
