"""Four real BitTorrent clients share one torrent: each is read as its how-to says, beside its own interface."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bittorrent_network import DATA, DEAD_TRACKER, Clients, torrent, tracker, until
from peerscope import Config, Monitor
from peerscope.errors import SourceError
from peerscope.records.bodies import Status
from peerscope.sources.base import Reading, Source, make_source
from peerscope.sources.programs.libtorrent import LibtorrentSource
from torrent_clients import (
    DEAD_HOST,
    Aria2Client,
    QbittorrentClient,
    TransmissionClient,
    libtorrent_session,
)

pytestmark = pytest.mark.tools
HOWTO = Path(__file__).parents[2] / "docs/howto/nodes"
Need = Callable[[str], str]


class Swarm:
    """The clients, and a libtorrent session of this process."""

    def __init__(self, clients: Clients, programs: list[Any], session: Any, shared: Any) -> None:
        self.clients, self.session, self.shared = clients, session, shared
        self.transmission, self.aria2, self.qbittorrent = programs


@pytest.fixture(scope="module")
def swarm(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    libtorrent = pytest.importorskip("libtorrent")
    folder = tmp_path_factory.mktemp("swarm")
    kinds = [
        (TransmissionClient, "transmission-daemon"),
        (Aria2Client, "aria2c"),
        (QbittorrentClient, "qbittorrent-nox"),
    ]
    clients = Clients(folder)
    try:
        programs: list[Any] = [kind(clients, number, need(name)) for number, (kind, name) in enumerate(kinds)]
        with tracker() as url:
            data = torrent([url, DEAD_TRACKER])
            for program in programs:
                until(lambda program=program: program.truth()["torrents"] == 0, f"it answers; logs in {folder}")
                program.add(data)
                if program is programs[0]:  # the others learn of it with their first announcement, or much later
                    until(lambda: programs[0].truth()["trackers"], "it has announced itself")
            session = libtorrent_session()
            parameters = libtorrent.load_torrent_buffer(data)
            parameters.save_path = str(clients.place(3))
            shared = session.add_torrent(parameters)
            files = [clients.place(number) / "data" for number in range(4)]
            until(lambda: all(file.exists() and file.read_bytes() == DATA for file in files), f"all have it: {folder}")
            yield Swarm(clients, programs, session, shared)
    finally:
        clients.close()


def spec(page: str, number: int, swarm: Swarm, secret: str = "") -> str:
    """The spec that a how-to shows, with the port and the file of secrets of a client."""
    shown = re.findall(r"--node-source[\s\\]+'?([^\s']+)", (HOWTO / page).read_text(encoding="utf-8"))
    (found,) = [one for one in shown if ("_file=" in one) == bool(secret) and "http" in one]
    found = re.sub(r":\d+", f":{swarm.clients.ports[number]}", found)
    return re.sub(r"/etc/peerscope/\w+", str(swarm.clients.folder / secret), found)


def read(source: Source) -> Reading:
    return asyncio.run(source.read())


def values(reading: Reading, names: dict[str, object]) -> dict[str, object]:
    known: dict[str, object] = {"version": reading.version, "node_id": reading.node_id}
    known |= {one.name: one.value for one in reading.measures}
    return {name: known[name] if name in known else getattr(reading.metrics, name) for name in names}


def agrees(make: Callable[[], Source], truth: Callable[[], dict[str, object]]) -> Reading:
    """Read beside the truth until both agree: peers come and go between two looks."""
    for _ in range(60):
        before, reading = truth(), read(make())
        if values(reading, before) == before:
            return reading
        time.sleep(0.25)
    assert values(reading, before) == before
    return reading


def test_transmission_is_read_as_its_own_rpc_shows_it(swarm: Swarm) -> None:
    place = spec("transmission.md", 0, swarm)
    until(lambda: swarm.transmission.truth()["trackers"] == 2, "it has tried both trackers")
    reading = agrees(lambda: make_source(place), swarm.transmission.truth)
    assert values(reading, {"torrents": 0, "trackers_failing": 0}) == {"torrents": 1, "trackers_failing": 1}
    assert reading.metrics.sent_bytes is not None
    assert reading.metrics.sent_bytes >= len(DATA)
    assert reading.details["trackers_failing_hosts"] == DEAD_HOST  # without the key in its URL


def test_qbittorrent_is_read_as_its_own_interface_shows_it(swarm: Swarm) -> None:
    place = spec("qbittorrent.md", 2, swarm, "qbittorrent.password")
    until(lambda: swarm.qbittorrent.truth()["trackers_failing"] == 1, "it has tried the dead tracker")
    reading = agrees(lambda: make_source(place), swarm.qbittorrent.truth)
    assert values(reading, {"torrents": 0, "trackers": 0}) == {"torrents": 1, "trackers": 2}
    assert reading.metrics.received_bytes is not None
    assert reading.metrics.received_bytes >= len(DATA)
    assert reading.details["trackers_failing_hosts"] == DEAD_HOST
    source = make_source(place)
    assert read(source).measures == read(source).measures  # the second answer holds only what changed
    asyncio.run(source.close())
    with pytest.raises(SourceError, match="wants a login"):
        read(make_source(spec("qbittorrent.md", 2, swarm)))
    (swarm.clients.folder / "wrong").write_text("wrong")
    wrong = make_source(place.replace("qbittorrent.password", "wrong"))
    for reason in ("does not accept", "next try"):  # only the first one asks
        with pytest.raises(SourceError, match=reason):
            read(wrong)


def test_aria2_is_read_as_its_own_rpc_shows_it(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    place = spec("aria2.md", 1, swarm, "aria2.secret")
    reading = agrees(lambda: make_source(place), swarm.aria2.truth)
    assert values(reading, {"torrents": 0})["torrents"] == 1
    bare = place.partition("#")[0]
    monkeypatch.setenv("HOME", str(swarm.clients.folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    with pytest.raises(SourceError, match="wants its secret"):
        read(make_source(bare))
    (swarm.clients.folder / ".aria2").symlink_to(swarm.clients.place(1))
    assert read(make_source(bare)).version == reading.version


def test_a_libtorrent_session_is_read_as_its_own_statistics_show_it(swarm: Swarm) -> None:
    import libtorrent

    def truth() -> dict[str, object]:
        swarm.session.post_session_stats()
        while True:
            assert swarm.session.wait_for_alert(10_000), "statistics come"
            for alert in swarm.session.pop_alerts():
                if isinstance(alert, libtorrent.session_stats_alert):
                    known = alert.values
                    return {
                        "p2p_peers": len(
                            [one for one in swarm.shared.get_peer_info() if one.flags & one.handshake == 0]
                        ),
                        "received_bytes": known["net.recv_payload_bytes"],
                        "sent_bytes": known["net.sent_payload_bytes"],
                        "dht_nodes": known["dht.dht_nodes"],
                        "torrents": 1,
                        "trackers": 2,
                        "trackers_failing": 1,
                    }

    reading = agrees(lambda: LibtorrentSource(swarm.session), truth)
    assert reading.node_id is not None
    assert re.fullmatch("[0-9a-f]{40}", reading.node_id)
    assert reading.details["trackers_failing_hosts"] == DEAD_HOST


def test_the_how_to_attaches_a_session_to_an_agent_of_the_same_process(tmp_path: Path) -> None:
    pytest.importorskip("libtorrent")
    (code,) = re.findall(r"```python\n(.*?)```", (HOWTO / "libtorrent.md").read_text(encoding="utf-8"), re.S)
    settings = tmp_path / "peerscope.toml"
    settings.write_text('[peer]\nlisten = "127.0.0.1:0"\n[report]\ninterval_s = 0.2\n[health]\n', encoding="utf-8")
    code = code.replace("peerscope.toml", str(settings)).replace("0.0.0.0:6881", "127.0.0.1:0")
    code = code.replace("from peerscope import Config, Monitor\n", "").replace(
        "await monitor.wait()", "await seen(monitor)"
    )
    found: list[Any] = []

    async def seen(monitor: Monitor) -> None:
        while (reading := monitor.node.current()) is None:
            await asyncio.sleep(0.05)
        found.append((reading, monitor.node.view(), monitor.node.check()))

    names: dict[str, Any] = {
        "Config": Config,
        "seen": seen,
        "Monitor": lambda config: Monitor(config, tmp_path / "state"),
    }
    lines = [*code.splitlines(), "session.pause()"]
    exec("async def program():\n" + "\n".join(f"    {line}" for line in lines), names)
    asyncio.run(asyncio.wait_for(names["program"](), 60))
    ((reading, view, check),) = found
    assert (view.node, view.node_id, check.status) == ("libtorrent", reading.node_id, Status.HEALTHY)
