"""Two real Monero nodes with a chain of their own, beside what their own RPC says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monero_network import monero_network
from peerscope.errors import SourceError
from programs import page_spec, read

Need = Callable[[str], str]


@pytest.mark.tools
def test_two_nodes_of_one_chain_are_read_as_their_rpc_has_them(need: Need, tmp_path: Path) -> None:
    need("curl")
    with monero_network(need("monerod"), tmp_path) as network:
        network.mine(5)
        network.running.until(lambda: network.ask(1, "get_info")["height"] == 6, "the second node has all blocks")
        for number in (0, 1):
            spec = page_spec("monero").replace("18081", str(network.rpc[number]))
            spec = spec.replace("203.0.113.5:18080", f"127.0.0.1:{network.p2p[number]}")
            assert network.spec(number).startswith(spec)
            spec = network.spec(number)
            truth = network.truth(number)
            reading = read(spec)
            metrics, measures = reading.metrics, {one.name: one.value for one in reading.measures}
            assert (measures["block_height"], measures["sync_lag"]) == (6, 0)
            assert (measures["block_height"], measures["sync_lag"]) == (truth["block_height"], truth["sync_lag"])
            assert (reading.version, metrics.p2p_peers) == (truth["version"], truth["p2p_peers"])
            assert metrics.active_connections == truth["active_connections"]
            assert metrics.active_connections in (1, 2)
            assert metrics.received_bytes is not None
            assert metrics.received_bytes >= int(str(truth["received_bytes"])) > 0
            assert reading.node_id == f"127.0.0.1:{network.p2p[number]}"
        links = {link.node for number in (0, 1) for link in read(network.spec(number)).overlay}
        assert links  # one of both dialled, perhaps both
        assert links <= {f"127.0.0.1:{port}" for port in network.p2p}

        hidden = read(f"monero:http://127.0.0.1:{network.restricted[0]}")
        assert {one.name: one.value for one in hidden.measures}["block_height"] == 6
        assert (hidden.version, hidden.metrics.active_connections, hidden.metrics.received_bytes) == (None, None, None)

        network.password.write_text("wrong")
        with pytest.raises(SourceError, match="does not accept these credentials"):
            read(network.spec(1))
        with pytest.raises(SourceError, match="wants credentials"):
            read(network.spec(1).partition("#")[0])

        network.running.kill("monerod-1")
        network.running.until(lambda: read(network.spec(0)).metrics.active_connections == 0, "its link is gone")
        assert read(network.spec(0)).overlay == ()
