"""`peerscope crawl` as an operator runs it: on a real demo, and on real nodes of other networks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_network import demo_network, eventually
from libp2p_network import libp2p_network, packages
from mainline_network import mainline_network
from yggdrasil_network import yggdrasil_network

NODES = 6
LINE = [(number, number + 1) for number in range(NODES - 1)]
RING = [*LINE, (0, NODES - 1)]
Need = Callable[[str], str]


def crawl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "peerscope", "crawl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def mapped(*arguments: str) -> dict[str, Any]:
    done = crawl(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    view: dict[str, Any] = json.loads(done.stdout)
    return view


def told(view: dict[str, Any]) -> set[frozenset[str]]:
    return {frozenset((link["source"], link["target"])) for link in view["links"]}


@pytest.mark.e2e
def test_a_demo_is_mapped_from_one_ticket_also_when_a_peer_is_killed(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=5) as network:
        ids = {peer["peer_id"] for peer in network.peers}
        ticket = network.peers[1]["ticket"]
        view = mapped(ticket)
        assert {peer["peer_id"] for peer in view["peers"]} == ids
        assert 5 <= len(view["links"]) <= 10  # rings hold five in a circle at least; keys decide about the rest
        assert view["unreachable"] == []
        assert view["seconds"] < 30.0
        dead = network.kill(4)["peer_id"]
        view = mapped(ticket)
        assert {peer["peer_id"] for peer in view["peers"]} == ids - {dead}
        assert [gone["peer_id"] for gone in view["unreachable"]] in ([dead], [])  # nobody names it once it is down
        table = crawl(ticket).stdout
        assert all(one[:10] in table for one in ids - {dead})
        assert "4 peers, " in table
        drawn = crawl(ticket, "--format", "dot").stdout
        assert drawn.startswith("digraph crawl {")
        assert all(f'"{one}"' in drawn for one in ids - {dead})


@pytest.mark.e2e
def test_ctrl_c_prints_what_was_found_so_far(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=3) as network:
        ticket = network.peers[0]["ticket"]
        network.kill(2)  # the crawl waits five seconds for its answer
        command = [sys.executable, "-m", "peerscope", "crawl", ticket, network.peers[2]["ticket"], "--json"]
        terminal, errors = os.openpty()  # on a terminal it tells how far it is
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            os.close(errors)
            shown = b""
            while b"2 answered" not in shown:
                shown += os.read(terminal, 4096)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=30)
        shown += os.read(terminal, 4096)
        os.close(terminal)
        assert process.returncode == 130
        assert {peer["peer_id"] for peer in json.loads(output)["peers"]} == {p["peer_id"] for p in network.peers[:2]}
        assert b"peerscope: stopped by hand" in shown


@pytest.fixture(params=["0.4", "0.5"])
def yggdrasil(request: pytest.FixtureRequest, need: Need, need_current: Need) -> str:
    """Debian's release, and a current one where it is there."""
    return need("yggdrasil") if request.param == "0.4" else need_current("yggdrasil-0.5")


@pytest.mark.tools
@pytest.mark.parametrize("links", [LINE, RING], ids=["line", "ring"])
def test_six_yggdrasil_nodes_are_mapped_exactly(yggdrasil: str, tmp_path: Path, links: list[tuple[int, int]]) -> None:
    with yggdrasil_network(yggdrasil, tmp_path, NODES, links) as network:
        view = mapped(f"yggdrasil:{network.socket(0)}")
        assert {peer["peer_id"] for peer in view["peers"]} == set(network.keys)
        assert told(view) == {frozenset((network.keys[one], network.keys[other])) for one, other in links}
        assert all(link["confirmed"] for link in view["links"])
        depths = {peer["peer_id"]: peer["depth"] for peer in view["peers"]}
        around = [0, 1, 2, 3, 4, 5] if links == LINE else [0, 1, 2, 3, 2, 1]
        assert [depths[key] for key in network.keys] == around
        assert all(peer["addresses"][0].startswith(("2", "3")) for peer in view["peers"])
        assert (view["unreachable"], view["stopped"]) == ([], None)


@pytest.mark.tools
def test_a_yggdrasil_node_that_hangs_is_unreachable_and_one_that_was_killed_is_gone(
    yggdrasil: str, tmp_path: Path
) -> None:
    with yggdrasil_network(yggdrasil, tmp_path, 5, LINE[:4]) as network:
        place = f"yggdrasil:{network.socket(0)}"
        dead = network.kill(4)  # its neighbour notices at once and names it no more
        eventually(lambda: dead not in str(mapped(place)), "the killed one is gone", within_s=60)
        hanging = network.stop(3)
        view = mapped(place)
        assert {peer["peer_id"] for peer in view["peers"]} == set(network.keys[:3])
        assert view["unreachable"] == [{"peer_id": hanging, "addresses": [], "reason": "yggdrasil says: timeout"}]


@pytest.mark.tools
def test_a_yggdrasil_node_alone_is_a_network_of_one(yggdrasil: str, tmp_path: Path) -> None:
    with yggdrasil_network(yggdrasil, tmp_path, 1, []) as network:
        view = mapped(f"yggdrasil:{network.socket(0)}")
        assert [peer["peer_id"] for peer in view["peers"]] == network.keys
        assert (view["links"], view["unreachable"]) == ([], [])


def directed(view: dict[str, Any]) -> set[tuple[str, str]]:
    """Each link from the end that named it."""
    links = {(link["source"], link["target"]) for link in view["links"]}
    return links | {(link["target"], link["source"]) for link in view["links"] if link["confirmed"]}


@pytest.mark.tools
def test_libtorrent_nodes_are_mapped_as_their_own_tables_have_them(tmp_path: Path) -> None:
    pytest.importorskip("libtorrent")
    with mainline_network(12) as network:
        before = network.settle()
        view = mapped(network.spec(0))
        after = network.tables()
        ids = {place: node["id"] for place, node in after.items()}
        assert {peer["peer_id"]: peer["addresses"] for peer in view["peers"]} == {ids[one]: [one] for one in ids}
        assert edges(before) <= directed(view) <= edges(after)  # tables only grow here
        assert [share["peers"] for share in view["versions"]] == [12]
        assert view["versions"][0]["value"].startswith("libtorrent 2.")
        assert (view["unreachable"], view["refused"], view["stopped"]) == ([], 0, None)

        old = tmp_path / "old.json"
        old.write_text(json.dumps(view))
        network.order("stop 11")
        view = mapped(network.spec(0), "--compare", str(old))
        found = view["changes"]
        assert (found["joined"], found["left"], found["stayed"]) == ([], [ids[network.places[11]]], 11)
        assert found["left_named"] == 1  # its entries in other tables live longer
        new = tmp_path / "new.json"
        new.write_text(json.dumps(view))
        table = crawl("--compare", str(new), "--compare", str(old)).stdout
        assert "the last two: 0 joined, 1 left (1 still named), 11 stayed" in table


def edges(tables: dict[str, Any]) -> set[tuple[str, str]]:
    return {(node["id"], other) for node in tables.values() for other in node["table"].values()}


@pytest.mark.tools
def test_libp2p_nodes_are_mapped_as_their_own_tables_have_them(need: Need, tmp_path: Path) -> None:
    packages()
    with libp2p_network(need("node"), tmp_path, 6, "/ipfs/lan/kad/1.0.0") as network:
        tables = network.settle()
        view = mapped(f"{network.spec(0)}#protocol=/ipfs/lan/kad/1.0.0")
        assert {peer["peer_id"] for peer in view["peers"]} == set(network.ids)
        assert directed(view) == {(one, other) for one, table in tables.items() for other in table}
        assert {share["value"]: share["peers"] for share in view["versions"]} == {
            "peerscope-test/1.0": 3,
            "peerscope-test/1.1": 3,
        }
        address = network.addresses[0].rpartition("/")[0]
        for spec, reason in (
            (network.spec(0), "does not speak the protocol"),  # the public one
            (f"libp2p:{address}/{network.ids[1]}", "another peer answers there"),
        ):
            wrong = crawl(spec, "--json")
            assert wrong.returncode == 1
            assert json.loads(wrong.stdout)["errors"] == [{"value": reason, "peers": 1}]


def test_no_socket_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = crawl(f"yggdrasil:{tmp_path}/none.sock")
    assert done.returncode == 2
    assert done.stderr == f"peerscope: no Yggdrasil admin socket at {tmp_path}/none.sock: No such file or directory\n"
