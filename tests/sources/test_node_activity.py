"""Counters of any source feed the detections, and nothing that is no activity of the node does."""

from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import astuple

from peerscope.agent.own_facts import FactReader
from peerscope.agent.traffic import Traffic
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.node import Node
from peerscope.threats.monitor import NodeActivity


class Toy:
    """A node with the readings and sources that a test gives it."""

    def __init__(self, **events: int) -> None:
        self.telemetry = SimpleNamespace(received=Counter(events), has_heard=bool(events))
        self.source = "kubo"
        self.reading: Reading | None = None
        self.reader = FactReader(cast(Node, self), cast(Traffic, None))

    def current(self) -> Reading | None:
        return self.reading

    def counts(self, **totals: int) -> Mapping[str, float] | None:
        """What becomes known with this reading; None for nothing."""
        metrics = NodeMetrics(**totals)
        known = tuple(None if value is None else self.source for value in astuple(metrics))
        self.reading = Reading(node="kubo", metrics=metrics, counted_by=known)
        return self.look()

    def look(self) -> Mapping[str, float] | None:
        found: list[Any] = self.reader.node()
        assert all(isinstance(one, NodeActivity) for one in found)
        return found[0].counts if found else None


def test_the_increase_of_counters_is_the_activity() -> None:
    toy = Toy()
    assert toy.counts(messages=10, dht_puts=1, received_bytes=100, sent_bytes=50) is None, "what was before we came"
    found = toy.counts(messages=15, dht_puts=4, received_bytes=160, sent_bytes=90)
    assert found == {"messages": 5, "errors": 0, "bytes": 100, "lookups": 0, "puts": 3}
    assert toy.look() is None, "the same reading again says nothing"


def test_a_restart_of_the_node_is_no_activity() -> None:
    toy = Toy()
    toy.counts(messages=1_000_000, dht_puts=50_000)
    found = toy.counts(messages=3, dht_puts=50_001)
    assert set((found or {}).values()) == {0}


def test_what_a_node_did_while_nobody_could_ask_is_no_flood() -> None:
    toy = Toy()
    toy.counts(dht_puts=1)
    toy.reading = None
    assert toy.look() is None
    assert toy.counts(dht_puts=100_000) is None


def test_another_source_that_steps_in_counts_from_another_beginning() -> None:
    toy = Toy()
    toy.counts(dht_puts=1)
    toy.source = "prometheus"
    assert set((toy.counts(dht_puts=100_000) or {}).values()) == {0}
    assert (toy.counts(dht_puts=100_007) or {})["puts"] == 7


@pytest.mark.parametrize(
    ("events", "left_out"),
    [
        ({"log": 9}, set()),
        ({"connection": 9, "gauge": 1}, set()),
        ({"message": 9}, {"messages", "errors", "bytes"}),
        ({"dht": 9}, {"lookups", "puts"}),
        ({"dht": 9, "message": 1}, {"lookups", "puts", "messages", "errors", "bytes"}),
    ],
)
def test_only_what_events_count_already_is_left_out(events: dict[str, int], left_out: set[str]) -> None:
    toy = Toy(**events)
    toy.counts(messages=1, errors=1, dht_puts=1, dht_lookups=1, received_bytes=1, sent_bytes=1)
    found = toy.counts(messages=2, errors=2, dht_puts=2, dht_lookups=2, received_bytes=2, sent_bytes=2)
    assert set(found or {}) == {"lookups", "puts", "messages", "errors", "bytes"} - left_out
