"""Ways of messages as traces: what an OTLP receiver gets is the path, hop by hop, and no time that nobody measured."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from live import Agent, running
from peerscope.export.config import OtlpConfig
from peerscope.export.otlp import Otlp, traces_url
from peerscope.mesh.events import Delivered
from peerscope.records.identity import PeerRef
from peerscope.views.traces import Path as Way
from peerscope.views.traces import Trace
from receivers import Receiver, receiving

A, B, C = (PeerRef(letter * 8) for letter in (b"a", b"b", b"c"))
OK = (200, {})


def spans(receiver: Receiver) -> list[Any]:
    """Every span that was received."""
    found = []
    for asked in receiver.taken:
        assert asked.path == "/v1/traces"
        assert asked.headers["content-type"] == "application/x-protobuf"
        for resource in ExportTraceServiceRequest.FromString(asked.body).resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def told(*traces: Trace, sample_ratio: float = 1.0) -> list[Any]:
    """The spans of these traces, as a receiver decodes them."""
    with receiving(lambda _: OK) as collector:
        otlp = Otlp(OtlpConfig(endpoint=collector.url, sample_ratio=sample_ratio), {"service.instance.id": "me"})
        for trace in traces:
            otlp.export(trace)
        otlp.close()
        return spans(collector)


def attributes(of: Any) -> dict[str, Any]:
    kinds = {one.key: (one.value.WhichOneof("value"), one.value) for one in of.attributes}
    return {
        key: [item.string_value for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)
        for key, (kind, value) in kinds.items()
    }


def trace(path: Way, *hops_s: float | None, fate: Any = "delivered", layer: Any = "mesh") -> Trace:
    known = [hop_s for hop_s in hops_s if hop_s is not None]
    return Trace(layer, path, hops_s, sum(known) if len(known) == len(hops_s) else None, fate)


def test_a_message_is_a_trace_with_a_span_for_each_hop() -> None:
    before_ns = time.time_ns()
    whole, first, second = sorted(told(trace((A, B, C), 0.020, 0.005)), key=lambda span: len(span.parent_span_id))[:3]
    first, second = sorted((first, second), key=lambda span: span.start_time_unix_nano)
    assert (whole.name, first.name, second.name) == ("peerscope.gossip", "peerscope.hop", "peerscope.hop")
    assert whole.trace_id == first.trace_id == second.trace_id
    assert first.parent_span_id == second.parent_span_id == whole.span_id
    assert attributes(first) == {"peerscope.hop": 1, "peerscope.from": A.hex(), "peerscope.to": B.hex()}
    assert attributes(second) == {"peerscope.hop": 2, "peerscope.from": B.hex(), "peerscope.to": C.hex()}
    assert first.end_time_unix_nano - first.start_time_unix_nano == 20_000_000
    assert second.end_time_unix_nano - second.start_time_unix_nano == 5_000_000
    assert whole.start_time_unix_nano == first.start_time_unix_nano
    assert first.end_time_unix_nano == second.start_time_unix_nano
    assert second.end_time_unix_nano == whole.end_time_unix_nano
    assert before_ns <= whole.end_time_unix_nano <= time.time_ns()
    assert attributes(whole) == {
        "peerscope.layer": "mesh",
        "peerscope.fate": "delivered",
        "peerscope.hops": 2,
        "peerscope.path": [A.hex(), B.hex(), C.hex()],
        "peerscope.latency_known": True,
    }


def test_a_hop_that_nobody_timed_is_an_event_without_a_duration() -> None:
    found = told(trace((A, B, C), None, 0.005))
    whole, hop = sorted(found, key=lambda span: len(span.parent_span_id))
    (event,) = whole.events
    assert attributes(event) == {"peerscope.hop": 1, "peerscope.from": A.hex(), "peerscope.to": B.hex()}
    assert attributes(hop)["peerscope.hop"] == 2
    assert whole.start_time_unix_nano <= event.time_unix_nano <= hop.start_time_unix_nano
    assert attributes(whole)["peerscope.latency_known"] is False


def test_a_way_of_which_no_time_is_known_has_its_path_at_least() -> None:
    (whole,) = told(trace((A, B, None, "stranger"), None, None, None))
    assert attributes(whole)["peerscope.path"] == [A.hex(), B.hex(), "?", "stranger"]
    assert len(whole.events) == 3
    assert whole.start_time_unix_nano == whole.end_time_unix_nano


def test_a_message_of_the_node_that_got_lost_is_an_error() -> None:
    (whole, _) = sorted(told(trace((A, B), 0.1, fate="undelivered", layer="node")), key=lambda s: len(s.parent_span_id))
    assert (whole.name, whole.status.code) == ("peerscope.node_message", 2)


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (0.2, 20, 90), (1.0, 250, 250)])
def test_only_a_share_of_messages_is_told(ratio: float, least: int, most: int) -> None:
    found = told(*[trace((A, B), 0.001)] * 250, sample_ratio=ratio)
    whole = [span for span in found if not span.parent_span_id]
    assert least <= len(whole) <= most
    assert len(found) == 2 * len(whole), "whole traces, never parts"


def test_where_traces_go() -> None:
    assert traces_url("http://host:4318") == "http://host:4318/v1/traces"
    assert traces_url("http://host:4318/") == "http://host:4318/v1/traces"
    assert traces_url("https://host/otlp/v1/traces") == "https://host/otlp/v1/traces"


def deliver(agent: Agent, count: int) -> None:
    def note() -> None:
        for _ in range(count):
            agent.monitor.traffic.note(Delivered((A, B), (1500,)))

    agent.loop.call(note)


def exporting(state: Path, url: str) -> Any:
    return running(state, export={"otlp": {"endpoint": url, "sample_ratio": 1.0}})


def test_an_agent_tells_what_reached_it_and_who_it_is(tmp_path: Path) -> None:
    with receiving(lambda _: OK) as collector:
        with exporting(tmp_path, collector.url) as agent:
            deliver(agent, 3)
            peer_id = agent.peer_id
        assert len([span for span in spans(collector) if not span.parent_span_id]) == 3
        (resource,) = {
            tuple(sorted((one.key, one.value.string_value) for one in part.resource.attributes))
            for asked in collector.taken
            for part in ExportTraceServiceRequest.FromString(asked.body).resource_spans
        }
    about = dict(resource)
    assert about["service.name"] == "peerscope"
    assert about["service.instance.id"] == peer_id
    assert about["service.namespace"] == "peerscope"


def fails(_: Any) -> tuple[int, dict[str, str]]:
    return 503, {}


@pytest.mark.parametrize("answers", [fails, None], ids=["one that fails", "nobody there"])
def test_a_receiver_that_does_not_take_traces_costs_nothing_else(
    tmp_path: Path, answers: Callable[[Any], Any] | None
) -> None:
    # For good: its thread tries again for some seconds, and would speak into the logs of the tests after this one.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    with receiving(answers or fails) as collector:
        url = collector.url if answers else "http://127.0.0.1:1"
        with exporting(tmp_path, url) as agent:
            deliver(agent, 5000)
            assert agent.monitor.exports.otlp is not None
            assert agent.monitor.exports.otlp.exported == 5000
