"""Two real I2P routers in a network of their own, beside what their own interface says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from i2pd_network import i2pd_network
from peerscope.errors import SourceError
from programs import page_spec, read

Need = Callable[[str], str]


@pytest.mark.tools
def test_two_routers_are_read_as_their_own_interface_has_them(need: Need, tmp_path: Path) -> None:
    with i2pd_network(need("i2pd"), tmp_path) as network:
        network.running.until(lambda: read(network.spec(0)).metrics.p2p_peers == 1, "the routers meet")
        network.running.until(lambda: (read(network.spec(1)).metrics.received_bytes or 0) > 3000, "they talk")
        for number in (0, 1):
            spec = page_spec("i2pd").replace("i2pd:", f"i2pd:https://127.0.0.1:{network.control[number]}")
            spec = spec.replace("/etc/peerscope/i2pd.password", str(network.password))
            spec = spec.replace("/etc/peerscope/i2pd.pem", str(network.data(number) / "i2pcontrol.crt.pem"))
            assert spec == network.spec(number)
            before, reading, after = network.truth(number), read(spec), network.truth(number)
            measures = {one.name: one.value for one in reading.measures}
            assert (reading.version, reading.node_id, reading.overlay) == (before["version"], None, ())
            for name in ("p2p_peers", "tunnels", "received_bytes", "sent_bytes"):
                value = getattr(reading.metrics, name)
                assert float(str(before[name])) <= value <= float(str(after[name])), name
            assert measures["routers_known"] == before["routers_known"] == 2  # with itself
            uptime_s = reading.details["uptime_s"]
            assert isinstance(uptime_s, float)
            assert float(str(before["uptime_ms"])) / 1000 <= uptime_s <= float(str(after["uptime_ms"])) / 1000 < 300

        network.password.write_text("wrong")
        with pytest.raises(SourceError, match="does not accept the password"):
            read(network.spec(0))
        network.password.write_text("only-for-tests")
        other = network.spec(0).replace("router-0", "router-1")
        with pytest.raises(SourceError, match="certificate"):
            read(other)
