"""A real Tor network of relays and a client, beside what their own control ports say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from peerscope.errors import SourceError
from peerscope.sources.base import Reading
from programs import page_spec, read
from tor_network import TorNetwork, tor_network

Need = Callable[[str], str]


def measure(reading: Reading, name: str) -> object:
    return {one.name: one.value for one in reading.measures}[name]


def is_ready(network: TorNetwork, number: int) -> bool:
    """It has built circuits."""
    reading = read(network.spec(number))
    return measure(reading, "bootstrap") == 1.0 and bool(measure(reading, "circuits"))


def agrees(network: TorNetwork, number: int) -> bool:
    """Values that do not move at once are those of the node's own answers."""
    truth, reading = network.truth(number), read(network.spec(number))
    return (
        reading.version == truth["version"]
        and reading.metrics.active_connections == measure(reading, "orconn") == truth["active_connections"]
        and measure(reading, "circuits") == truth["circuits"]
        and int(str(truth["received_bytes"])) <= (reading.metrics.received_bytes or 0)
        and int(str(truth["sent_bytes"])) <= (reading.metrics.sent_bytes or 0)
    )


@pytest.mark.tools
def test_relays_and_a_client_are_read_as_their_own_control_ports_have_them(need: Need, tmp_path: Path) -> None:
    with tor_network(need("tor"), tmp_path) as network:
        for number in (0, 1, network.client):
            network.running.until(lambda number=number: is_ready(network, number), "it builds circuits")
            network.running.until(lambda number=number: agrees(network, number), "its own answers agree")
        fingerprints = {network.fingerprint(number) for number in range(network.client)}
        relay = read(page_spec("tor").replace("9051", str(network.control[1])))
        assert relay.node_id == network.fingerprint(1)
        assert relay.addresses == (f"127.0.0.1:{network.orport[1]}",)
        assert "Running" in str(relay.details["flags"])
        assert {link.node for link in relay.overlay} <= fingerprints - {relay.node_id}
        assert relay.metrics.p2p_peers == len(relay.overlay) > 0

        client = read(network.spec(network.client))
        assert (client.node_id, client.overlay, client.details["kind"]) == (None, (), "client")
        assert client.metrics.p2p_peers  # its guards, counted only

        exported = read(f"prometheus:http://127.0.0.1:{network.metrics[1]}/metrics#tor")
        assert exported.metrics.active_connections == read(network.spec(1)).metrics.active_connections
        assert (exported.metrics.received_bytes or 0) >= (relay.metrics.received_bytes or 0)

        cookie = network.data(1) / "control_auth_cookie"
        cookie.write_bytes(bytes(32))
        with pytest.raises(SourceError, match="does not know the cookie"):
            read(network.spec(1))
        cookie.unlink()
        with pytest.raises(SourceError, match="CookieAuthFileGroupReadable"):
            read(network.spec(1))
        network.running.kill("tor-1")
        with pytest.raises(SourceError, match="set ControlPort"):
            read(network.spec(1))
