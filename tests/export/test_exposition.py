"""/metrics: what scrapers of either format read, whatever other peers say of themselves."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

from ledgers import Book
from live import Agent, client, running, until
from maps import HOSTILE, join, tell
from peerscope.export.families import OF_A_PEER, OF_THE_NETWORK
from peerscope.records.identity import Identity, ref
from peerscope.views.metrics import AgentView, NodeMetricsView, PerformanceView, SystemView
from peerscope.views.regions import REGIONS_MAX
from peerscope.views.window import METRICS

Need = Callable[[str], str]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running(tmp_path_factory.mktemp("agent"), peer={"region": "eu-west"}) as agent:
        yield agent


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One that knows hostile peers, and more regions than are shown, and tells of everybody."""
    with running(tmp_path_factory.mktemp("crowded"), export={"per_peer": True}) as agent:
        agent.loop.call(crowd, agent)
        yield agent


def crowd(agent: Agent) -> None:
    now, ledger = time.monotonic(), agent.monitor.peer.ledger
    strangers = tuple(Identity(number.to_bytes(32, "big")) for number in range(1, 131))
    book = Book(ledger, strangers)
    for number in range(130):
        name = HOSTILE[number % len(HOSTILE)] if number < 10 else f"region {number}"
        clean = "".join(letter for letter in name if letter.isprintable())[:64]
        join(book, number, at=now, region=clean, node=clean, node_id=str(number))
        tell(book, number, [(number + 1) % 130], at=now)


def page(agent: Agent, accept: str = "", **headers: str) -> tuple[str, str]:
    """The text and its media type."""
    with client(agent) as asking:
        answer = asking.get("/metrics", headers={"accept": accept, **headers})
    assert answer.status_code == 200
    return answer.text, answer.headers["content-type"]


def families(agent: Agent) -> dict[str, Metric]:
    return {family.name: family for family in parser.text_string_to_metric_families(page(agent)[0])}


def series(agent: Agent) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(agent).values()
        for sample in family.samples
    }


@pytest.mark.tools
@pytest.mark.parametrize("who", ["agent", "crowded"])
def test_promtool_has_nothing_to_say(need: Need, request: pytest.FixtureRequest, who: str) -> None:
    text, _ = page(request.getfixturevalue(who))
    checked = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,application/xml;q=0.9", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text"),
    ],
)
def test_the_scraper_chooses_the_format(agent: Agent, accept: str, media_type: str) -> None:
    text, told = page(agent, accept)
    assert told.startswith(media_type)
    assert text.endswith("# EOF\n") == ("openmetrics" in media_type)


@pytest.mark.parametrize("who", ["agent", "crowded"])
def test_both_formats_say_the_same(request: pytest.FixtureRequest, who: str) -> None:
    one = request.getfixturevalue(who)
    known = {name for name, _ in series(one)}  # first: more may come, such as the size of the history
    strict = list(openmetrics_parser.text_string_to_metric_families(page(one, OPENMETRICS)[0]))
    assert {sample.name for family in strict for sample in family.samples} >= known
    assert all(family.documentation for family in strict)


def test_a_page_is_packed_for_who_can_unpack_it(agent: Agent) -> None:
    with client(agent) as asking:
        packed, plain = (asking.get("/metrics", headers={"accept-encoding": one}) for one in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < len(plain.text) / 4
    assert packed.text.startswith("# HELP peerscope_build_info")


def test_names_keep_to_the_conventions(crowded: Agent) -> None:
    for name, family in families(crowded).items():
        assert name.startswith("peerscope_"), name
        assert all(sample.name.endswith("_total") for sample in family.samples) == (family.type == "counter"), name
        assert "peer" not in {label for sample in family.samples for label in sample.labels}, name


def test_this_peer_tells_of_itself(agent: Agent) -> None:
    found, me = families(agent), agent.monitor.self_view()
    (about,) = found["peerscope_agent_info"].samples
    assert about.labels == {"peer_id": me.peer_id, "network": "peerscope", "region": "eu-west"}
    states = {sample.labels["status"]: sample.value for sample in found["peerscope_status"].samples}
    assert sum(states.values()) == 1
    assert {sample.labels["check"] for sample in found["peerscope_check_ratio"].samples} <= {
        "cpu", "memory", "storage", "network", "p2p"
    }  # fmt: skip
    assert found["peerscope_host_memory_size_bytes"].samples[0].value > 1e8
    assert found["peerscope_network_peers"].samples[0].labels == {"status": "healthy"}


def test_what_nobody_measured_is_left_out(agent: Agent) -> None:
    """It is alone, and has no node: no link has a time, nothing is known of a node."""
    names = set(families(agent))
    assert "peerscope_network_connectivity_ratio" not in names
    assert not {name for name in names if "rtt" in name or name.startswith("peerscope_node_")}
    assert not {name for name in names if name.startswith("peerscope_peer_")}, "every peer only where it is wanted"
    assert "NaN" not in page(agent)[0]


def test_counters_only_grow(agent: Agent) -> None:
    before = series(agent)
    until(lambda: series(agent)[("peerscope_uptime_seconds", frozenset())] > 3, "time has passed")
    after = series(agent)
    counters = [key for key in before if key[0].endswith(("_total", "_bucket", "_count", "_sum"))]
    assert len(counters) > 20
    assert [key for key in counters if after[key] < before[key]] == []


def test_what_others_invent_does_not_grow_the_page_without_bound(agent: Agent, crowded: Agent) -> None:
    own = {key for key in series(crowded) if not key[0].startswith("peerscope_peer_")}
    regions = {dict(labels)["region"] for name, labels in own if name.startswith("peerscope_region_")}
    assert len(regions) == REGIONS_MAX
    of_regions = [key for key in own if key[0].startswith("peerscope_region_")]
    assert len(of_regions) <= REGIONS_MAX * 11
    assert len(own) - len(of_regions) < len(series(agent)) + 40


def test_every_peer_is_told_of_where_that_is_wanted(crowded: Agent) -> None:
    found = families(crowded)
    infos = [sample.labels for sample in found["peerscope_peer_info"].samples]
    assert len(infos) == 131
    strangers = {info["region"] for info in infos}
    assert '<img src=x onerror="alert(1)">' in strangers
    assert 'quote " and \\ and \\N and \\" end \\' in strangers
    assert all(info["subject"] == info["peer_id"][:16] for info in infos)
    ups = {sample.labels["subject"]: sample.value for sample in found["peerscope_peer_up"].samples}
    assert ups[ref(crowded.monitor.peer.me).hex()] == 1
    states = [sample for sample in found["peerscope_peer_status"].samples if sample.value == 1]
    assert len(states) == len(infos)
    cpus = {sample.labels["subject"] for sample in found["peerscope_peer_host_cpu_ratio"].samples}
    assert cpus == {ref(crowded.monitor.peer.me).hex()}, "the others told no metrics"


def test_a_token_guards_it(tmp_path: Path) -> None:
    with running(tmp_path, web={"token": "0123456789abcdef"}) as guarded, client(guarded) as asking:
        for path in ("/metrics", "/api/v1/sd/prometheus"):
            assert asking.get(path).status_code == 401
            assert asking.get(path, headers={"authorization": "Bearer 0123456789abcdef"}).status_code == 200


def test_everything_that_is_measured_has_a_name() -> None:
    """What follows from others is left out: ratios of a size, rates of a counter."""
    derived = {("system", name) for name in ("memory_ratio", "disk_ratio", "received_bytes_s", "sent_bytes_s")}
    parts = {"system": SystemView, "node": NodeMetricsView, "performance": PerformanceView, "agent": AgentView}
    measured = {(part, field) for part, view in parts.items() for field in view.__struct_fields__}
    assert {(name.part, name.field) for name in OF_A_PEER} == measured - derived
    assert {(name.part, name.field) for name in OF_THE_NETWORK} == {(one.part, one.name) for one in METRICS}
    for names in (OF_A_PEER, OF_THE_NETWORK):
        assert len({name.metric for name in names}) == len(names)
