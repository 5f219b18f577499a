"""`peerscope crawl` as an operator runs it: on a real demo, and on real Yggdrasil nodes."""

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


def test_no_socket_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = crawl(f"yggdrasil:{tmp_path}/none.sock")
    assert done.returncode == 2
    assert done.stderr == f"peerscope: no Yggdrasil admin socket at {tmp_path}/none.sock: No such file or directory\n"
