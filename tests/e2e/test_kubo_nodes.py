"""Three real kubo nodes in a network of their own, beside what their own tool says."""

from pathlib import Path

import pytest

from kubo_network import kubo_network
from peerscope.sources.neighbours import duration_s
from programs import built, page_spec, read


@pytest.mark.tools
def test_nodes_are_read_as_their_own_tool_has_them(tmp_path: Path) -> None:
    with kubo_network(built("ipfs"), tmp_path) as network:
        block = network.run(1, "add", "--quiet", stdin="a block of the second node").strip()
        assert network.run(0, "cat", block) == "a block of the second node"
        network.running.until(
            lambda: all(network.ask(number, "stats/bw")["TotalIn"] > 1000 for number in range(3)), "bytes are counted"
        )  # kubo adds them up once a second
        network.running.until(
            lambda: (read(network.spec(1)).metrics.dht_puts or 0) > 0, "the block is put into the DHT"
        )
        for number in range(3):
            spec = page_spec("kubo").replace("5001", str(network.rpc[number]))
            assert spec == network.spec(number)
            reading, truth = read(spec), network.truth(number)
            metrics, measures = reading.metrics, {one.name: one.value for one in reading.measures}
            assert reading.node_id == network.ids[number]
            assert reading.version == "0.43.1"
            assert reading.addresses == (f"127.0.0.1:{network.swarm[number]}",)
            assert metrics.active_connections == truth["active_connections"]
            peers = truth["peers"]
            assert isinstance(peers, dict)
            assert {link.node for link in reading.overlay} == set(peers)
            assert metrics.p2p_peers == len(peers)
            for link in reading.overlay:
                rtt_s = duration_s(peers[link.node])
                assert (link.rtt_us is None) == (rtt_s is None)
            assert (metrics.received_bytes or 0) <= int(str(truth["received_bytes"]))
            assert (metrics.received_bytes or 0) > 1000
            assert measures["dht_nodes"] == truth["dht_nodes"]
            assert measures["blocks_received"] == truth["blocks_received"] == (1 if number == 0 else 0)
            assert metrics.dht_puts == truth["dht_puts"]
            assert measures["repository"] == truth["repository"]
        links = {
            frozenset((network.ids[one], link.node)) for one in range(3) for link in read(network.spec(one)).overlay
        }
        assert {frozenset((network.ids[0], network.ids[one])) for one in (1, 2)} <= links

        network.running.kill("kubo-2")
        network.running.until(
            lambda: network.ids[2] not in {link.node for link in read(network.spec(0)).overlay}, "its link is gone"
        )


@pytest.mark.tools
def test_a_node_alone_has_no_peers_and_knows_it(tmp_path: Path) -> None:
    with kubo_network(built("ipfs"), tmp_path, nodes=1) as network:
        reading = read(network.spec(0))
        assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (0, 0)
        assert (reading.overlay, reading.latency_s) == ((), None)
