"""Every metric of a peer is in its own unit: in the drawer, and in the terminal."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from live import Agent, running
from peerscope.cli.metrics import lines, written
from peerscope.views.metrics import AgentView, NodeMetricsView, PerformanceView, SystemView

pytestmark = pytest.mark.browser
PARTS = {"system": SystemView, "node": NodeMetricsView, "performance": PerformanceView, "agent": AgentView}
FIELDS = {(part, name) for part, view in PARTS.items() for name in view.__struct_fields__}
RATES = {("system", "received_bytes_s"), ("system", "sent_bytes_s"), ("performance", "throughput_bytes_s")}
SIZES = {
    *(("system", f"{what}_bytes") for what in ("memory_used", "memory_total", "disk_used", "disk_total")),
    *((part, f"{way}_bytes") for part in ("system", "node") for way in ("received", "sent")),
    ("agent", "rss_bytes"),
}
TIMES = {("performance", "average_latency_s"), ("agent", "lag_s")}
RATIOS = {
    *(("system", f"{what}_ratio") for what in ("cpu", "memory", "disk")),
    *(("performance", "error_ratio"), ("agent", "cpu_ratio"), ("agent", "anomaly_ratio")),
}
COUNTS = {
    ("system", "connections"),
    *(("node", name) for name in NodeMetricsView.__struct_fields__ if "bytes" not in name),
    *(("agent", "queued"), ("agent", "dropped")),
}
SHOWN = {"KiB/s": RATES, "KiB": SIZES, "ms": TIMES, "%": RATIOS, "": COUNTS}
"""Fields by the unit of their values below."""
VALUES = {"KiB/s": 86_905, "KiB": 86_905, "ms": 0.0421, "%": 0.25, "": 42}
FORMATTED = """async (rows) => {
  const { metric } = await import("/static/format.js");
  return rows.map(([name, value]) => metric(name, value));
}"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path_factory.mktemp("units")) as agent:
        yield agent


def unit(text: str) -> str:
    return "".join(letter for letter in text if letter not in "0123456789.,- ")


def test_each_field_has_one_unit() -> None:
    assert set().union(*SHOWN.values()) == FIELDS
    assert sum(map(len, SHOWN.values())) == len(FIELDS)


def test_every_metric_has_its_unit_in_the_drawer_and_in_the_terminal(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    rows = [(name, right) for right, fields in SHOWN.items() for _, name in sorted(fields)]
    shown = open_page(agent.http).evaluate(FORMATTED, [[name, VALUES[right]] for name, right in rows])
    assert {(name, unit(text)) for (name, _), text in zip(rows, shown, strict=True)} == set(rows)
    assert {(name, unit(written(name, VALUES[right]))) for name, right in rows} == set(rows)


def test_a_total_and_its_rate_have_two_labels(agent: Agent, open_page: Callable[..., Page]) -> None:
    page = open_page(agent.http)
    page.get_by_test_id(f"peer-row-{agent.peer_id}").click()
    labels = page.get_by_test_id("drawer").locator("dl.metrics dt")
    labels.get_by_text("system · received per second", exact=True).wait_for()
    texts = labels.all_inner_texts()
    assert len(set(texts)) == len(texts)
    assert {"system · received", "system · sent per second", "performance · throughput"} <= set(texts)
    system = dict.fromkeys(SystemView.__struct_fields__, 1)
    names = [
        one.rpartition(" ")[0] for one in dict(lines({**dict.fromkeys(PARTS), "system": system}))["system"].split(", ")
    ]
    assert len(set(names)) == len(names)


def test_one_is_no_plural(agent: Agent, open_page: Callable[..., Page]) -> None:
    script = """async () => {
  const { counted } = await import("/static/format.js");
  return [0, 1, 2, null].map((value) => counted(value, "peer"));
}"""
    assert open_page(agent.http).evaluate(script) == ["0 peers", "1 peer", "2 peers", "– peers"]
