"""Our exports beside the programs that take them: scraped, written, sent as traces and as alerts."""

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from demo_network import eventually, free_address
from interop.comparison import Comparison, Find, Row, pinned, same
from interop.nodes import read
from letters import letter
from live import Agent, client, running
from notices import alert
from peerscope.errors import DeliveryError
from peerscope.export.config import OtlpConfig
from peerscope.export.otlp import Otlp
from peerscope.export.wire import encode
from peerscope.host.secret_files import Secret
from peerscope.notify.http import Alertmanager
from peerscope.notify.settings import AlertmanagerConfig
from peerscope.records.identity import PeerRef
from peerscope.views.traces import Trace
from stores import CurrentPrometheus, CurrentVictoriaMetrics, Store

PATIENCE_S = 60
PROTOCOLS = ("PrometheusText0.0.4", "PrometheusText1.0.0", "OpenMetricsText0.0.1", "OpenMetricsText1.0.0")
HISTOGRAM = "peerscope_gossip_push_hops"
WRITE_S = 6
SETTLE_S = 15
PROMETHEUS = ("prometheus", "github.com/prometheus/prometheus")
VICTORIA = ("victoria-metrics", "github.com/VictoriaMetrics/VictoriaMetrics")


def prometheus(find: Find, place: Path) -> Comparison | None:
    """It scrapes an agent in every format, finds it by itself, and takes its samples."""
    if find(CurrentPrometheus.program) is None:
        return None
    store = CurrentPrometheus(_present(find), place)
    with _pair(place) as agent:
        (place / "prometheus.yml").write_text(json.dumps(_scrapes(agent)))  # JSON is YAML
        store.start()
        try:
            rows = list(_scraped(store, agent))
            rows += _written(store, place / "writer")
            rows += _other_ways(store, "/api/v1/otlp/v1/traces")
            rows += _named_in_utf8(store, place)
        finally:
            store.stop()
    compared = "scrapes in four formats, discovery, native histograms, remote write, OTLP"
    version = re.sub(r"^0\.3", "3.", pinned(*PROMETHEUS))  # release 3.16 is the module 0.316
    return Comparison("Prometheus", version, compared, rows)


def victoria_metrics(find: Find, place: Path) -> Comparison | None:
    """It takes an agent's samples."""
    if find(CurrentVictoriaMetrics.program) is None:
        return None
    store = CurrentVictoriaMetrics(_present(find), place)
    store.start()
    try:
        rows = _written(store, place / "writer")
        rows += _other_ways(store, "/opentelemetry/v1/traces")
    finally:
        store.stop()
    return Comparison("VictoriaMetrics", pinned(*VICTORIA), "remote write, OTLP", rows)


def alertmanager(find: Find, place: Path) -> Comparison | None:
    """It takes an alert of ours from two senders, and its end."""
    program = find("alertmanager")
    if program is None:
        return None
    (place / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    address = free_address()
    command = [program, f"--config.file={place / 'config.yml'}", f"--storage.path={place}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with (place / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://{address}"
    try:
        eventually(lambda: _alerts(url) == [], "it answers", within_s=PATIENCE_S)
        rows = _alarmed(url)
    finally:
        process.terminate()
        process.wait(timeout=30)
    return Comparison("Alertmanager", pinned("alertmanager", "github.com/prometheus/alertmanager"), "alerts", rows)


def collector(find: Find, place: Path) -> Comparison | None:
    """An OpenTelemetry collector prints the traces that it takes."""
    program = find("otelcol")
    if program is None:
        return None
    address, log = free_address(), place / "otelcol.log"
    pipeline = {"receivers": ["otlp"], "exporters": ["debug"]}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": address}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {"pipelines": {"traces": pipeline}, "telemetry": {"metrics": {"level": "none"}}},
    }
    (place / "otelcol.yml").write_text(json.dumps(config))
    with log.open("wb") as output:
        process = subprocess.Popen([program, "--config", str(place / "otelcol.yml")], stdout=output, stderr=output)
    try:
        eventually(
            lambda: "Everything is ready" in log.read_text(), lambda: log.read_text()[-2000:], within_s=PATIENCE_S
        )
        rows = _traced(f"http://{address}", log)
    finally:
        process.terminate()
        process.wait(timeout=30)
    version = pinned("otelcol", "go.opentelemetry.io/collector/receiver/otlpreceiver")
    return Comparison("OpenTelemetry collector", version, "OTLP traces", rows)


def _traced(url: str, log: Path) -> list[Row]:
    one, two, three = (PeerRef(letter * 8) for letter in (b"a", b"b", b"c"))
    traces = [
        Trace("mesh", (one, two, three), (0.020, 0.005), 0.025, "delivered"),
        Trace("mesh", (one, two, three), (None, 0.005), None, "delivered"),
        Trace("node", (one, two), (0.1,), 0.1, "undelivered"),
    ]
    otlp = Otlp(OtlpConfig(endpoint=url, sample_ratio=1.0), {"service.instance.id": "me"})
    for each in traces:
        otlp.export(each)
    otlp.close()
    spans = 3 + 2 + 2  # a span for each message, and one for each hop of known duration
    return [
        _settled("spans", lambda: spans, lambda: log.read_text().count("Span #")),
        _settled("hops of unknown duration, as events", lambda: 1, lambda: log.read_text().count("SpanEvent #")),
        _settled("messages that got lost", lambda: 1, lambda: log.read_text().count("Status code    : Error")),
        _settled(
            "instance", lambda: "me" in log.read_text(), lambda: "service.instance.id: Str(me)" in log.read_text()
        ),
    ]


def _present(find: Find) -> Any:
    return find


@contextlib.contextmanager
def _pair(place: Path) -> Iterator[Agent]:
    """Two agents of one mesh, which a third one has left; the first one."""
    with running(place / "one", export={"per_peer": True, "address": "127.0.0.1"}) as agent:
        join = [agent.monitor.self_view().ticket]
        with running(place / "two", peer={"join": join}):
            with running(place / "three", peer={"join": join}) as third:
                names = (agent.peer_id, third.peer_id)
                eventually(lambda: all(name in _peers(agent) for name in names), "it joined", within_s=PATIENCE_S)
            yield agent


def _peers(agent: Agent) -> str:
    with client(agent) as asking:
        return asking.get("/api/v1/peers").text


def _settled(about: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Row:
    """Both change, and theirs is some seconds late: they must be equal at some time."""
    end = time.monotonic() + SETTLE_S
    while not (row := same(about, ours(), theirs())).is_same and time.monotonic() < end:
        time.sleep(0.5)
    return row


def _scrapes(agent: Agent) -> dict[str, Any]:
    target = [{"targets": [agent.http.removeprefix("http://")]}]
    jobs: list[dict[str, Any]] = [
        {"job_name": protocol, "scrape_protocols": [protocol], "static_configs": target} for protocol in PROTOCOLS
    ]
    jobs.append({"job_name": "native", "convert_classic_histograms_to_nhcb": True, "static_configs": target})
    discovery = [{"url": f"{agent.http}/api/v1/sd/prometheus", "refresh_interval": "1s"}]
    jobs.append({"job_name": "discovered", "http_sd_configs": discovery})
    return {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}


def _scraped(store: Store, agent: Agent) -> Iterator[Row]:
    def value(expression: str) -> float | None:
        found = store.query(expression)
        return float(found[0]["value"][1]) if found else None

    for job in (*PROTOCOLS, "native", "discovered"):
        eventually(lambda job=job: value(f'up{{job="{job}"}}') == 1, f"{job} is scraped", within_s=PATIENCE_S)
    with client(agent) as asking:

        def page(accept: str = "text/plain") -> str:
            return asking.get("/metrics", headers={"accept": accept}).text

        def samples(accept: str) -> int:
            return sum(1 for line in page(accept).splitlines() if line and not line.startswith("#"))

        for job in PROTOCOLS:
            accept = "application/openmetrics-text" if job.startswith("Open") else "text/plain"
            yield _settled(
                f"samples of /metrics as {job}",
                lambda accept=accept: samples(accept),
                lambda job=job: int(value(f'scrape_samples_scraped{{job="{job}"}}') or 0),
            )
        yield _settled(
            "healthy peers",
            lambda: asking.get("/api/v1/health").json()["healthy_peers"],
            lambda: value('peerscope_network_peers{status="healthy", job="native"}'),
        )
        for what in ("count", "sum"):
            yield _settled(
                f"hops of urgent news as a native histogram: {what}",
                lambda what=what: float(page().split(f"{HISTOGRAM}_{what} ")[1].split("\n")[0]),
                lambda what=what: value(f'histogram_{what}({HISTOGRAM}{{job="native"}})'),
            )
        yield _settled(
            "agents that discovery lists",
            lambda: len(asking.get("/api/v1/sd/prometheus").json()),
            lambda: len(store.query('up{job="discovered"}')),
        )


def _written(store: Store, place: Path) -> list[Row]:
    """An agent writes for some seconds, and ends its series."""
    export = {"remote_write": {"url": store.write_url, "interval_s": 1}}
    with running(place, export=export) as agent:
        writing = agent.monitor.exports.remote_write
        assert writing is not None
        end = time.monotonic() + WRITE_S
        eventually(lambda: time.monotonic() > end and writing.samples["sent"] > 0, "it writes", within_s=PATIENCE_S)
    match = f'{{peer="{agent.peer_id[:16]}"}}'

    def stored() -> int:
        """Samples, and the marks that end the series, which Prometheus does not show."""
        found = store.samples(match)  # type: ignore[attr-defined]
        is_over = isinstance(store, CurrentPrometheus) and store.query(match) == []
        return sum(map(len, found.values())) + len(found) * is_over

    return [
        _settled("remote write 1.0: samples and ends of series", lambda: writing.samples["sent"], stored),
        same("remote write 1.0: samples refused", writing.samples["refused"], 0),
    ]


def _other_ways(store: Store, traces: str) -> list[Row]:
    """Traces go to other programs: both stores take metrics only."""
    body = ExportTraceServiceRequest().SerializeToString()
    request = urllib.request.Request(store.url + traces, body, {"Content-Type": "application/x-protobuf"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return [Row("OTLP: traces, which it does not take", "refusal expected", str(status), status >= 400)]


def _named_in_utf8(store: Store, place: Path) -> list[Row]:
    """Our source reads a page of it on which other names are in UTF-8, or escaped."""
    now_ms = round(time.time() * 1000)
    samples = [((("__name__", "möwen.1 {"), ("länge", 'a"\n')), 1.0), ((("__name__", "my_peers"),), 7.0)]
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    urllib.request.urlopen(
        urllib.request.Request(store.write_url, encode(samples, now_ms), headers), timeout=20
    ).close()
    mapping = place / "mapping.toml"
    mapping.write_text('node = "mine"\n[metrics]\np2p_peers = [{series = "my_peers"}]\n')
    url = f"{store.url}/federate?match[]={{__name__=~%22m.*%22}}"
    escaped = read(f"prometheus:{url}#{mapping}")
    asked = urllib.request.Request(url, headers={"Accept": "text/plain;version=1.0.0;escaping=allow-utf-8"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        page = answer.read()
    assert '{"möwen.1 {"'.encode() in page
    with _serving(page) as again:
        plain = read(f"prometheus:{again}#{mapping}")
    return [
        same("`prometheus`: a value beside names that it escapes for us", escaped.metrics.p2p_peers, 7),
        same("`prometheus`: a value beside names in UTF-8", plain.metrics.p2p_peers, 7),
    ]


@contextlib.contextmanager
def _serving(page: bytes) -> Iterator[str]:
    """URL of a server that has one page."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=1.0.0; escaping=allow-utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _alarmed(url: str) -> list[Row]:
    at = time.time()
    fires = alert("cpu-high-01", started_at=at - 60)
    channel = Alertmanager("am", AlertmanagerConfig(kind="alertmanager", url=Secret(url)))
    for _ in range(2):
        channel.deliver(letter("firing", at=at, alerts=(fires,), started_at=at - 60))
    (active,) = _alerts(url)
    rows = [
        same("firing: id", fires.id, active["labels"]["id"]),
        same("firing: severity", fires.severity, active["labels"]["severity"]),
        same("the same alert twice", 1, len(_alerts(url))),
    ]
    over = replace(fires, state="resolved", resolved_at=at)
    channel.deliver(letter("resolved", at=at, alerts=(over,), started_at=at - 60))
    eventually(lambda: _alerts(url) == [], "it is over", within_s=PATIENCE_S)
    rows.append(same("active after it resolved", 0, len(_alerts(url))))
    wrong = Alertmanager("am", AlertmanagerConfig(kind="alertmanager", url=Secret(f"{url}/wrong")))
    try:
        wrong.deliver(letter("firing", at=at, alerts=(fires,), started_at=at - 60))
    except DeliveryError as error:
        rows.append(Row("a wrong path", "reported", str(error)[:60], True))
    else:
        rows.append(Row("a wrong path", "reported", "taken", False))
    return rows


def _alerts(url: str) -> list[dict[str, Any]] | None:
    try:
        with urllib.request.urlopen(f"{url}/api/v2/alerts?active=true", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except OSError:
        return None
