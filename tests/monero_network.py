"""Real Monero nodes on loopback for tests: a chain of their own, whose blocks are mined at once."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from programs import Programs, programs
from yggdrasil_network import free_port

WALLET = "42ey1afDFnn4886T7196doS9GPMzexD9gXpsZJDwVjeRVdFCSoHnv7KPbBeGpzJBzHRCAs9UxqeoyFQMYbqSWYTfJJQAWDm"
"""Of the project's own tests: any address that is valid."""


USER, PASSWORD = "peerscope", "only-for-tests"
"""Of the second node, whose RPC has a login."""


class MoneroNetwork:
    """Nodes that dial each other, by number."""

    def __init__(self, folder: Path, running: Programs, nodes: int) -> None:
        self.running = running
        self.password = folder / "password"
        self.password.write_text(PASSWORD)
        self.rpc = [free_port() for _ in range(nodes)]
        self.restricted = [free_port() for _ in range(nodes)]
        self.p2p = [free_port() for _ in range(nodes)]

    def spec(self, number: int) -> str:
        """Its source."""
        login = f"&user={USER}&password_file={self.password}" if number == 1 else ""
        return f"monero:http://127.0.0.1:{self.rpc[number]}#address=127.0.0.1:{self.p2p[number]}{login}"

    def ask(self, number: int, method: str, **params: Any) -> dict[str, Any]:
        """One answer of one node."""
        question = {"jsonrpc": "2.0", "id": "0", "method": method, "params": params}
        answer: dict[str, Any] = self._post(number, "json_rpc", question)["result"]
        return answer

    def mine(self, blocks: int) -> None:
        """By the first node, as soon as it is ready."""
        self.running.until(
            lambda: self.ask(0, "generateblocks", amount_of_blocks=blocks, wallet_address=WALLET)["status"] == "OK",
            "the first node mines",
        )

    def truth(self, number: int) -> dict[str, object]:
        """Values by the node's own RPC."""
        info = self.ask(number, "get_info")
        totals = self._post(number, "get_net_stats", {})
        return {
            "active_connections": info["incoming_connections_count"] + info["outgoing_connections_count"],
            "p2p_peers": len(self.ask(number, "get_connections").get("connections", [])),
            "received_bytes": totals["total_bytes_in"],
            "sent_bytes": totals["total_bytes_out"],
            "block_height": info["height"],
            "sync_lag": max(0, info["target_height"] - info["height"]),
            "version": info["version"],
        }

    def _post(self, number: int, path: str, question: dict[str, Any]) -> dict[str, Any]:
        command = ["curl", "--silent", "--fail", "--max-time", "10", "--data-binary", json.dumps(question)]
        if number == 1:
            command += ["--digest", "--user", f"{USER}:{PASSWORD}"]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{self.rpc[number]}/{path}"], capture_output=True, timeout=20
        )
        if done.returncode:
            raise OSError(f"curl ended with {done.returncode}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextlib.contextmanager
def monero_network(program: str, folder: Path, nodes: int = 2) -> Iterator[MoneroNetwork]:
    """Each node dials only the next one."""
    with programs(folder) as running:
        network = MoneroNetwork(folder, running, nodes)
        for number in range(nodes):
            options = {
                "data-dir": str(folder / f"data-{number}"),
                "log-file": str(folder / f"monerod-{number}.log"),
                "p2p-bind-ip": "127.0.0.1",
                "p2p-bind-port": network.p2p[number],
                "rpc-bind-port": network.rpc[number],
                "rpc-restricted-bind-port": network.restricted[number],
                "add-exclusive-node": f"127.0.0.1:{network.p2p[(number + 1) % nodes]}",
                "fixed-difficulty": 1,
                "check-updates": "disabled",
                "db-sync-mode": "fastest:async",
            }
            if number == 1:
                options |= {"rpc-login": f"{USER}:{PASSWORD}"}
            flags = ["--regtest", "--non-interactive", "--no-igd", "--no-zmq", "--allow-local-ip"]
            running.start(
                f"monerod-{number}", program, *flags, *(f"--{name}={value}" for name, value in options.items())
            )
        for number in range(nodes):
            running.until(lambda number=number: network.ask(number, "get_info")["status"] == "OK", "a node answers")
        yield network
