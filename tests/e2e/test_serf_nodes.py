"""Three real Serf agents, read as the how-to says, beside Serf's own tool."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from peerscope.errors import SourceError
from peerscope.sources.base import Reading, make_source
from serf_network import SerfNetwork, serf_network, until

pytestmark = pytest.mark.tools
HOWTO = Path(__file__).parents[2] / "docs/howto/nodes/serf.md"
Need = Callable[[str], str]


def read(spec: str) -> Reading:
    return asyncio.run(make_source(spec).read())


def values(reading: Reading) -> dict[str, object]:
    known: dict[str, object] = {"node_id": reading.node_id, "overlay": {link.node for link in reading.overlay}}
    return known | {one.name: one.value for one in reading.measures if one.name.startswith("members")}


def agrees(network: SerfNetwork, number: int, spec: str) -> bool:
    return values(read(spec)) == network.truth(number)


def has_round_trips(network: SerfNetwork, number: int, spec: str) -> bool:
    """Its round trips lie between two looks of Serf's own tool; coordinates move with each ping."""
    before = {other: network.rtt_us(number, other) for other in range(3) if other != number}
    found = {int(link.node[1:]): link.rtt_us for link in read(spec).overlay}
    after = {other: network.rtt_us(number, other) for other in before}
    return found.keys() == before.keys() and all(
        rtt is not None and min(before[other], after[other]) - 1 <= rtt <= max(before[other], after[other]) + 1
        for other, rtt in found.items()
    )


def test_serf_is_read_as_its_own_tool_shows_it(need: Need, tmp_path: Path) -> None:
    open_spec, spec = re.findall(r"--node-source[\s\\]+'?([^\s']+)", HOWTO.read_text(encoding="utf-8"))
    with serf_network(need("serf"), tmp_path, 3) as network:
        for number in range(3):
            own = spec.replace("127.0.0.1:7373", network.rpc(number))
            own = own.replace("/etc/peerscope/serf", str(network.key_file))
            assert own == network.spec(number)
            until(lambda number=number, own=own: agrees(network, number, own), "the source agrees with the tool")
            assert f"n{number} {read(own).addresses[0]} " in re.sub(" +", " ", network.ask(number, "members"))
        until(lambda: has_round_trips(network, 0, network.spec(0)), "round trips agree")
        with pytest.raises(SourceError, match=r"Authentication required.*#token_file="):
            read(open_spec.replace("127.0.0.1:7373", network.rpc(0)))
        network.kill(2)
        until(lambda: network.truth(0)["members_failed"] == 1, "it is missed")
        until(lambda: agrees(network, 0, network.spec(0)), "the source misses it too")
        network.stop(1)
        with pytest.raises(SourceError, match="has not answered for"):
            read(network.spec(1))
        with pytest.raises(SourceError, match="no RPC of Serf"):
            read(network.spec(2))
