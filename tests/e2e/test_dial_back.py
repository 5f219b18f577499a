"""Three real agents: two try the node beside the third; the API and the command line show what is true."""

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from live import HAS_IPV6, client, running, until
from peerscope.cli import cli
from peerscope.host.addresses import join_address
from peerscope.mesh import dial_back
from peerscope.sources.node import Node

REPORTS = {"interval_s": 0.3}


def listening(stack: contextlib.ExitStack) -> tuple[list[socket.socket], list[str]]:
    """A node on loopback in each family that there is: connections of agents take either."""
    ports, addresses = [], []
    for family, host in ((socket.AF_INET, "127.0.0.1"), *([(socket.AF_INET6, "::1")] if HAS_IPV6 else [])):
        port = stack.enter_context(socket.socket(family))
        port.bind((host, 0))
        port.listen()
        ports.append(port)
        addresses.append(join_address(host, port.getsockname()[1]))
    return ports, addresses


def test_peers_try_the_node_of_another_and_say_whether_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[str] = []
    for name, seconds in (("LOOK_S", 0.5), ("INTERVAL_S", 3.0), ("UNTRIED_S", 1.0)):
        monkeypatch.setattr(dial_back, name, seconds)
    beside: Node | None = None
    monkeypatch.setattr(Node, "addresses", property(lambda node: tuple(announced) if node is beside else ()))
    with contextlib.ExitStack() as stack:
        ports, announced[:] = listening(stack)
        first = stack.enter_context(running(tmp_path / "0", report=REPORTS))
        join = {"join": [first.monitor.self_view().ticket]}
        other, *_ = [stack.enter_context(running(tmp_path / str(n), peer=join, report=REPORTS)) for n in (1, 2)]
        beside = first.monitor.node

        def seen() -> dict[str, Any]:
            with client(other) as asking:
                return asking.get(f"/api/v1/peers/{first.peer_id}").json()["reachability"] or {"dialers": ()}

        def reached() -> list[bool | None]:
            return [dialer["reached"] for dialer in seen()["dialers"]]

        until(lambda: reached() == [True, True], "both others reach the node")
        found = seen()
        assert found["addresses"] == announced
        assert found["summary"] == "tried from its own machine only"
        shown = CliRunner().invoke(cli, ["peer", first.peer_id[:10], "--api", other.http])
        assert "node reached" in shown.output, shown.output
        for port in ports:
            port.close()
        until(lambda: reached() == [False, False], "both find out that it is gone")
        words = {text for dialer in seen()["dialers"] for text in dialer["outcomes"].values()}
        assert "refused: nothing listens there, or a firewall answers" in words
        announced[:] = ["10.9.9.9:22"]
        until(lambda: "addresses" not in seen(), "a private address of another machine is not announced")
