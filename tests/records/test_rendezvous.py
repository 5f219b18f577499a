"""Rendezvous hashing: orders that peers of all versions agree on."""

import pytest

from peerscope.alerts.aggregators import rank
from peerscope.alerts.notification_log import ranked
from peerscope.export.election import weight as writer_weight
from peerscope.records.identity import PeerId

PEER = PeerId(bytes(range(32)))


@pytest.mark.parametrize(
    ("zone", "aggregator", "writer"),
    [
        ("", "75cf9edb900dea30", "1dd0d8ab8de64b9a998710fce927df89"),
        ("eu", "9044476ee9ceb3d8", "c8a716cf84eef729792c3929b7220bc8"),
        ("zürich", "c8a612d8de6dc414", "98404c7d5e55bf843002b6c0a1f59848"),
    ],
)
def test_weights_are_what_they_always_were(zone: str, aggregator: str, writer: str) -> None:
    assert rank(zone, PEER).hex() == aggregator
    assert writer_weight(zone, PEER).hex() == writer


def test_notifiers_have_the_order_of_their_weights() -> None:
    peers = [PEER, PeerId(bytes(32)), PeerId(b"\xff" * 32)]
    assert [peer[:2].hex() for peer in ranked("cpu-high:eu", peers)] == ["0000", "ffff", "0001"]
