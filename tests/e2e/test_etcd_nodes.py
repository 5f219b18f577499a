"""Three real etcd members, an agent beside one: its values are etcd's own, and a frozen member is missed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from etcd_network import etcd_network
from live import client, running, until
from peerscope.records.bodies import Status
from peerscope.records.measures import Measure
from peerscope.sources.base import Reading

Need = Callable[[str], str]
PAGE = Path(__file__).parents[2] / "docs/howto/nodes/etcd.md"


def measured(reading: Reading | None) -> dict[str, float | None]:
    named: tuple[Measure, ...] = reading.measures if reading else ()
    return {one.name: one.value for one in named}


@pytest.mark.e2e
@pytest.mark.tools
def test_its_values_are_those_of_the_cluster_and_a_member_that_hangs_or_dies_is_missed(
    need: Need, tmp_path: Path
) -> None:
    (spec,) = re.findall(r"peerscope run --node-source (\S+)", PAGE.read_text(encoding="utf-8"))
    with etcd_network(need("etcd"), tmp_path) as network:
        sources = [spec.replace("http://127.0.0.1:2379", network.url(0))]
        assert sources == [network.spec(0)]
        with running(tmp_path / "agent", node={"sources": sources}, report={"interval_s": 0.5}) as agent:
            node = agent.monitor.node
            until(lambda: node.current() is not None, "it is read")
            truth = network.truth(0)
            reading = node.current()
            assert reading is not None
            assert (reading.node_id, reading.version) == (truth["node_id"], truth["version"])
            assert reading.metrics.p2p_peers == truth["p2p_peers"] == 2
            for name, value in measured(reading).items():
                assert value == truth[name], name
            until(
                lambda: (node.current() or reading).metrics.sent_bytes >= truth["sent_bytes"],
                "its bytes are those of the member, one interval later",
            )
            with client(agent) as asking:
                until(lambda: len(asking.get("/api/v1/node").json()["neighbours"]) == 2, "its neighbours are known")
            network.freeze(2)
            until(lambda: measured(node.current()).get("members_failed") == 1, "the frozen member is missed")
            network.freeze(2, again=True)
            until(lambda: measured(node.current()).get("members_alive") == 3, "it is back")
            network.kill(1)
            until(lambda: measured(node.current()).get("members_failed") == 1, "the dead member is missed")
            network.kill(2)
            until(lambda: measured(node.current()).get("has_leader") == 0, "nobody leads")
            assert node.check().status == Status.HEALTHY  # the member still answers
            network.kill(0)
            until(lambda: "does not answer" in (node.check().message or ""), "the member itself is gone")
