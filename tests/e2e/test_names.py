"""Peers that find each other by name after they have moved: real processes, and a real DNS server in their network."""

import ctypes
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo_network import start
from dns_server import DnsServer
from live import HAS_IPV6
from peerscope.host.state import PEERS_FILE, StateDirectory
from peerscope.transport.iroh import parse_ticket

pytestmark = pytest.mark.e2e

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000  # <linux/sched.h>
PATIENCE_S = 90.0
LOOPBACK = Path(__file__).parents[2] / "scripts" / "loopback"


class Agent:
    """A real process, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.up: set[str] = set()
        """Ids of those it has said to be linked with."""
        self.ready = json.loads(self._lines.get(timeout=PATIENCE_S))

    def is_linked(self, *others: str) -> bool:
        """Its links with these are up, as it says."""
        while not self._lines.empty():
            event = json.loads(self._lines.get())
            if event["event"] == "link":
                (self.up.add if event["up"] else self.up.discard)(event["peer_id"])
        return self.up >= set(others)

    def kill(self) -> None:
        """As a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)


class Site:
    """A network of its own, with a DNS server, and agents in it by name."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._inside = ThreadPoolExecutor(1)
        self._agents: dict[str, Agent] = {}
        self.dns: DnsServer

    def open(self) -> None:
        """Raises `OSError` or `CalledProcessError` where that cannot be had."""
        self._inside.submit(self._leave).result()
        self.dns = self._inside.submit(DnsServer, "127.0.0.1", 53).result()

    def id(self, name: str) -> str:
        """The id of a peer, whether or not it runs."""
        return StateDirectory(self._place / name).identity().peer_id.hex()

    def run(self, name: str, listen: str, *joins: str) -> Agent:
        """Start a peer, or start it again."""
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "off"]
        command += ["--state", str(self._place / name), "--listen", listen]
        command += [word for join in joins for word in ("--join", join)]
        environment = {"PEERSCOPE_NETWORK__SECRET": "a secret of this test", "PEERSCOPE_HISTORY__ENABLED": "false"}
        with (self._place / f"{name}.log").open("a") as log:
            command = ["env", *(f"{key}={value}" for key, value in environment.items()), *command]
            process = self._inside.submit(start, command, stdin=subprocess.PIPE, stderr=log).result()
        self._agents[name] = Agent(process)
        return self._agents[name]

    def said(self, name: str) -> str:
        """What a peer wrote to standard error, in all its lives."""
        return (self._place / f"{name}.log").read_text()

    def kill(self, *names: str) -> None:
        for name in names:
            self._agents.pop(name).kill()

    def forget(self, name: str) -> None:
        """Take from a killed peer the addresses that it remembers."""
        (self._place / name / PEERS_FILE).unlink(missing_ok=True)

    def close(self) -> None:
        self.kill(*list(self._agents))
        if hasattr(self, "dns"):
            self.dns.close()
        self._inside.shutdown()

    def _leave(self) -> None:
        """The thread that calls this, and what it starts, has a network and an /etc/resolv.conf of its own."""
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        resolver = self._place / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, capture_output=True)
        target = os.path.realpath("/etc/resolv.conf")
        subprocess.run(["mount", "--bind", str(resolver), target], check=True, capture_output=True)
        subprocess.run([sys.executable, str(LOOPBACK), "true"], check=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    try:
        try:
            found.open()
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network with a resolver of its own to be had here: {error}")
        yield found
    finally:
        found.close()


def eventually(truth: Callable[[], bool], what: str) -> None:
    """Wait until something holds. The bound only ends a test that would never pass."""
    end = time.monotonic() + PATIENCE_S
    while not truth():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.05)


def all_linked(agents: dict[str, Agent]) -> bool:
    ids = {name: agent.ready["peer_id"] for name, agent in agents.items()}
    return all(agents[name].is_linked(*(ids[other] for other in ids if other != name)) for name in agents)


def test_four_peers_whose_addresses_and_ports_have_all_changed_find_each_other_again(site: Site) -> None:
    names = ("one", "two", "three", "four")
    joins = (f"{site.id('one')}@one.peers.test:4600", f"{site.id('two')}@peers.test")  # A, and SRV

    def run_at(net: int, port: int) -> dict[str, Agent]:
        for number, name in enumerate(names, 1):
            site.dns.records[f"{name}.peers.test", "A"] = [f"127.0.{net}.{number}"]
        site.dns.records["_peerscope._udp.peers.test", "SRV"] = [f"0 0 {port} two.peers.test."]
        ports = {"one": 4600, "two": port, "three": port + 1, "four": port + 2}
        return {name: site.run(name, f"{name}.peers.test:{ports[name]}", *joins) for name in names}

    agents = run_at(1, 4700)
    assert parse_ticket(agents["three"].ready["ticket"])[1] == ("127.0.1.3:4701",)
    eventually(lambda: all_linked(agents), "all have met")
    site.kill(*names)
    again = run_at(2, 4800)
    eventually(lambda: all_linked(again), "all have met again")


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on loopback here")
def test_a_neighbour_that_moved_is_found_by_its_name_while_its_old_address_is_still_remembered(site: Site) -> None:
    mover = site.id("mover")
    site.dns.records["mover.test", "AAAA"] = ["::1"]
    survivor = site.run("survivor", "127.0.0.1:0", f"{mover}@mover.test:4600")
    site.run("mover", "[::1]:4600")
    eventually(lambda: survivor.is_linked(mover), "they have met over IPv6")
    site.kill("mover")
    site.forget("mover")
    site.dns.records = {("mover.test", "A"): ["127.0.3.1"]}
    eventually(lambda: not survivor.is_linked(mover), "it is missed")
    site.run("mover", "127.0.3.1:4600")
    eventually(lambda: survivor.is_linked(mover), "they have met again over IPv4")


def test_a_name_that_is_not_found_is_logged_once_and_looked_up_until_it_is(site: Site) -> None:
    late = site.id("late")
    early = site.run("early", "127.0.0.1:0", f"{late}@late.test:4600", f"{'0' * 63}1@peers.test")
    eventually(lambda: site.dns.asked["late.test", "A"] >= 3, "it is looked up again and again")
    site.dns.is_mute = True  # the other look-ups of one that does not answer go on beside
    eventually(lambda: site.dns.asked["late.test", "A"] >= 4, "and again")
    site.dns.is_mute = False
    site.run("late", "127.0.4.1:4600")
    site.dns.records["late.test", "A"] = ["127.0.4.1"]
    eventually(lambda: early.is_linked(late), "it is found")
    assert len(re.findall(r"late\.test:4600 of peer .* still trying", site.said("early"))) == 1
    assert len(re.findall(r"late\.test:4600 of peer .* is found again", site.said("early"))) == 1
    assert len(re.findall(r"no SRV records of _peerscope\._udp\.peers\.test", site.said("early"))) == 1
