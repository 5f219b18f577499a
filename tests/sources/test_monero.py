"""A Monero node as a source, with answers recorded from monerod 0.18.0."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from answering import Answers, answering
from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.programs.monero import MoneroSource

INFO: dict[str, Any] = {
    "busy_syncing": False,
    "free_space": 78067695616,
    "grey_peerlist_size": 0,
    "height": 7,
    "incoming_connections_count": 1,
    "nettype": "fakechain",
    "outgoing_connections_count": 1,
    "restricted": False,
    "status": "OK",
    "synchronized": True,
    "target_height": 0,
    "tx_pool_size": 0,
    "version": "0.18.0.0-unknown",
    "white_peerlist_size": 0,
}
RESTRICTED = INFO | {
    "free_space": 2**64 - 1,
    "incoming_connections_count": 0,
    "outgoing_connections_count": 0,
    "restricted": True,
    "version": "",
}
CONNECTIONS: dict[str, Any] = {
    "connections": [
        {"address": "127.0.0.1:18101", "incoming": False, "peer_id": "b57c961b7b59c5e7", "state": "normal"},
        {"address": "127.0.0.1:45748", "incoming": True, "peer_id": "0000000000000000", "state": "before_handshake"},
    ],
    "status": "OK",
    "untrusted": False,
}
UNKNOWN = {"code": -32601, "message": "Method not found"}


@pytest.fixture
def node() -> Iterator[Answers]:
    with answering() as answers:
        results: dict[str, Any] = {"get_info": INFO, "get_connections": CONNECTIONS}
        answers.by_path["results"] = results

        def answer(question: dict[str, Any]) -> dict[str, Any]:
            found = results.get(question["method"])
            return {"id": 0, "jsonrpc": "2.0"} | ({"error": UNKNOWN} if found is None else {"result": found})

        answers.by_path["/json_rpc"] = answer
        answers.by_path["/get_net_stats"] = {"status": "OK", "total_bytes_in": 610, "total_bytes_out": 543}
        yield answers


def read(node: Answers, options: str = "") -> Reading:
    return asyncio.run(MoneroSource(node.url + options).read())


def measures(reading: Reading) -> dict[str, object]:
    return {one.name: one.value for one in reading.measures}


def test_it_reads_chain_connections_and_bytes(node: Answers) -> None:
    reading = read(node, "#address=127.0.0.1:18100")
    assert (reading.node, reading.node_id, reading.version) == ("monero", "127.0.0.1:18100", "0.18.0.0-unknown")
    assert reading.metrics == NodeMetrics(active_connections=2, p2p_peers=1, received_bytes=610, sent_bytes=543)
    assert reading.overlay == (OverlayLink("127.0.0.1:18101"),)
    assert reading.addresses == ("127.0.0.1:18100",)
    assert measures(reading) == {"block_height": 7, "sync_lag": 0}
    assert (reading.details["incoming"], reading.details["network"]) == (1.0, "fakechain")


def test_zeros_of_a_restricted_rpc_are_unknown(node: Answers) -> None:
    node.by_path["results"]["get_info"] = RESTRICTED
    del node.by_path["results"]["get_connections"], node.by_path["/get_net_stats"]
    reading = read(node)
    assert (reading.metrics, reading.version, reading.overlay) == (NodeMetrics(), None, ())
    assert measures(reading)["block_height"] == 7
    assert "incoming" not in reading.details


def test_a_node_without_connections_leaves_the_list_out(node: Answers) -> None:
    node.by_path["results"]["get_connections"] = {"status": "OK"}
    assert read(node).metrics.active_connections is None  # but it counts two
    node.by_path["results"]["get_info"] = INFO | {"incoming_connections_count": 0, "outgoing_connections_count": 0}
    assert read(node).metrics.active_connections == 0


@pytest.mark.parametrize(
    ("info", "lag"),
    [
        ({"target_height": 107}, 100),
        ({"target_height": 0}, 0),
        ({"target_height": 3}, 0),
        ({"target_height": 0, "synchronized": False}, None),
        ({"target_height": 107, "synchronized": False}, 100),
    ],
)
def test_a_lag_is_known_from_a_longer_chain_or_from_being_synchronized(
    node: Answers, info: dict[str, Any], lag: int | None
) -> None:
    node.by_path["results"]["get_info"] = INFO | info
    assert measures(read(node))["sync_lag"] == lag


def test_a_node_that_starts_is_busy(node: Answers) -> None:
    node.by_path["results"]["get_info"] = INFO | {"status": "BUSY"}
    with pytest.raises(SourceError, match="still starting"):
        read(node)


@pytest.mark.parametrize(
    "info",
    [{"height": -1}, {"height": 2**64}, {"height": "7"}, {"version": "x" * 1000}, {"incoming_connections_count": -3}],
)
def test_wrong_and_hostile_values_are_refused(node: Answers, info: dict[str, Any]) -> None:
    node.by_path["results"]["get_info"] = INFO | info
    with pytest.raises(SourceError, match="get_info"):
        read(node)


def test_an_answer_that_breaks_off_is_refused(node: Answers) -> None:
    node.short_by = 3
    with pytest.raises(SourceError):
        read(node)


def test_no_node_is_said_with_what_to_do() -> None:
    with pytest.raises(SourceError, match="is monerod running"):
        asyncio.run(MoneroSource("http://127.0.0.1:1").read())


def test_a_wrong_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        MoneroSource("#address=here")
