"""`peerscope doctor`: what it finds with and without an agent, and that it changes nothing."""

import datetime
import json
import os
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from certificates import certificate as tls_files
from live import Agent
from peerscope.doctor import network
from peerscope.history.schema import FILE, open_to_write
from peerscope.host.credentials import armored
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.state import (
    CONFIG_FILE,
    KEY_FILE,
    LOCK_FILE,
    NOTICES_FILE,
    ORDERS_FILE,
    PEERS_FILE,
    STATE_VERSION,
    VERSION_FILE,
    ZONE_FILE,
    StateDirectory,
)
from peerscope.records.certificates import certify
from peerscope.records.identity import Identity

ALONE: dict[str, Any] = {
    "peer_id": "ab" * 32,
    "short_id": "ab",
    "network": "n",
    "http": "http://x",
    "addresses": ["127.0.0.1:1"],
    "node": None,
    "version": "0.1.0",
    "refused": {},
}
MINE: dict[str, Any] = {"checks": {"p2p": {"status": "healthy", "message": ""}}, "links": [1, 2], "clock_skew_s": None}
OTHER: dict[str, Any] = {"version": "0.1.0", "verdict": "alive"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    place = tmp_path / "state"
    StateDirectory(place).secret()
    (place / CONFIG_FILE).write_text('[web]\nlisten = "127.0.0.1:0"\n')
    return place


def examine(peerscope, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code, said, complaint = peerscope("doctor", "--json", *arguments)
    assert complaint == ""
    return code, {one["name"]: one for one in json.loads(said)}


def test_without_an_agent_it_looks_at_the_machine_and_writes_nothing(peerscope, state: Path) -> None:
    before = sorted(place.name for place in state.iterdir())
    code, found = examine(peerscope, "--state", str(state))
    assert code == 0
    assert {name: one["state"] for name, one in found.items() if name not in ("clock", "disk")} == {
        "state directory": "ok",
        "state files": "ok",
        "identity key": "ok",
        "settings": "ok",
        "admission": "ok",
        "history": "ok",
        "agent": "warn",
        "port for peers": "ok",
        "port of the dashboard": "ok",
    }
    assert sorted(place.name for place in state.iterdir()) == before


def test_a_directory_that_is_not_there_is_not_made(peerscope, tmp_path: Path) -> None:
    code, found = examine(peerscope, "--state", str(tmp_path / "none"))
    assert code == 0
    assert found["state directory"]["state"] == "warn"
    assert "init" in found["state directory"]["advice"]
    assert not (tmp_path / "none").exists()


def test_every_finding_that_is_not_good_comes_with_advice_in_one_line(peerscope, state: Path) -> None:
    (state / KEY_FILE).chmod(0o644)
    (state / CONFIG_FILE).write_text('[network]\nsecret = "0123456789abcdef"\n')
    (state / CONFIG_FILE).chmod(0o644)
    state.chmod(0o777)
    code, found = examine(peerscope, "--state", str(state))
    assert code == 1
    for name in ("identity key", "settings", "state directory"):
        assert found[name]["state"] == "bad"
        assert found[name]["advice"].startswith("chmod ")
    assert "0123456789abcdef" not in json.dumps(found)
    assert all(len((one["advice"] or "").splitlines()) <= 1 for one in found.values())
    assert [one for one in found.values() if one["state"] in ("warn", "bad") and not one["advice"]] == []


def test_settings_that_are_wrong_are_told_like_anything_else(peerscope, state: Path) -> None:
    (state / CONFIG_FILE).write_text("[peer]\nlissen = 1\n")
    code, found = examine(peerscope, "--state", str(state))
    assert code == 1
    assert "did you mean `listen`" in found["settings"]["message"]


def test_a_state_of_a_later_version_is_bad(peerscope, state: Path) -> None:
    (state / VERSION_FILE).write_text(f"{STATE_VERSION + 1}\n")
    code, found = examine(peerscope, "--state", str(state))
    assert code == 1
    assert "later peerscope" in found["state directory"]["message"]


@pytest.mark.parametrize(("kind", "section"), [(socket.SOCK_STREAM, "web"), (socket.SOCK_DGRAM, "peer")])
def test_a_taken_port_is_named(peerscope, state: Path, kind: socket.SocketKind, section: str) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (state / CONFIG_FILE).write_text(
            f'[web]\nlisten = "off"\n[{section}]\nlisten = "{address}"\n'.removeprefix(
                '[web]\nlisten = "off"\n' if section == "web" else ""
            )
        )
        code, found = examine(peerscope, "--state", str(state))
    assert code == 1
    assert f"{address} is taken" in json.dumps(found)


def test_a_damaged_history_and_one_of_a_later_schema_are_bad(peerscope, state: Path) -> None:
    open_to_write(state / FILE).close()
    assert examine(peerscope, "--state", str(state))[1]["history"]["message"].endswith("intact")
    with closing(sqlite3.connect(state / FILE)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "schema 99" in examine(peerscope, "--state", str(state))[1]["history"]["message"]
    (state / FILE).write_bytes(b"no database" * 1000)
    code, found = examine(peerscope, "--state", str(state))
    assert (code, found["history"]["state"]) == (1, "bad")


@pytest.mark.parametrize("name", [VERSION_FILE, PEERS_FILE, ZONE_FILE, ORDERS_FILE, NOTICES_FILE])
def test_a_damaged_file_is_shown_before_and_after_it_is_put_aside(peerscope, state: Path, name: str) -> None:
    assert examine(peerscope, "--state", str(state))[1]["state files"]["state"] == "ok"
    (state / name).write_bytes(b"\xff" * 100)
    found = examine(peerscope, "--state", str(state))[1]["state files"]
    assert (found["state"], found["message"]) == ("warn", f"damaged: {name}")
    aside = put_damaged_aside(state / name, "garbage", "nothing is lost")
    assert aside is not None
    found = examine(peerscope, "--state", str(state))[1]["state files"]
    assert (found["state"], found["message"]) == ("warn", f"damaged and put aside: {aside.name}")


def test_a_running_agent_is_asked(peerscope, agent: Agent) -> None:
    code, found = examine(peerscope, "--state", str(agent.monitor.state.path), "--api", agent.http)
    assert code == 0
    assert "in use by an agent" in found["state directory"]["message"]
    assert {"agent", "neighbours", "clock against peers", "reachability", "node", "versions", "refused"} <= set(found)
    assert found["neighbours"]["state"] == "warn"
    assert "--join" in found["neighbours"]["advice"]
    assert "port for peers" not in found


def test_an_agent_that_runs_and_does_not_answer_is_bad(peerscope, agent: Agent) -> None:
    nobody = ("--api", "http://127.0.0.1:9")
    code, found = examine(peerscope, "--state", str(agent.monitor.state.path), *nobody)
    assert (code, found["agent"]["state"]) == (1, "bad")


def test_a_token_is_asked_for(peerscope, sick: Agent) -> None:
    code, found = examine(peerscope, "--state", str(sick.monitor.state.path), "--api", sick.http)
    assert code == 1
    assert "token" in found["agent"]["message"]
    arguments = ("--api", sick.http, "--token", sick.monitor.config.web.token)
    code, found = examine(peerscope, "--state", str(sick.monitor.state.path), *arguments)
    assert found["agent"]["state"] == "ok"


def test_the_agent_of_another_state_directory_is_not_mistaken_for_ours(
    peerscope, agent: Agent, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERSCOPE_WEB__LISTEN", agent.http.removeprefix("http://"))
    ours = StateDirectory(state)
    ours.lock()
    try:
        code, found = examine(peerscope, "--state", str(state))
    finally:
        ours.unlock()
    assert code == 1
    assert "is another peer" in found["agent"]["message"]
    assert Identity(ours.secret()).peer_id.hex()[:10] in found["agent"]["message"]


def test_an_agent_of_another_state_directory_is_pointed_at_where_none_of_ours_runs(
    peerscope, agent: Agent, state: Path
) -> None:
    assert agent.http is not None
    (state / CONFIG_FILE).write_text(f'[web]\nlisten = "{agent.http.removeprefix("http://")}"\n')
    code, found = examine(peerscope, "--state", str(state))
    assert (code, found["port of the dashboard"]["state"]) == (1, "bad")
    assert found["agent"]["state"] == "warn"
    assert f"doctor --api {agent.http}" in found["agent"]["advice"]


def test_whoever_holds_our_port_is_not_shown_our_token(peerscope, state: Path) -> None:
    asked: list[bytes] = []

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull")

    with socket.create_server(("127.0.0.1", 0)) as server:
        stranger = threading.Thread(target=answer, args=(server,))
        stranger.start()
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        (state / CONFIG_FILE).write_text(f'[web]\nlisten = "{listen}"\ntoken = "a-long-and-secret-token"\n')
        _, found = examine(peerscope, "--state", str(state), "--token", "another-secret-token")
        stranger.join()
    assert found["agent"]["message"] == "no agent runs"
    assert asked[0].startswith(b"GET /api/v1/self")
    assert b"secret" not in asked[0]


def test_people_get_a_line_for_each(peerscope, state: Path) -> None:
    code, said, _ = peerscope("doctor", "--state", str(state))
    assert code == 0
    assert "identity key" in said
    assert "-> start it: peerscope run" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_bad(peerscope, state: Path) -> None:
    state.chmod(0o500)
    code, found = examine(peerscope, "--state", str(state))
    state.chmod(0o700)
    assert (code, found["state directory"]["state"]) == (1, "bad")


def test_the_lock_of_an_agent_that_has_gone_is_no_lock(peerscope, state: Path) -> None:
    (state / LOCK_FILE).touch()
    assert "no agent uses it" in examine(peerscope, "--state", str(state))[1]["state directory"]["message"]


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({}, "ok", "2 links up"),
        ({"checks": {"p2p": {"status": "degraded", "message": "5 of 8"}}}, "warn", "5 of 8"),
        ({"checks": {"p2p": {"status": "unhealthy", "message": ""}}}, "bad", "2 links up"),
        ({"checks": None}, "unknown", "not measured"),
    ],
)
def test_neighbours_are_judged_by_the_agents_own_check(change: dict[str, Any], state: str, word: str) -> None:
    found = network.neighbours(MINE | change, [OTHER] * 9)
    assert found.state == state
    assert word in found.message


def test_an_agent_that_lost_everybody_is_bad_and_one_that_never_had_anybody_is_told_to_join() -> None:
    lost = {"checks": {"p2p": {"status": "unhealthy", "message": "lost all 5 peers it was linked with"}}, "links": []}
    found = network.neighbours(MINE | lost, [OTHER])
    assert (found.state, found.advice is not None) == ("bad", True)
    assert "lost all 5 peers" in found.message
    found = network.neighbours(MINE | {"links": []}, [OTHER])
    assert found.state == "warn"
    assert "--join" in (found.advice or "")


@pytest.mark.parametrize(("skew_s", "word"), [(90.0, "ahead"), (-90.0, "behind")])
def test_a_clock_that_is_off_is_named_with_its_direction(skew_s: float, word: str) -> None:
    found = network.skew(MINE | {"clock_skew_s": skew_s})
    assert found.state == "warn"
    assert f"90 s {word}" in found.message


@pytest.mark.parametrize(
    ("addresses", "relay", "state"),
    [
        (["127.0.0.1:1"], None, "ok"),
        (["[::1]:1"], None, "ok"),
        (["192.168.1.2:1"], None, "warn"),
        (["192.168.1.2:1", "1.1.1.1:1"], None, "ok"),
        ([], None, "bad"),
        (["192.168.1.2:1"], {"mode": "default", "home": None}, "warn"),
        (["192.168.1.2:1"], {"mode": "default", "home": "https://relay.example/"}, "ok"),
        ([], {"mode": "default", "home": "https://relay.example/"}, "ok"),
    ],
)
def test_reachability_is_judged_by_addresses_and_relay(addresses: list[str], relay: object, state: str) -> None:
    assert network.reach(ALONE | {"addresses": addresses, "relay": relay}).state == state


def test_a_key_that_another_agent_runs_with_is_bad_and_the_advice_is_a_command() -> None:
    assert network.key(ALONE).state == "ok", "an agent that does not say so"
    assert network.key(ALONE | {"shared_key": []}).state == "ok"
    found = network.key(ALONE | {"shared_key": [{"addresses": ["10.0.0.2:1"]}, {"addresses": []}]})
    assert found.state == "bad"
    assert "10.0.0.2:1; an unknown address" in found.message
    assert "peerscope init --new-identity" in found.advice


def test_patch_levels_go_together_and_others_are_told() -> None:
    assert network.versions(ALONE, [OTHER, OTHER | {"version": "0.1.7"}]).state == "ok"
    found = network.versions(ALONE, [OTHER, OTHER | {"version": "0.2.0"}])
    assert (found.state, found.message) == ("warn", "0.1.0: 1, 0.2.0: 1")
    assert network.versions(ALONE, [OTHER, OTHER | {"version": "0.2.0", "verdict": "down"}]).state == "ok"


def test_who_was_turned_away_is_told() -> None:
    assert network.refused(ALONE | {"refused": {"not-a-member": 3}}).message.endswith("not-a-member 3")
    ended = network.refused(ALONE | {"refused": {"certificate-expired": 3}})
    assert "peerscope alerts" in (ended.advice or "")
    assert network.refused(ALONE | {"refused": {"wire-version": 3}}).state == "warn"
    assert network.refused(ALONE | {"refused": {"flooding": 3}}).state == "ok"


@pytest.mark.parametrize(
    ("age_days", "found", "word"), [(10, "ok", "is valid until"), (80, "warn", "ends"), (91, "bad", "ended")]
)
def test_a_certificate_is_told_by_how_much_of_it_is_left_with_the_command_that_renews_it(
    peerscope, state: Path, age_days: int, found: str, word: str
) -> None:
    operator, me = Identity(b"o" * 32), StateDirectory(state).identity().peer_id
    begins_ms = round((time.time() - age_days * 86_400) * 1000)
    span = {"not_before_ms": begins_ms, "not_after_ms": begins_ms + 90 * 86_400_000}
    file = state / "certificate"
    file.write_text(armored(certify(operator, me, "my net", serial=bytes(range(8)), **span)) + "\n")
    (state / CONFIG_FILE).write_text(
        f'[web]\nlisten = "127.0.0.1:0"\n[network]\nname = "my net"\noperators = ["{operator.peer_id.hex()}"]\n'
        f'certificate_file = "{file}"\n'
    )
    code, findings = examine(peerscope, "--state", str(state))
    one = findings["certificate"]
    assert (code, one["state"]) == (int(found == "bad"), found)
    assert one["message"].startswith(f"0001020304050607 {word} 2")
    if found != "ok":
        assert one["advice"].startswith(f"peerscope admit issue {me.hex()} --network 'my net' -o FILE")


def test_a_certificate_file_that_holds_none_for_this_peer_is_bad(peerscope, state: Path) -> None:
    (state / "certificate").write_text("")
    (state / CONFIG_FILE).write_text(
        f'[web]\nlisten = "127.0.0.1:0"\n[network]\noperators = ["{"ab" * 32}"]\n'
        f'certificate_file = "{state / "certificate"}"\n'
    )
    code, findings = examine(peerscope, "--state", str(state))
    assert (code, findings["certificate"]["state"]) == (1, "bad")


@pytest.mark.parametrize(("days", "found"), [(40_000, "ok"), (3, "warn"), (-3, "bad")])
def test_the_certificate_of_the_dashboard_is_told_by_how_much_of_it_is_left(
    peerscope, state: Path, tmp_path: Path, days: int, found: str
) -> None:
    cert, key = tls_files(tmp_path / "tls", until=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))
    (state / CONFIG_FILE).write_text(f'[web]\nlisten = "127.0.0.1:0"\ntls_cert = "{cert}"\ntls_key = "{key}"\n')
    code, findings = examine(peerscope, "--state", str(state))
    assert (code, findings["dashboard certificate"]["state"]) == (int(found == "bad"), found)


WRITES = {
    "elected": True,
    "sent_samples": 10,
    "queue_samples": 3,
    "held_samples": 0,
    "dropped_samples": 0,
    "aside": [],
    "failing": None,
    "last_sent_age_s": 2.0,
}


def test_heartbeats_are_judged_by_what_became_of_them() -> None:
    counts = {"delivered": 0, "failed": 0, "dropped": 0}
    view = {"counts": counts, "last_error": None, "delivered_age_s": None, "has_role": True}
    assert network.heartbeat(ALONE) == network.heartbeat(ALONE | {"heartbeat": None}) == []
    (waits,) = network.heartbeat(ALONE | {"heartbeat": view})
    (sends,) = network.heartbeat(ALONE | {"heartbeat": view | {"counts": counts | {"delivered": 3}}})
    (fails,) = network.heartbeat(ALONE | {"heartbeat": view | {"last_error": "hc answers 404", "has_role": False}})
    assert [(one.state, one.message.split(";")[0]) for one in (waits, sends, fails)] == [
        ("ok", "another peer sends it, or it is not due yet"),
        ("ok", "3 delivered"),
        ("warn", "hc answers 404"),
    ]
    assert "another peer sends instead" in fails.message


@pytest.mark.parametrize(
    ("change", "states", "words"),
    [
        ({}, ["ok"], ["accepts samples; 3 samples wait"]),
        ({"last_sent_age_s": None}, ["ok"], ["3 samples wait"]),
        ({"failing": "it answers 503"}, ["warn"], ["it answers 503; 3 samples wait, the last were accepted 2 s ago"]),
        ({"failing": "it answers 401", "last_sent_age_s": 900.0}, ["bad"], ["accepted 900 s ago"]),
        ({"failing": "refused", "last_sent_age_s": None}, ["bad"], ["none accepted yet"]),
        ({"held_samples": 7}, ["warn"], ["7 samples are dated after the network's clock"]),
        (
            {"aside": [{"reason": "400: out of order", "samples": 2, "example": "a{} of 2026"}], "dropped_samples": 4},
            ["warn", "warn"],
            ["2 for '400: out of order', last a{} of 2026", "4 samples were lost here"],
        ),
    ],
)
def test_remote_write_is_judged_by_what_became_of_its_samples(
    change: dict[str, Any], states: list[str], words: list[str]
) -> None:
    found = network.remote_write(ALONE | {"remote_write": WRITES | change})
    assert [one.state for one in found] == states
    assert all(word in one.message for word, one in zip(words, found, strict=True))


def test_where_nothing_is_written_nothing_is_said_of_it() -> None:
    assert network.remote_write(ALONE) == network.remote_write(ALONE | {"remote_write": None}) == []
