"""`peerscope demo` with real processes: complete, resilient, and gone when it ends."""

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_network import DemoNetwork, demo_network, eventually, get, processes_under

pytestmark = pytest.mark.e2e
PEERS = 12
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNetwork]:
    with demo_network(tmp_path_factory.mktemp("demo"), peers=PEERS) as network:
        yield network


def statuses(network: DemoNetwork, subject: str) -> set[str]:
    """What every other peer says of one."""
    others = (peer for peer in network.peers if peer["peer_id"] != subject)
    return {get(peer, f"/api/v1/peers/{subject}")["status"] for peer in others}


def test_every_peer_sees_all_twelve_in_three_regions(network: DemoNetwork) -> None:
    assert [get(peer, "/api/v1/health")["total_peers"] for peer in network.peers] == [PEERS] * PEERS
    assert {peer["region"] for peer in get(network.peers[3], "/api/v1/peers")} == {"eu-west", "us-east", "ap-south"}
    assert len({peer["peer_id"] for peer in network.peers}) == PEERS
    settings = [tomllib.loads((Path(peer["state"]) / "peerscope.toml").read_text()) for peer in network.peers]
    assert {one["node"]["detect"] for one in settings} == {False}  # whatever nodes run on this machine


def test_latency_is_measured_and_the_mesh_is_whole(network: DemoNetwork) -> None:
    def whole() -> bool:
        health = get(network.peers[0], "/api/v1/health")
        return health["connectivity"] == 1.0 and health["median_latency_s"] is not None

    eventually(whole, "all expected links are up and measured", within_s=60)


@pytest.mark.parametrize("victim", [7, 0], ids=["an ordinary peer", "the one that all joined through"])
def test_a_killed_peer_is_down_for_all_and_healthy_again_after_a_restart(network: DemoNetwork, victim: int) -> None:
    subject = network.peers[victim]["peer_id"]
    eventually(lambda: statuses(network, subject) == {"healthy"}, "healthy before the kill", within_s=60)
    network.kill(victim)
    eventually(lambda: statuses(network, subject) == {"down"}, "down for all others", within_s=60)
    evidence = get(network.peers[5], f"/api/v1/peers/{subject}/evidence")
    assert evidence["verdict"] == "down"
    assert len(evidence["accusations"]) >= evidence["quorum"] >= 2
    assert network.restart(victim)["peer_id"] == subject
    eventually(lambda: statuses(network, subject) == {"healthy"}, "healthy after the restart", within_s=60)
    eventually(lambda: get(network.peers[victim], "/api/v1/health")["total_peers"] == PEERS, "sees all", within_s=60)


@linux_only
def test_ctrl_c_ends_every_process(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=3) as network:
        assert len(processes_under(tmp_path)) == 4
        network.process.send_signal(signal.SIGINT)
        assert network.process.wait(timeout=30) == 0
        assert processes_under(tmp_path) == []


@linux_only
def test_peers_die_with_a_demo_that_is_killed_even_while_stopped(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=3) as network:
        os.kill(network.peers[2]["pid"], signal.SIGSTOP)
        network.process.kill()
        network.process.wait()
        eventually(lambda: processes_under(tmp_path) == [], "no process is left", within_s=30)


def test_a_goodbye_is_no_failure(tmp_path: Path) -> None:
    with demo_network(tmp_path, peers=3) as network:
        leaver = network.peers[2]
        os.kill(leaver["pid"], signal.SIGTERM)
        eventually(lambda: statuses(network, leaver["peer_id"]) == {"left"}, "left", within_s=30)
        assert get(network.peers[0], "/api/v1/health")["total_peers"] == 2


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with demo_network(tmp_path / "one", peers=1) as network:
        address = network.peers[0]["http"].removeprefix("http://")
        command = [sys.executable, "-m", "peerscope", "run", "--state", str(tmp_path / "two"), "--http", address]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert second.stderr.startswith("peerscope: ")
        assert len(second.stderr.splitlines()) == 1
        assert "--http" in second.stderr
