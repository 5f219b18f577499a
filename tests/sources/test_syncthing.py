"""Syncthing's REST interface: the shapes of 1.19 and 2.0, devices that are gone, silent or strange, and the API key."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.sources import own_secrets
from peerscope.sources.attachment import _checked
from peerscope.sources.base import Reading
from peerscope.sources.programs import syncthing
from peerscope.sources.programs.syncthing import SyncthingSource, own_key
from scripted_node import Answered, Asked, ScriptedNode, scripted_node

ME, ONE, TWO = ("-".join([sign * 7] * 8) for sign in "ABC")
NEVER = "1970-01-01T00:00:00Z"
GONE = {"connected": False, "inBytesTotal": 0, "outBytesTotal": 0, "type": "", "address": "", "paused": False}
UP = {"connected": True, "inBytesTotal": 7, "outBytesTotal": 9, "type": "tcp-client", "paused": False}


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with scripted_node() as node:
        yield node


def answers(**changed: Any) -> dict[str, Any]:
    """What a node says that knows two devices, one of them connected."""
    return {
        "system/status": {"myID": ME, "uptime": 3, "discoveryStatus": {"global": {"error": "refused"}, "v4": {}}},
        "system/connections": {
            "connections": {ME: GONE, ONE: UP, TWO: GONE},
            "total": {"at": "2026-11-30T18:38:37Z", "inBytesTotal": 11, "outBytesTotal": 12},
        },
        "system/version": {"version": "v1.19.2"},
        "db/completion": {"completion": 50, "globalItems": 2, "needBytes": 5},
        "stats/device": {ME: {"lastSeen": NEVER}, ONE: {"lastSeen": "2026-11-30T18:38:37Z"}, TWO: {"lastSeen": NEVER}},
    } | {name.replace("_", "/"): value for name, value in changed.items()}


def read(node: ScriptedNode, tmp_path: Path, known: dict[str, Any]) -> Reading:
    return asyncio.run(source(node, tmp_path, known).read())


def source(node: ScriptedNode, tmp_path: Path, known: dict[str, Any]) -> SyncthingSource:
    def answer(asked: Asked) -> Answered:
        found = known[asked.path.removeprefix("/rest/")]
        return Answered(found if isinstance(found, bytes) else json.dumps(found).encode())

    node.answer = answer
    (tmp_path / "key").write_text("k3y\n")
    return SyncthingSource(f"{node.url}#token_file={tmp_path / 'key'}")


def measures(reading: Reading) -> dict[str, Any]:
    return {one.name: one.value for one in reading.measures}


def test_a_device_without_a_valid_id_takes_no_other_with_it(node: ScriptedNode, tmp_path: Path) -> None:
    known = answers()
    known["system/connections"]["connections"]["x\x1b[2J"] = UP
    reading = _checked(read(node, tmp_path, known))
    assert [link.node for link in reading.overlay] == [ONE]
    assert reading.details["names_refused"] == 1.0


def test_the_own_device_is_no_device_that_is_missing(node: ScriptedNode, tmp_path: Path) -> None:
    reading = read(node, tmp_path, answers())
    assert (reading.node_id, reading.version) == (ME, "v1.19.2")
    assert [link.node for link in reading.overlay] == [ONE]
    assert (reading.metrics.p2p_peers, reading.metrics.received_bytes, reading.metrics.sent_bytes) == (1, 11, 12)
    assert measures(reading) == {
        "dead_links": 0,
        "devices_configured": 2,
        "devices_connected": 1,
        "discovery_errors": 1,
        "folder_completion": 0.5,
    }
    assert reading.details["devices_never_seen"] == 1
    assert {asked.headers["X-API-Key"] for asked in node.requests} == {"k3y"}


def test_addresses_are_those_of_tcp_that_others_can_dial(node: ScriptedNode, tmp_path: Path) -> None:
    listeners = {
        "tcp://0.0.0.0:22000": {
            "error": None,
            "lanAddresses": [
                "tcp://127.0.0.1:22000",
                "tcp://0.0.0.0:22000",
                "tcp4://10.0.0.1:22000",
                "tcp://[fd00::1]:1",
            ],
            "wanAddresses": ["tcp://8.8.8.8:22000", "tcp://0.0.0.0:0", "quic://8.8.8.8:22000", "tcp://\x1b:1"],
        },
        "relay://x": {"error": "refused", "lanAddresses": None, "wanAddresses": ["relay://9.9.9.9:443/?id=x"]},
    }
    reading = read(node, tmp_path, answers(system_status={"myID": ME, "connectionServiceStatus": listeners}))
    assert reading.addresses == ("8.8.8.8:22000", "10.0.0.1:22000", "[fd00::1]:1", "127.0.0.1:22000")
    assert reading.details["listeners_failing"] == 1


def test_several_connections_to_a_device_count_as_one_device(node: ScriptedNode, tmp_path: Path) -> None:
    several = UP | {"primary": {"type": "quic-client"}, "secondary": [{"type": "quic-client"}] * 2}
    connections = answers()["system/connections"] | {"connections": {ME: GONE, ONE: several}}
    reading = read(node, tmp_path, answers(system_connections=connections))
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (3, 1)


def test_a_fresh_node_knows_nothing_rather_than_zero(node: ScriptedNode, tmp_path: Path) -> None:
    total = {"inBytesTotal": 0, "outBytesTotal": 0}
    fresh = answers(
        system_status={"myID": ME},
        system_connections={"connections": {}, "total": total},
        db_completion={"completion": 100, "globalItems": 0, "needBytes": 0},
        stats_device={},
    )
    reading = read(node, tmp_path, fresh)
    assert reading.overlay == ()
    known = measures(reading)
    assert (known["devices_configured"], known["discovery_errors"], known["folder_completion"]) == (0, None, None)


def test_old_nodes_list_their_discovery_errors_as_texts(node: ScriptedNode, tmp_path: Path) -> None:
    reading = read(node, tmp_path, answers(system_status={"myID": ME, "discoveryErrors": {"global": "refused"}}))
    assert measures(reading)["discovery_errors"] == 1


def test_a_device_that_hangs_is_a_dead_link_after_three_minutes(
    node: ScriptedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(syncthing, "monotonic", lambda: now[0])
    known = answers()
    of = source(node, tmp_path, known)
    found = []
    for later, received in ((0, 7), (181, 8), (180, 8), (1, 8), (5, 9), (500, 0)):
        now[0] += later
        known["system/connections"]["connections"][ONE] = UP | {"inBytesTotal": received}
        found.append(measures(asyncio.run(of.read()))["dead_links"])
    assert found == [0, 0, 0, 1, 0, 0]  # the last one has connected again


@pytest.mark.parametrize(
    "changed",
    [
        {"system_status": {}},
        {"system_status": {"myID": "<script>"}},
        {"system_status": b'{"myID":'},
        {"system_connections": {"connections": {ONE: UP | {"inBytesTotal": -1}}, "total": {}}},
        {"system_connections": {"connections": {ONE: 7}, "total": {"inBytesTotal": 0, "outBytesTotal": 0}}},
        {"system_connections": {"connections": {}, "total": {"inBytesTotal": 2**60, "outBytesTotal": 0}}},
        {"system_version": {"version": "v\n1"}},
        {"db_completion": {"completion": 101}},
        {"db_completion": b'{"completion": NaN}'},
        {"stats_device": b"[" * 100_000},
    ],
)
def test_a_strange_answer_is_refused(node: ScriptedNode, tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="expected JSON"):
        read(node, tmp_path, answers(**changed))


def test_the_own_key_is_read_from_the_settings_and_sent_to_this_machine_only(
    node: ScriptedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STHOMEDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    with pytest.raises(SourceError, match="no API key"):
        own_key()
    file = tmp_path / "config.xml"
    for text, reason in (
        ("<a", "is not Syncthing's"),
        ("<a/>", "holds no API key"),
        ("<!DOCTYPE a [<!ENTITY", "entities"),
    ):
        file.write_text(text)
        with pytest.raises(SourceError, match=reason):
            own_key()
    file.write_text("<configuration><gui enabled='true'><apikey>s3cret</apikey></gui></configuration>")
    node.answer = lambda _: Answered(b"CSRF Error", 403)
    with pytest.raises(SourceError) as refused:
        asyncio.run(SyncthingSource(node.url).read())
    assert node.requests[0].headers["X-API-Key"] == "s3cret"
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SourceError, match="not on this machine"):
        asyncio.run(SyncthingSource("http://192.0.2.1:8384").read())
    asked = len(node.requests)
    gui = "<gui><address>127.0.0.1:8384</address><apikey>s3cret</apikey></gui>"
    file.write_text(f"<configuration>{gui}</configuration>")
    with pytest.raises(SourceError, match=r"#token_file=PATH.*name port 8384"):
        asyncio.run(SyncthingSource(node.url).read())
    file.write_text(f"<configuration>{gui.replace('8384', node.url.rpartition(':')[2])}</configuration>")
    monkeypatch.setattr(own_secrets, "owner_uids", lambda host, port: frozenset({os.geteuid() + 7}))
    with pytest.raises(SourceError, match=r"no secret is used without .*: user"):
        asyncio.run(SyncthingSource(node.url).read())
    assert len(node.requests) == asked


def test_the_folder_that_a_running_node_was_given_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Running:
        def __init__(self, name: str, *words: str) -> None:
            self.info = {"name": name, "cmdline": list(words)}

    def processes(_: object) -> Iterator[Running]:
        yield Running("syncthing", "syncthing", "serve", "--home=/srv/a b", "--no-browser")
        yield Running("syncthing", "syncthing", "-home", "/srv/c")
        yield Running("other", "other", "--home=/srv/d")

    processes.cache_clear = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(syncthing.psutil, "process_iter", processes)
    monkeypatch.setenv("STHOMEDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    with pytest.raises(SourceError, match=r"with its settings in /srv/a b, /srv/c; name a file.*#token_file=PATH"):
        own_key()


def test_a_wrong_spec_is_refused() -> None:
    for argument in ("localhost", "http://h#mapping&x=y", "http://h#key=secret"):
        with pytest.raises(ConfigError):
            SyncthingSource(argument)
