"""Our sources beside the answers of the nodes that they read."""

import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interop.comparison import PROGRAMS, Comparison, Find, Row, between, pinned, same
from kubo_network import kubo_network
from nebula_network import nebula_network
from peerscope.sources.base import Reading, make_source
from serf_network import serf_network
from yggdrasil_network import free_port, until, yggdrasil_network

UNKNOWN = "b" + base64.b32encode(b"\x01\x55\x12\x20" + bytes(32)).decode().lower().rstrip("=")
"""Content that neither node provides: a CID with the digest 0."""


def read(spec: str) -> Reading:
    """One reading of a source."""

    async def reading() -> Reading:
        source = make_source(spec)
        try:
            return await source.read()
        finally:
            await source.close()

    return asyncio.run(reading())


def yggdrasil(find: Find, place: Path) -> Comparison | None:
    """Three nodes in a line; both ends of the first link dial each other."""
    program = find("yggdrasil-0.5")
    if program is None:
        return None
    rows: list[Row] = []
    with yggdrasil_network(program, place, 3, [(0, 1), (1, 2), (1, 0)], unreachable="tls://127.0.0.1:1") as network:
        for number in range(3):
            before, ours, after = network.truth(number), read(network.spec(number)), network.truth(number)
            metrics = ours.metrics
            name = f"node {number + 1}"
            rows += [
                same(f"{name}: id", (ours.node_id or "")[:16], before["node_id"][:16]),
                same(f"{name}: connections", metrics.active_connections, before["active_connections"]),
                same(f"{name}: neighbours", metrics.p2p_peers, before["p2p_peers"]),
                same(f"{name}: routing entries", _measure(ours, "dht_nodes"), before["dht_nodes"]),
                same(f"{name}: links not up", _measure(ours, "dead_links"), before["dead_links"]),
                between(
                    f"{name}: bytes received", before["received_bytes"], metrics.received_bytes, after["received_bytes"]
                ),
                between(f"{name}: bytes sent", before["sent_bytes"], metrics.sent_bytes, after["sent_bytes"]),
            ]
            rtts = {link.node: link.rtt_us for link in ours.overlay}
            for number_of_other, key in enumerate(network.keys):
                if key in before["rtts_us"]:
                    rows.append(
                        _among(f"{name}: RTT to node {number_of_other + 1}, µs", rtts.get(key), before["rtts_us"][key])
                    )
    version = pinned("yggdrasil", "github.com/yggdrasil-network/yggdrasil-go")
    return Comparison("Yggdrasil", version, "`yggdrasil:` beside `getself` and `getpeers`", rows)


def kubo(find: Find, place: Path) -> Comparison | None:
    """Two nodes that are connected, with no bootstrap nodes."""
    program = find("ipfs")
    if program is None:
        return None
    rows: list[Row] = []
    with kubo_network(program, place, 2) as network:
        one, other = (f"http://127.0.0.1:{port}" for port in network.rpc)
        time.sleep(1)  # identify, and the first questions of the DHT
        peers = ask(one, "swarm/peers?latency=true")["Peers"]
        ours = read(f"prometheus:{one}/debug/metrics/prometheus#kubo")
        rows += [
            same("`prometheus`: connections", ours.metrics.active_connections, len(peers)),
            same("`prometheus`: peers", ours.metrics.p2p_peers, len({peer["Peer"] for peer in peers})),
        ]
        asked, received = _dht_requests(ours), _requests_received(other)
        ask(one, f"routing/findprovs?num-providers=1&arg={UNKNOWN}")
        time.sleep(1)
        asked_after = _dht_requests(read(f"prometheus:{one}/debug/metrics/prometheus#kubo"))
        growth = None if asked is None or asked_after is None else asked_after - asked
        rows.append(same("`prometheus`: DHT requests of a search", growth, _requests_received(other) - received))
        rows += _kubo_source(one, peers)
    return Comparison("kubo", pinned("kubo", "github.com/ipfs/kubo"), "`prometheus:` and `kubo:` beside its RPC", rows)


def go_libp2p(find: Find, place: Path) -> Comparison | None:
    """Three nodes that gossip: two of them dial the first one."""
    program = find("gossip-node")
    if program is None:
        return None
    rows: list[Row] = []
    with libp2p_nodes(program, place, 3) as urls:
        until(lambda: fetch(f"{urls[0]}/truth")["gossiping"] == 2, "they gossip")
        for number, url in enumerate(urls, 1):
            truth = fetch(f"{url}/truth")
            ours = read(f"prometheus:{url}/metrics#go-libp2p")
            rows += [
                same(f"node {number}: connections", ours.metrics.active_connections, truth["connections"]),
                same(f"node {number}: peers", ours.metrics.p2p_peers, truth["peers"]),
            ]
    version = pinned("pubsub", "github.com/libp2p/go-libp2p")
    return Comparison("go-libp2p with gossipsub", version, "`prometheus:` beside its own counts", rows)


def rust_libp2p(find: Find, place: Path) -> Comparison | None:
    """Three nodes: two of them dial the first one, and find each other through its DHT."""
    program = find("rust-node")
    if program is None:
        return None
    rows: list[Row] = []
    with libp2p_nodes(program, place, 3) as urls:
        until(lambda: all(fetch(f"{url}/truth")["peers"] == 2 for url in urls), "all know all")
        for number, url in enumerate(urls, 1):
            truth = fetch(f"{url}/truth")
            ours = read(f"prometheus:{url}/metrics#rust-libp2p")
            rows += [
                same(f"node {number}: connections", ours.metrics.active_connections, truth["connections"]),
                same(f"node {number}: peers", ours.metrics.p2p_peers, truth["peers"]),
            ]
    version = re.findall(r'libp2p = .*"=([\d.]+)"', (PROGRAMS / "rust-libp2p" / "Cargo.toml").read_text("utf-8"))[0]
    return Comparison("rust-libp2p", version, "`prometheus:` beside its own counts", rows)


def nebula(find: Find, place: Path) -> Comparison | None:
    """A lighthouse and two hosts."""
    programs = {"nebula": find("nebula-1"), "nebula-cert": find("nebula-cert-1")}
    if None in programs.values() or os.geteuid() != 0:
        return None
    (place / "bin").mkdir()
    for name, program in programs.items():
        (place / "bin" / name).symlink_to(str(program))
    rows: list[Row] = []
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{place / 'bin'}:{path}"
    try:
        with nebula_network(place, 3) as network:
            time.sleep(2)  # it renews its metrics every second
            for number in range(3):
                before, ours, after = network.truth(number), read(network.spec(number)), network.truth(number)
                metrics, name = ours.metrics, f"host {number + 1}"
                rows += [
                    same(f"{name}: id", ours.node_id, before["node_id"]),
                    same(
                        f"{name}: neighbours",
                        " ".join(sorted(link.node for link in ours.overlay)),
                        " ".join(before["overlay"]),
                    ),
                    same(f"{name}: peers", metrics.p2p_peers, before["p2p_peers"]),
                    between(
                        f"{name}: bytes received",
                        before["received_bytes"],
                        metrics.received_bytes,
                        after["received_bytes"],
                    ),
                    between(f"{name}: bytes sent", before["sent_bytes"], metrics.sent_bytes, after["sent_bytes"]),
                ]
    finally:
        os.environ["PATH"] = path
    version = pinned("nebula", "github.com/slackhq/nebula")
    return Comparison("Nebula", version, "`nebula:` beside its debug console and the kernel", rows)


def serf(find: Find, place: Path) -> Comparison | None:
    """Three agents."""
    program = find("serf-0.11")
    if program is None:
        return None
    rows: list[Row] = []
    with serf_network(program, place, 3) as network:
        for number in range(3):
            ours, theirs = read(network.spec(number)), network.truth(number)
            name = f"agent {number + 1}"
            others = sorted(str(one) for one in theirs["overlay"])
            rows += [
                same(f"{name}: name", ours.node_id, theirs["node_id"]),
                same(f"{name}: others", " ".join(sorted(link.node for link in ours.overlay)), " ".join(others)),
                same(f"{name}: members alive", _measure(ours, "members_alive"), theirs["members_alive"]),
                same(f"{name}: members failed", _measure(ours, "members_failed"), theirs["members_failed"]),
            ]
    return Comparison("Serf", pinned("serf", "github.com/hashicorp/serf"), "`serf:` beside its own tool", rows)


def _us(duration: str) -> int | None:
    """Microseconds of a duration as Go prints it."""
    for unit, factor in (("ns", 1e-3), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)):
        if duration.endswith(unit):
            return round(float(duration.removesuffix(unit)) * factor)
    return None


@contextlib.contextmanager
def libp2p_nodes(program: str, place: Path, nodes: int) -> Iterator[list[str]]:
    """URLs of nodes of which all are connected to the first one."""
    with contextlib.ExitStack() as stack:
        urls: list[str] = []
        for number in range(nodes):
            port = free_port()
            others = [fetch(f"{urls[0]}/truth")["address"]] if urls else []
            log = stack.enter_context((place / f"node-{number}.log").open("wb"))
            node = subprocess.Popen([program, str(port), *others], stdout=log, stderr=log)
            stack.callback(node.wait)
            stack.callback(node.kill)
            urls.append(f"http://127.0.0.1:{port}")
            until(lambda: listens(urls[-1]), "the node listens")
        yield urls


def fetch(url: str) -> Any:
    """The JSON of a route."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def listens(url: str) -> bool:
    try:
        return str(fetch(f"{url}/truth")["address"]).startswith("/ip4")
    except OSError:
        return False


def _kubo_source(api: str, peers: list[dict[str, Any]]) -> list[Row]:
    me, before = ask(api, "id"), ask(api, "stats/bw")
    ours = read(f"kubo:{api}")
    after = ask(api, "stats/bw")
    return [
        same("`kubo`: id", (ours.node_id or "")[-16:], me["ID"][-16:]),
        same("`kubo`: version", ours.version, me["AgentVersion"].split("/")[1]),
        same("`kubo`: peers", ours.metrics.p2p_peers, len({peer["Peer"] for peer in peers})),
        same("`kubo`: neighbour", next(link.node[-16:] for link in ours.overlay), peers[0]["Peer"][-16:]),
        same(
            "`kubo`: its RTT, µs",
            ours.overlay[0].rtt_us,
            _us(ask(api, "swarm/peers?latency=true")["Peers"][0]["Latency"]),
        ),
        between("`kubo`: bytes received", before["TotalIn"], ours.metrics.received_bytes, after["TotalIn"]),
        between("`kubo`: bytes sent", before["TotalOut"], ours.metrics.sent_bytes, after["TotalOut"]),
    ]


def ask(api: str, question: str) -> Any:
    """An answer of kubo's RPC; the last line, where it answers with several."""
    with urllib.request.urlopen(
        urllib.request.Request(f"{api}/api/v0/{question}", method="POST"), timeout=60
    ) as answer:
        lines = answer.read().splitlines()
    return json.loads(lines[-1]) if lines else None


def _measure(reading: Reading, name: str) -> object:
    return next((one.value for one in reading.measures if one.name == name), None)


def _among(about: str, ours: int | None, theirs: list[int]) -> Row:
    """The best of several links."""
    return Row(about, str(ours), " and ".join(map(str, theirs)), ours == min(theirs))


def _requests_received(api: str) -> float:
    """By the page of the only other node."""
    with urllib.request.urlopen(f"{api}/debug/metrics/prometheus", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("rpc_inbound_messages_total"))


def _dht_requests(reading: Reading) -> float | None:
    found = _measure(reading, "dht_requests")
    return found if isinstance(found, int | float) else reading.metrics.dht_lookups
