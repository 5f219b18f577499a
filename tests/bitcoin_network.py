"""Real Bitcoin nodes (btcd) on loopback for tests, on a chain of their own whose blocks are mined at once."""

import base64
import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from programs import Programs, programs
from yggdrasil_network import free_port

USER, PASSWORD = "peerscope", "only-for-tests"
ADDRESS = "SMPJunctnV4LunQRk37CuFeWeU9iBDoZwx"
"""Of nobody: the hash of its key is twenty times 1."""


class BitcoinNetwork:
    """Nodes that dial the first one, by number."""

    def __init__(self, folder: Path, running: Programs, nodes: int) -> None:
        self.folder = folder
        self.running = running
        self.rpc = [free_port() for _ in range(nodes)]
        self.p2p = [free_port() for _ in range(nodes)]
        self.cookie = folder / "cookie"
        self.cookie.write_text(f"{USER}:{PASSWORD}")

    def spec(self, number: int) -> str:
        """Its source."""
        address = f"127.0.0.1:{self.p2p[number]}"
        return f"bitcoin:http://127.0.0.1:{self.rpc[number]}#cookie_file={self.cookie}&address={address}"

    def ask(self, number: int, method: str, *params: Any) -> Any:
        """One answer of one node."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        question = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rpc[number]}/", question)
        request.add_header("Authorization", f"Basic {login}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())["result"]

    def truth(self, number: int) -> dict[str, object]:
        """Values by the node's own RPC."""
        chain, totals = self.ask(number, "getblockchaininfo"), self.ask(number, "getnettotals")
        return {
            "active_connections": self.ask(number, "getconnectioncount"),
            "received_bytes": totals["totalbytesrecv"],
            "sent_bytes": totals["totalbytessent"],
            "block_height": self.ask(number, "getblockcount"),
            "sync_lag": chain["headers"] - chain["blocks"],
        }


@contextlib.contextmanager
def bitcoin_network(program: str, folder: Path, nodes: int = 3) -> Iterator[BitcoinNetwork]:
    """All nodes but the first dial the first one."""
    with programs(folder) as running:
        network = BitcoinNetwork(folder, running, nodes)
        for number in range(nodes):
            options = {
                "configfile": folder / "none.conf",
                "datadir": folder / f"data-{number}",
                "logdir": folder / f"log-{number}",
                "listen": f"127.0.0.1:{network.p2p[number]}",
                "rpclisten": f"127.0.0.1:{network.rpc[number]}",
                "rpcuser": USER,
                "rpcpass": PASSWORD,
                "miningaddr": ADDRESS,
            }
            first = [f"--connect=127.0.0.1:{network.p2p[0]}"] if number else []
            words = [f"--{name}={value}" for name, value in options.items()]
            running.start(f"btcd-{number}", program, "--simnet", "--notls", *words, *first)
            running.until(lambda number=number: network.ask(number, "getblockcount") == 0, "a node answers")
        running.until(lambda: network.ask(0, "getconnectioncount") == nodes - 1, "all are linked")
        yield network
