"""Exports paths of messages as OpenTelemetry traces: one trace per message, one span per hop of known duration.

Each peer exports the messages that reached it. Only durations are known, since peers never compare clocks. So spans are
laid end to end, backwards from the moment of arrival. A hop of unknown duration is an event in the trace's own span and
takes no time; the trace then has `peerscope.latency_known` false.
"""

from __future__ import annotations

import time
from itertools import pairwise
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from peerscope.export.config import OtlpConfig
from peerscope.host.version import __version__
from peerscope.views.traces import Stop, Trace

TIMEOUT_S = 5
PATH = "/v1/traces"
NAMES = {"mesh": "peerscope.gossip", "node": "peerscope.node_message"}


class Otlp:
    """Sends traces to one OTLP receiver. The SDK batches them in a thread of its own, within limits."""

    def __init__(self, config: OtlpConfig, resource: dict[str, str]) -> None:
        """`resource`: attributes of this peer."""
        self.exported = 0
        """Messages that were sampled and exported."""
        exporter = OTLPSpanExporter(traces_url(config.endpoint), timeout=TIMEOUT_S)
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(config.sample_ratio),
            resource=Resource.create({"service.name": "peerscope", "service.version": __version__, **resource}),
            shutdown_on_exit=False,  # at exit it would wait for a receiver that does not answer
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("peerscope", __version__)

    def export(self, trace: Trace) -> None:
        """Export a message that has just arrived, or whose path has just ended otherwise."""
        ends_ns = time.time_ns()
        hops = list(zip(pairwise(trace.path), trace.hops_s, strict=True))
        starts_ns = ends_ns - sum(_ns(hop_s) for _, hop_s in hops)
        attributes: dict[str, AttributeValue] = {
            "peerscope.layer": trace.layer,
            "peerscope.fate": trace.fate,
            "peerscope.hops": len(hops),
            "peerscope.path": [_name(stop) for stop in trace.path],
            "peerscope.latency_known": all(hop_s is not None for hop_s in trace.hops_s),
        }
        whole = self._tracer.start_span(
            NAMES[trace.layer], attributes=attributes, kind=SpanKind.CONSUMER, start_time=starts_ns
        )
        if not whole.is_recording():
            return
        self.exported += 1
        inside, at_ns = set_span_in_context(whole), starts_ns
        for number, ((source, target), hop_s) in enumerate(hops, start=1):
            ends: dict[str, AttributeValue] = {
                "peerscope.hop": number,
                "peerscope.from": _name(source),
                "peerscope.to": _name(target),
            }
            if hop_s is None:
                whole.add_event("peerscope.hop", ends, at_ns)
            else:
                span = self._tracer.start_span("peerscope.hop", inside, attributes=ends, start_time=at_ns)
                at_ns += _ns(hop_s)
                span.end(at_ns)
        if trace.fate == "undelivered":
            whole.set_status(Status(StatusCode.ERROR, "received and neither passed on nor delivered"))
        whole.end(ends_ns)

    def close(self) -> None:
        """Send the last batch. Waits for the receiver, so call it in a thread."""
        self._provider.shutdown()


def traces_url(endpoint: str) -> str:
    """The URL for traces: `endpoint` itself if it has a path, else with the standard path of OTLP."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + PATH


def _ns(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1e9)


def _name(stop: Stop) -> str:
    """The first 8 bytes of a peer's id, the name of a stranger, or "?" for an unknown stop."""
    return "?" if stop is None else stop if isinstance(stop, str) else stop.hex()
