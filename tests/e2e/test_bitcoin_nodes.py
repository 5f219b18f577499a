"""Three real nodes of Bitcoin's RPC (btcd) with a chain of their own, beside what their own RPC says."""

from pathlib import Path

import pytest

from bitcoin_network import bitcoin_network
from peerscope.errors import SourceError
from programs import built, page_spec, read


@pytest.mark.tools
def test_nodes_of_one_chain_are_read_as_their_rpc_has_them(tmp_path: Path) -> None:
    with bitcoin_network(built("btcd"), tmp_path) as network:
        network.ask(0, "generate", 7)
        network.running.until(lambda: network.ask(2, "getblockcount") == 7, "the last node has all blocks")
        page = page_spec("bitcoin").replace("/home/bitcoin/.bitcoin/.cookie", str(network.cookie))
        for number in range(3):
            spec = page.replace("8332", str(network.rpc[number])) + f"&address=127.0.0.1:{network.p2p[number]}"
            assert spec == network.spec(number)
            reading, truth = read(spec), network.truth(number)
            measures = {one.name: one.value for one in reading.measures}
            assert (measures["block_height"], measures["sync_lag"]) == (truth["block_height"], truth["sync_lag"])
            assert measures["block_height"] == 7
            assert reading.metrics.active_connections == truth["active_connections"] == (1 if number else 2)
            assert reading.metrics.received_bytes == truth["received_bytes"]
            assert reading.metrics.sent_bytes == truth["sent_bytes"]
            first = f"127.0.0.1:{network.p2p[0]}"
            assert [link.node for link in reading.overlay] == ([first] if number else [])
            assert [link.rtt_us for link in reading.overlay] == ([None] if number else [])  # it has not pinged yet
        assert read(network.spec(0)).node_id == f"127.0.0.1:{network.p2p[0]}"

        network.running.kill("btcd-2")
        network.running.until(lambda: read(network.spec(0)).metrics.active_connections == 1, "its link is gone")
        network.cookie.write_text("peerscope:wrong")
        with pytest.raises(SourceError, match="does not accept these credentials"):
            read(network.spec(0))
