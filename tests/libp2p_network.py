"""Real js-libp2p nodes with kad-dht on loopback, all in one child process; see `libp2p_nodes.mjs`."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parents[1] / "contrib" / "crawl-libp2p"
READY_S = 120.0


class Libp2pNetwork:
    """Nodes by number."""

    def __init__(self, process: subprocess.Popen[str], addresses: list[str]) -> None:
        self._process = process
        self.addresses = addresses
        self.ids = [address.rpartition("/")[2] for address in addresses]

    @property
    def pid(self) -> int:
        return self._process.pid

    def spec(self, number: int) -> str:
        return f"libp2p:{self.addresses[number]}"

    def tables(self) -> dict[str, list[str]]:
        """The routing table of each node that runs, as its own program has it."""
        tables: dict[str, list[str]] = self.order("tables")
        return tables

    def settle(self) -> dict[str, list[str]]:
        """Tables, once the first node can reach all others over them and they have stood still for a second."""
        end, before = time.monotonic() + READY_S, dict[str, list[str]]()
        while True:
            tables = self.tables()
            if tables == before and reached(tables, self.ids[0]) == tables.keys():
                return tables
            assert time.monotonic() < end, "the tables do not settle"
            before = tables
            time.sleep(1.0)

    def order(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def reached(tables: dict[str, list[str]], start: str) -> set[str]:
    """Nodes that tables lead to."""
    found, fresh = {start}, [start]
    while fresh:
        fresh = [one for one in {one for here in fresh for one in tables[here]} - found if one in tables]
        found.update(fresh)
    return found


def packages() -> Path:
    """The folder with the packages; without them the test is skipped by name."""
    if not (PACKAGES / "node_modules" / "@libp2p" / "kad-dht").is_dir():
        pytest.skip(f"no js-libp2p: run `npm ci` in {PACKAGES}")
    return PACKAGES


@contextlib.contextmanager
def libp2p_network(
    node: str, folder: Path, nodes: int, protocol: str = "/ipfs/kad/1.0.0", links: int = 0
) -> Iterator[Libp2pNetwork]:
    """Nodes that have dialled each other; their tables still fill. `folder` gets the program.

    `links`: nodes that each one dials beside those that make the network one.
    """
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    program = shutil.copy(Path(__file__).parent / "libp2p_nodes.mjs", folder)
    command = [node, str(program), str(nodes), protocol]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            network = Libp2pNetwork(process, json.loads(process.stdout.readline()))
            network.order(f"join {links}")
            yield network
        finally:
            process.kill()
