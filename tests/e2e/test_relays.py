"""Agents that can reach each other through a relay alone, each in a network of its own; and agents that need none."""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import eventually, first_line, start
from live import Agent, Loop, client, running, until
from relay_server import Relay

pytestmark = pytest.mark.e2e
RELAY_HOST = "10.77.0.1"
CLONE_NEWNET = 0x40000000  # from <linux/sched.h>
SECRET = "0123456789abcdef"
# The agent's half of the cable, once the other half was put in: a way to the relay and to nobody else.
INSIDE = """
echo unplugged; read plugged
ip link set lo up && ip link set inside up && ip addr add {address}/24 dev inside && ip route add {relay} via {gateway}
exec "$@"
"""


class Site:
    """An agent in a network that only the relay is reached from."""

    def __init__(self, hub: Loop, number: int, relay: str, state: Path, *joins: str) -> None:
        self.address = f"10.77.{number}.2"
        gateway = f"10.77.{number}.1"
        inside = INSIDE.format(address=self.address, relay=RELAY_HOST, gateway=gateway)
        run = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--state", str(state)]
        run += ["--listen", f"{self.address}:0", "--http", "127.0.0.1:8080", *joins]
        settings = [f"PEERSCOPE_NETWORK__SECRET={SECRET}", f"PEERSCOPE_TRANSPORT__RELAY={relay}"]
        command = ["unshare", "--net", "sh", "-c", inside, "sh", "env", *settings, *run]
        self.process = start(command, stdin=subprocess.PIPE)
        assert first_line(self.process) == "unplugged\n"
        for command in (
            f"ip link add outside{number} type veth peer name inside netns {self.process.pid}",
            f"ip addr add {gateway}/24 dev outside{number}",
            f"ip link set outside{number} up",
        ):
            hub.call(subprocess.run, command.split(), check=True)
        assert self.process.stdin is not None
        self.process.stdin.write("plugged\n")
        self.process.stdin.flush()
        self.peer_id: str = json.loads(first_line(self.process))["peer_id"]

    def get(self, *words: str) -> Any:
        """What the agent tells on the command line."""
        inside = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        asked = subprocess.run(
            [*inside, sys.executable, "-m", "peerscope", *words, "--json"], capture_output=True, text=True, timeout=30
        )
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)

    def relay(self) -> dict[str, Any]:
        """Mode, home relay and number of relayed connections."""
        return self.get("status")["self"]["relay"]

    def verdicts(self) -> dict[str, str]:
        """Of all that the agent knows."""
        return {peer["peer_id"]: peer["verdict"] for peer in self.get("peers")}


def alone() -> None:
    """The thread that calls this has a network of its own: a browser of other tests would take what is put in there for
    a change of its own network."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for command in ("ip link set lo up", f"ip addr add {RELAY_HOST}/32 dev lo"):
        subprocess.run(command.split(), check=True)


@contextlib.contextmanager
def relay_at(loop: Loop, host: str, port: int = 0) -> Iterator[tuple[Relay, int]]:
    """A relay that runs until the end of the block, and its port."""
    relay = Relay()
    port = loop.run(relay.open(host, port))
    try:
        yield relay, port
    finally:
        loop.run(relay.close())


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.close()


def test_peers_that_reach_nobody_directly_see_each_other_through_the_relay_and_survive_its_absence(
    tmp_path: Path, loop: Loop, need: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{Path(need('ip')).parent}")
    probe = ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "other"]
    if (refused := subprocess.run(probe, capture_output=True, text=True)).returncode:
        pytest.skip(f"no networks with cables between them to be had here: {refused.stderr.strip()}")
    loop.call(alone)
    sites: list[Site] = []
    try:
        with relay_at(loop, RELAY_HOST) as (relay, port):
            url = f"http://{RELAY_HOST}:{port}"
            sites.append(Site(loop, 1, url, tmp_path / "1"))
            eventually(lambda: sites[0].relay()["home"] == f"{url}/", "the relay is reached", within_s=60.0)
            ticket = sites[0].get("status")["self"]["ticket"]
            sites += [Site(loop, number, url, tmp_path / str(number), "--join", ticket) for number in (2, 3)]
            ids = {site.peer_id for site in sites}

            def is_whole() -> bool:
                return all(site.verdicts() == dict.fromkeys(ids, "alive") for site in sites)

            eventually(is_whole, "all see all alive", within_s=90.0)

            def is_marked() -> bool:
                marks = [link["relayed"] for link in sites[1].get("topology")["links"]]
                return len(marks) == 3 and all(marks)

            eventually(is_marked, "all three links are marked as relayed", within_s=60.0)
            assert sites[1].relay()["relayed_links"] == 2
            assert len(relay.passed) == 6, "every pair talks through us, both ways"

        def is_alone() -> bool:
            return not {"down", "partitioned"}.isdisjoint(sites[0].verdicts().values())

        eventually(is_alone, "without the relay the others are missed", within_s=60.0)
        with relay_at(loop, RELAY_HOST, port):
            eventually(is_whole, "all see all alive again", within_s=120.0)
    finally:
        for site in sites:
            site.process.kill()
            site.process.communicate()


def test_peers_that_reach_each_other_directly_do_so_though_there_is_a_relay(tmp_path: Path, loop: Loop) -> None:
    with relay_at(loop, "127.0.0.1") as (_, port):
        sections = {"transport": {"relay": f"http://127.0.0.1:{port}"}, "network": {"secret": SECRET}}
        with running(tmp_path / "1", **sections) as one:
            until(lambda: self_of(one)["relay"]["home"] is not None, "the relay is reached")
            with running(tmp_path / "2", **sections, peer={"join": [self_of(one)["ticket"]]}) as other:

                def is_direct() -> bool:
                    with client(other) as asking:
                        links = asking.get("/api/v1/topology").json()["links"]
                    return [link["relayed"] for link in links] == [False]

                until(is_direct, "the link is known to be direct")
                assert self_of(other)["relay"] == self_of(one)["relay"] | {"relayed_links": 0}


def self_of(agent: Agent) -> Any:
    """What an agent says of itself."""
    with client(agent) as asking:
        return asking.get("/api/v1/self").json()
