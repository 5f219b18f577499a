"""How exact a crawl of a foreign network is, and what it costs.

    unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/crawl_foreign.py
        [--mainline 200] [--libp2p 50] [--links 8]

Prints JSON. Starts real libtorrent nodes, then real js-libp2p nodes with kad-dht, on loopback, and crawls each network
from its first node by `peerscope crawl`. The truth is the routing tables, as the nodes' own programs have them. Tables
change while a crawl asks. So `edges_missed` counts entries that were there before and after and that the crawl lacks.
`edges_invented` counts entries that the crawl shows and that were neither there before nor after. `wire_packets`
and `wire_bytes` count all packets on the loopback interface during the crawl, those of the nodes among themselves too.
Their rate before the crawl is `idle_packets_per_s`. `aria2` and `transmission` join a small network of libtorrent
nodes. Transmission does not talk to 127.0.0.0/8, so these nodes have addresses of a private network on the loopback
interface.

libtorrent comes with the extra `dev`. js-libp2p needs `npm ci` in contrib/crawl-libp2p; without it that part is null.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mainline_programs import mainline_programs

from libp2p_network import PACKAGES, libp2p_network
from mainline_network import mainline_network

IDLE_S = 3.0
Edges = set[tuple[str, str]]


def main() -> None:
    """Crawl both networks, print, and end with 1 if a node or an edge is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mainline", type=int, default=200)
    parser.add_argument("--libp2p", type=int, default=50)
    parser.add_argument("--links", type=int, default=8, help="nodes that each libp2p node dials")
    options = parser.parse_args()
    results = {
        "mainline": mainline(options.mainline) if options.mainline else None,
        "libp2p": libp2p(options.libp2p, options.links) if options.libp2p else None,
        "programs": programs() if options.mainline else None,
    }
    print(json.dumps(results, indent=2))
    wrong = [one for one in results.values() if one and (one["missed"] or one.get("edges_missed") or one["invented"])]
    sys.exit(1 if wrong else 0)


def mainline(nodes: int) -> dict[str, Any]:
    with mainline_network(nodes) as network:
        before = network.settle()
        view, cost = crawled(network.spec(0))
        after = network.tables()
    ids = {node["id"] for node in after.values()}
    return compared(view, ids, entries(before), entries(after)) | cost


def entries(tables: dict[str, Any]) -> Edges:
    return {(node["id"], other) for node in tables.values() for other in node["table"].values()}


def libp2p(nodes: int, links: int) -> dict[str, Any] | None:
    if not (PACKAGES / "node_modules").is_dir():
        return None
    with tempfile.TemporaryDirectory() as folder, libp2p_network("node", Path(folder), nodes, links=links) as network:
        before = network.settle()
        view, cost = crawled(network.spec(0))
        after = network.tables()
    tables = [{(one, other) for one, table in state.items() for other in table} for state in (before, after)]
    return compared(view, after.keys(), *tables) | cost


def programs() -> dict[str, Any]:
    """Is each program found, and with how many links?"""
    with mainline_programs() as (network, addresses):
        network.settle()
        view, _ = crawled(network.spec(0))
    found = {peer["addresses"][0]: peer for peer in view["peers"]}
    shown = {name: found.get(address) for name, address in addresses.items()}
    return {
        "missed": sum(peer is None for peer in shown.values()),
        "invented": len(found.keys() - set(addresses.values()) - set(network.places)),
        "found": {name: peer and {key: peer[key] for key in ("version", "neighbours")} for name, peer in shown.items()},
        "errors": view["errors"],
    }


def crawled(spec: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The view, and the traffic on loopback meanwhile."""
    idle = loopback()[0]
    time.sleep(IDLE_S)
    packets, octets = loopback()
    idle = packets - idle
    began = time.monotonic()
    command = [sys.executable, "-m", "peerscope", "crawl", spec, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    wall_s = time.monotonic() - began
    packets_after, octets_after = loopback()
    view: dict[str, Any] = json.loads(done.stdout)
    wire = {
        "idle_packets_per_s": round(idle / IDLE_S, 1),
        "wire_packets": packets_after - packets,
        "wire_bytes": octets_after - octets,
    }
    return view, {"cost": view["cost"], "wall_s": round(wall_s, 2)} | wire


def compared(view: dict[str, Any], ids: Iterable[str], before: Edges, after: Edges) -> dict[str, Any]:
    found = {peer["peer_id"] for peer in view["peers"]}
    links = {(link["source"], link["target"]) for link in view["links"]}
    links |= {(link["target"], link["source"]) for link in view["links"] if link["confirmed"]}
    return {
        "nodes": len(set(ids)),
        "found": len(found),
        "missed": len(set(ids) - found),
        "invented": len(found - set(ids)),
        "edges_before": len(before),
        "edges_after": len(after),
        "edges_found": len(links),
        "edges_missed": len((before & after) - links),
        "edges_invented": len(links - before - after),
        "seconds": view["seconds"],
        "versions": view["versions"],
        "errors": view["errors"],
    }


def loopback() -> tuple[int, int]:
    """Packets and bytes that the loopback interface has received."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/dev").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "lo":
                octets, packets = numbers.split()[:2]
                return int(packets), int(octets)
    return 0, 0


if __name__ == "__main__":
    main()
