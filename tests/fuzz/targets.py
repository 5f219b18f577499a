"""Fuzz targets: each takes bytes from outside as the agent does, and fails on anything but an answer or a refusal.

A target raises only if there is a bug. What may be refused, is refused with the error that the module promises.
"""

import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fuzz.inputs import corpus
from ledgers import WALL_S
from peerscope.config import Config
from peerscope.crawl import bencode
from peerscope.crawl.bittorrent import MainlineCrawl, MainlineOptions
from peerscope.crawl.dht_client import DhtClient, PacketCounts, UdpAddress, checked
from peerscope.errors import ConfigError, HistoryError, PeerscopeError, RemoteError, SourceError
from peerscope.history.reader import series_named, span_s
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.mesh.events import Connected, Received
from peerscope.mesh.messages import Hello, decode, encode
from peerscope.mesh.peer import Peer
from peerscope.records.alerts import Acknowledgement, Alerts, Notice, Orders, Silence, Statement
from peerscope.records.bodies import Body, Kind, Observations, Opaque, Report, decode_body, encode_body, kind_of
from peerscope.records.identity import ref, verify_ed25519
from peerscope.records.ledger import Ledger
from peerscope.records.record import Record, verify
from peerscope.sources.events import read_lines
from peerscope.sources.programs import beam
from peerscope.sources.programs.beam import LogFile
from peerscope.sources.programs.yggdrasil import AdminSocket, YggdrasilSource
from peerscope.sources.prometheus import PrometheusSource
from peerscope.sources.telemetry import Telemetry
from peerscope.views.aggregates import network_metrics
from peerscope.views.dot import to_dot
from peerscope.views.evidence import evidence_view
from peerscope.views.health import network_health
from peerscope.views.latency import latency_matrix
from peerscope.views.peers import peer_views
from peerscope.views.regions import RegionConfig, region_health
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from peerscope.views.svg import to_svg
from peerscope.views.topology import topology
from peerscope.views.trends import Trends, look, trend
from peerscope.views.window import Window
from peerscope.web import history as history_routes
from peerscope.web.answers import page
from peerscope.web.guard import Guard
from strategies import IDENTITIES, bodies, messages, names, number, records, refs, texts, tuples_of
from wire import alone, hear

packed = msgspec.msgpack.Encoder().encode
jsoned = msgspec.json.Encoder().encode


class Target(NamedTuple):
    """Bytes from outside, and what takes them."""

    name: str
    run: Callable[[bytes], None]
    valid: st.SearchStrategy[bytes]
    """Inputs that it should understand."""


def refusal(kind: type[Exception], call: Callable[[], object]) -> str | None:
    """What a refusal of the promised kind says; None where nothing was refused."""
    try:
        call()
    except kind as error:
        return str(error)
    return None


# -- what other peers send --


def message(data: bytes) -> None:
    """One message of the wire."""
    try:
        found = decode(data)
    except RemoteError:
        return
    assert decode(encode(found)) == found


def record(data: bytes) -> None:
    """A record of any kind, and its body."""
    try:
        found = msgspec.msgpack.decode(data, type=Record)
        body = verify(found, lambda *_: True)
    except (RemoteError, msgspec.MsgspecError, ValueError, RecursionError):
        return
    assert verify_ed25519(found.peer_id, found.signed_bytes(), found.signature) in (True, False)
    if not isinstance(body, Opaque):
        again = decode_body(found.kind, encode_body(body))
        assert encode_body(again) == encode_body(body)


def conversation(data: bytes) -> None:
    """A list of (who, bytes): what some linked and some unknown peers send to one."""
    peer = _linked()
    for who, said in _pairs(data):
        peer.handle(Received(IDENTITIES[who % 6 + 1].peer_id, said), 1.0)
        peer.tick(1.0)
    peer.tick(1.0)
    assert peer.deadline() > 1.0
    assert len(peer.ledger) < 40


def views(data: bytes) -> None:
    """A list of (who, kind and body): what everybody says of itself must not keep anybody from seeing the others."""
    ledger = Ledger()
    for number_, (who, said) in enumerate(_pairs(data)):
        if not said:
            continue
        kind = said[0] % 6
        try:
            body = decode_body(kind, said[1:])
        except RemoteError:
            continue
        origin = IDENTITIES[who % 8].peer_id
        unsigned = Record(origin, kind, round(WALL_S * 1000) + number_, 0, said[1:], bytes(64))
        ledger.merge(unsigned, body, float(number_ % 7))
    config = SnapshotConfig(wall_offset_s=WALL_S, down_after_s=4.0, by_prefix=True)
    snapshot = Snapshot(ledger, IDENTITIES[0].peer_id, 10.0, config)
    links = topology(snapshot).links
    mesh = [link for link in links if link.layer == "mesh"]
    window, nothing = Window(), Trends(*[trend([], [])] * 3)
    for entry in [entry for peer in ledger for entry in ledger.entries(peer) if entry.record.kind == Kind.REPORT]:
        window.note(entry)
    told = [
        peer_views(snapshot),
        network_health(snapshot, 4, mesh),
        region_health(snapshot, RegionConfig(), 4, mesh),
        latency_matrix(snapshot, mesh),
        network_metrics(snapshot, window, nothing),
        look(snapshot, mesh),
        topology(snapshot),
        [evidence_view(snapshot, peer) for peer in snapshot.peers],
    ]
    msgspec.json.decode(jsoned(told))
    text = to_svg(topology(snapshot)) + to_dot(topology(snapshot), clusters=True)
    assert "\0" not in text


def _linked() -> Peer:
    peer = alone(0, PeerConfig(), seed=2)
    for identity in IDENTITIES[1:4]:
        peer.handle(Connected(identity.peer_id, True), 0.0)
        hear(peer, identity, HELLO, 0.0)
    return peer


def _pairs(data: bytes) -> list[tuple[int, bytes]]:
    try:
        return msgspec.msgpack.decode(data, type=list[tuple[int, bytes]])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


# -- what the node beside us, and its programs, say --


def telemetry(data: bytes) -> None:
    """A batch of NDJSON lines."""
    lines = data.split(b"\n")
    counts: Counter[str] = Counter()
    events, refused = read_lines(lines, 1, counts)
    assert len(events) + len(refused) == sum(bool(line.strip()) for line in lines)
    assert counts.total() == len(refused)
    heard = Telemetry("node")
    assert heard.take(events)
    jsoned([refusal.reason for refusal in refused])


def prometheus(data: bytes) -> None:
    """A page of an exporter."""
    source = copy(KUBO)
    for _ in range(2):
        assert refusal(SourceError, lambda: jsoned(source.reading(data))) != ""


def beam_log(data: bytes) -> None:
    """A log that grows by this."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "log"
        path.write_bytes(b"")
        log = LogFile(path)
        assert list(log.lines()) == []
        with path.open("ab") as file:
            file.write(data)
        found = [beam.parse(line.decode("utf-8", "replace")) for line in log.lines()]
        log.close()
    assert all(request.elapsed_s >= 0 for request in found if request)


ASKED = UdpAddress(ip_address("127.0.0.1"), 6881)


def dht_packet(data: bytes) -> None:
    """A packet from a node of the BitTorrent DHT that a crawl has asked."""
    client = DhtClient(PacketCounts(), 1.0)
    client.datagram_received(data, ("127.0.0.1", 6881))
    crawl = MainlineCrawl({4: client, 6: client}, MainlineOptions(), Walk([ASKED], WalkConfig(), 0.0))
    with contextlib.suppress(RemoteError):
        message = bencode.decode(data)
        if isinstance(message, dict):
            found = crawl.read(ASKED, checked(message))
            assert all(0 < place.port < 65536 and len(identity) == 20 for place, identity in found)
            assert len(crawl.versions.get(ASKED, "")) <= 32


KUBO = PrometheusSource("http://127.0.0.1:1/metrics#kubo")


class Told(AdminSocket):
    """A node whose answers are known beforehand."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        super().__init__("somewhere")
        self._answers = answers

    async def _exchange(self, question: bytes) -> bytes:
        request = json.loads(question)["request"]
        return self._answers[("getself", "getpeers", "getdht").index(request) % len(self._answers)]


def yggdrasil(data: bytes) -> None:
    """Three answers of an admin socket, parted by a zero byte."""
    source = YggdrasilSource("somewhere")
    source._admin = Told(data.split(b"\0"))
    for _ in range(2):
        assert refusal(PeerscopeError, lambda: jsoned(asyncio.run(source.read()))) != ""


# -- what operators and browsers say --


def config_file(data: bytes) -> None:
    """A settings file."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "peerscope.toml"
        path.write_bytes(data)
        told = refusal(ConfigError, lambda: Config.load(path, environment={}).core())
    assert told is None or told.startswith(str(path))


def config_environment(data: bytes) -> None:
    """Variables NAME=VALUE, parted by zero bytes as in /proc/PID/environ."""
    pairs = [pair.partition("=") for pair in data.decode("utf-8", "surrogateescape").split("\0")]
    told = refusal(ConfigError, lambda: Config.load(environment={name: value for name, _, value in pairs}))
    assert told is None or told.startswith("environment: ")


def query(data: bytes) -> None:
    """The parameters of a request for history, and of one for a page of a list."""
    asked = _request(data)
    parameters = asked.query_params
    since, step, metric = (parameters.get(name, "") for name in ("since", "step", "metric"))
    told = [
        refusal(HTTPException, lambda: page(asked, ["a", "b", "c"], str)),
        refusal(HTTPException, lambda: history_routes.since_s(since, round(WALL_S))),
        refusal(HTTPException, lambda: history_routes._seconds(step, "step")),
    ]
    assert all(text is None or text.startswith("400: ") for text in told)
    assert (span_s(since) or 1) > 0
    assert refusal(HistoryError, lambda: series_named(metric)) != ""


def request(data: bytes) -> None:
    """Headers of a request, a line each, at the guard's door."""
    statuses = asyncio.run(_at_the_door(data))
    assert statuses in ([200], [401], [403], [421], [429])


async def _at_the_door(data: bytes) -> list[int]:
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def sending(told: Any) -> None:
        if told["type"].endswith("response.start"):
            statuses.append(told["status"])

    guard = Guard(app, hosts=("peers.example.org",), token=lambda: "0123456789abcdef", routes=())
    await guard(_request(data).scope, None, sending)  # type: ignore[arg-type]
    return statuses


def _request(data: bytes) -> Request:
    """The first line is the query, the others are headers."""
    first, *lines = data.split(b"\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope = {"type": "http", "method": "GET", "path": "/api/v1/x", "query_string": first, "headers": headers}
    return Request(scope | {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "scheme": "http"})


# -- right inputs --

HELLO = Hello(1, 1, "peerscope", b"", 1_700_000_000_000)
_ms, _severity = number(2**40), number(3)
_alerts: st.SearchStrategy[Body] = st.builds(
    Alerts,
    tuples_of(
        st.builds(
            Statement, names, names, _severity, _ms, st.none() | _ms, st.booleans(), st.none() | texts,
            tuples_of(st.tuples(names, names), 3), tuples_of(refs, 3), st.none() | number(10_000),
        ),
        3,
    ),
    tuples_of(st.builds(Notice, names, _ms, _severity), 3),
    number(5),
)  # fmt: skip
_orders: st.SearchStrategy[Body] = st.builds(
    Orders,
    tuples_of(st.builds(Silence, st.just("0123abcd"), st.just((("rule", "cpu*"),)), _ms, _ms, names, texts), 2),
    tuples_of(st.builds(Acknowledgement, names, _ms, names, texts), 2),
)
_bodies = bodies | _alerts | _orders


def _of_each_other(body: Body) -> Body:
    """The same links and accusations, but with and against peers that there are."""
    near = [ref(identity.peer_id) for identity in IDENTITIES[:8]]
    match body:
        case Report():
            links = tuple(replace(link, peer=near[link.peer[0] % 8]) for link in body.links)
            return replace(body, links=links)
        case Observations():
            return Observations(tuple(replace(lost, subject=near[lost.subject[0] % 8]) for lost in body.lost))
    return body


def _stating(record: Record, body: Body) -> Record:
    return replace(record, kind=int(kind_of(body)), body=encode_body(body))


_said = _bodies.map(_of_each_other).map(lambda body: bytes((kind_of(body),)) + encode_body(body))
_ascii = st.text(st.characters(max_codepoint=127, exclude_categories=("Cc",)), max_size=80)
_toml = st.dictionaries(
    st.sampled_from(sorted(name for name in Config.__struct_fields__)),
    st.dictionaries(
        st.sampled_from(("listen", "token", "join", "name", "secret", "interval_s", "cpu", "x", "tls_cert", "sources")),
        st.integers() | st.floats() | st.booleans() | _ascii | st.lists(_ascii, max_size=2),
        max_size=4,
    ),
    max_size=3,
)  # fmt: skip


def _as_toml(sections: dict[str, dict[str, Any]]) -> bytes:
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines).encode()


def _as_environment(sections: dict[str, dict[str, Any]]) -> bytes:
    return "\0".join(
        f"PEERSCOPE_{section.upper()}__{key.upper()}={value}"
        for section, values in sections.items()
        for key, value in values.items()
    ).encode("utf-8", "surrogateescape")


def _lines_of(target: str) -> st.SearchStrategy[bytes]:
    """Whole lines of what is kept, in any order."""
    lines = sorted({line for data in corpus(target) for line in data.split(b"\n")})
    return st.lists(st.sampled_from(lines), max_size=12).map(b"\n".join)


def _pairs_of(said: st.SearchStrategy[bytes], most: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(number(11), said), max_size=most).map(packed)


def _targets() -> dict[str, Target]:
    valid: dict[Callable[[bytes], None], st.SearchStrategy[bytes]] = {
        message: messages.map(encode),
        record: st.builds(_stating, records, _bodies).map(packed),
        conversation: _pairs_of(messages.map(encode), 12),
        views: _pairs_of(_said, 20),
        telemetry: _lines_of("telemetry"),
        prometheus: _lines_of("prometheus"),
        beam_log: _lines_of("beam_log"),
        dht_packet: st.sampled_from(corpus("dht_packet")),
        yggdrasil: st.sampled_from(corpus("yggdrasil")),
        config_file: _toml.map(_as_toml),
        config_environment: _toml.map(_as_environment),
        query: _lines_of("query"),
        request: _lines_of("request"),
    }  # fmt: skip
    return {run.__name__: Target(run.__name__, run, right) for run, right in valid.items()}


TARGETS = _targets()
