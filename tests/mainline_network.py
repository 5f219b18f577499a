"""Real libtorrent nodes of the BitTorrent DHT on loopback, each with an address of its own, all in one child process.

    python mainline_network.py NODES NETWORK

The child prints a line of JSON when all nodes listen. Then it answers each line on its standard input:

- `tables` with the tables of all nodes;
- `look` after every node has begun to look something up, which fills tables;
- `stop N` after ending a node.

It ends with its input. libtorrent takes one node of each address, so the nodes are 127.0.0.1, 127.0.0.2 and so on; or
begin with another NETWORK than 127.0, whose addresses the machine must have.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

READY_S = 120.0
PORT = 6881


class MainlineNetwork:
    """Nodes by number."""

    def __init__(self, process: subprocess.Popen[str], nodes: int, network: str) -> None:
        self._process = process
        self.places = [place(number, network) for number in range(nodes)]

    @property
    def pid(self) -> int:
        return self._process.pid

    def spec(self, number: int) -> str:
        return f"bittorrent:{self.places[number]}"

    def tables(self) -> dict[str, dict[str, Any]]:
        """By address: its `id`, and `table`: the address and id of each confirmed entry."""
        tables: dict[str, dict[str, Any]] = self.order("tables")
        return tables

    def settle(self) -> dict[str, dict[str, Any]]:
        """Tables, once the first node can reach all others over them; each round of lookups fills them further."""
        end = time.monotonic() + READY_S
        while True:
            tables = self.tables()
            missing = tables.keys() - reached(tables, self.places[0])
            if not missing:
                return tables
            assert time.monotonic() < end, f"no table on the way names {sorted(missing)}"
            self.order("look")
            time.sleep(1.0)

    def order(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def place(number: int, network: str) -> str:
    """Address of a node."""
    return f"{network}.{number // 200}.{number % 200 + 1}:{PORT}"


def reached(tables: dict[str, dict[str, Any]], start: str) -> set[str]:
    """Addresses that tables lead to."""
    found, fresh = {start}, [start]
    while fresh:
        fresh = [one for one in {one for here in fresh for one in tables[here]["table"]} - found if one in tables]
        found.update(fresh)
    return found


@contextlib.contextmanager
def mainline_network(nodes: int, network: str = "127.0") -> Iterator[MainlineNetwork]:
    """Nodes that listen; their tables still fill."""
    command = [sys.executable, __file__, str(nodes), network]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == {"listening": nodes}
            yield MainlineNetwork(process, nodes, network)
        finally:
            process.kill()


def serve(nodes: int, network: str) -> None:
    """The child."""
    import libtorrent

    category = libtorrent.alert.category_t
    settings = {
        "dht_bootstrap_nodes": "",
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": category.dht_notification | category.dht_operation_notification,
    }
    sessions = {}
    for number in range(nodes):
        here = place(number, network)
        sessions[here] = libtorrent.session(settings | {"listen_interfaces": here})
    for number, session in enumerate(sessions.values()):  # a tree through which all find all
        for other in {number // 2, number // 3}:
            if other != number:
                session.add_dht_node(tuple_of(place(other, network)))
    print(json.dumps({"listening": len(sessions)}), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["tables"]:
                print(json.dumps(tables(libtorrent, sessions)), flush=True)
            case ["look"]:  # a lookup of a random key fills tables
                for session in sessions.values():
                    session.dht_get_peers(libtorrent.sha1_hash(os.urandom(20)))
                print("{}", flush=True)
            case ["stop", number]:
                sessions.pop(place(int(number), network)).apply_settings({"enable_dht": False, "listen_interfaces": ""})
                print("{}", flush=True)


def tables(libtorrent: Any, sessions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Id and entries of every node, as its own program has them."""
    found = {}
    for here, session in sessions.items():
        state = session.save_state(libtorrent.save_state_flags_t.save_dht_state)
        identity = node_id(state)
        session.pop_alerts()
        session.dht_live_nodes(libtorrent.sha1_hash(identity))
        found[here] = {"id": identity.hex(), "table": entries(libtorrent, session)}
    return found


def node_id(state: dict[bytes, Any]) -> bytes:
    return bytes(state[b"dht state"][b"node-id"][0][:20])


def entries(libtorrent: Any, session: Any) -> dict[str, str]:
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, libtorrent.dht_live_nodes_alert):
                return {f"{e[0]}:{e[1]}": str(i) for i, e in ((n["nid"], n["endpoint"]) for n in alert.nodes)}
    return {}


def tuple_of(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
