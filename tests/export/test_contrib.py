"""What contrib/ holds for operators, as far as it can be checked without a network; the rest is in tests/e2e."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import client, running, until
from peerscope.export.config import RemoteWriteConfig
from peerscope.export.names import OF_A_PEER, OF_THE_NETWORK
from peerscope.export.spool import BLOCK_BYTES
from stores import Prometheus

CONTRIB = Path(__file__).parents[2] / "contrib"
DOCS, SOURCES = CONTRIB.parent / "docs", CONTRIB.parent / "src" / "peerscope"
RULES = CONTRIB / "prometheus" / "peerscope-rules.yml"
Need = Callable[[str], str]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads((CONTRIB / "grafana" / "peerscope.json").read_text("utf-8"))


def promtool(need: Need, *arguments: str) -> str:
    checked = subprocess.run([need("promtool"), *arguments], capture_output=True, text=True, cwd=RULES.parent)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return checked.stdout


def test_every_metric_that_operators_are_told_of_is_one_that_is_exported(dashboard: dict[str, Any]) -> None:
    sources = "".join(place.read_text("utf-8") for place in (SOURCES / "export").glob("*_series.py"))
    known = set(re.findall(r'"([a-z0-9_]+)", ', sources)) | {"peer_info", "gossip_push_hops_bucket"}
    known |= {"agent_info", "build_info"}
    known |= {f"{scope}{name.metric}" for scope in ("", "peer_") for name in OF_A_PEER}
    known |= {f"network_{name.metric}" for name in OF_THE_NETWORK}
    pages = [(DOCS / "howto" / f"{name}.md").read_text("utf-8") for name in ("export", "remote-write")]
    told = RULES.read_text("utf-8") + json.dumps(dashboard) + "".join(pages)
    names = set(re.findall(r"\bpeerscope_([a-z0-9_]+[a-z0-9])\b(?!\*)", told))
    assert len(names) > 40
    assert sorted(name for name in names if name.removesuffix("_total") not in known and name not in known) == []


@pytest.mark.tools
def test_the_rules_are_rules(need: Need) -> None:
    assert "17 rules found" in promtool(need, "check", "rules", RULES.name)


@pytest.mark.tools
def test_each_rule_fires_when_it_should_and_only_then(need: Need) -> None:
    assert "SUCCESS" in promtool(need, "test", "rules", "peerscope-rules-test.yml")


def test_each_rule_is_tested_both_ways_and_says_what_to_do() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text("utf-8"))
    tests = (RULES.parent / "peerscope-rules-test.yml").read_text("utf-8")
    assert len(names) == len(set(names)) == 17
    for name in names:
        assert re.search(rf"alertname: {name}}}", tests), f"{name} is never expected to be quiet"
        assert re.search(rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", tests), f"{name} is never expected"
    assert RULES.read_text("utf-8").count("description:") == len(names)


def test_a_dashboard_names_its_data_source_by_a_variable_only(dashboard: dict[str, Any]) -> None:
    """So that it can be imported anywhere."""
    sources = re.findall(r'"uid": "([^"]+)"', json.dumps(dashboard["panels"]))
    assert set(sources) == {"${datasource}"}
    assert dashboard["id"] is None
    assert dashboard["schemaVersion"] >= 41


def test_panels_do_not_overlap_and_every_one_has_a_name_a_unit_and_a_query(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["targets"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_window_of_the_example_lasts_as_long_as_a_full_queue() -> None:
    example = (CONTRIB / "prometheus" / "prometheus.yml").read_text("utf-8")
    (days,) = re.findall(r"^    out_of_order_time_window: (\d+)d$", example, re.MULTILINE)
    config = RemoteWriteConfig()
    assert int(days) * 86400 >= config.queue_bytes_max / BLOCK_BYTES * config.interval_s


@pytest.mark.tools
def test_an_agent_on_loopback_is_scraped_by_a_prometheus_beside_it_with_the_example_settings(
    need: Need, tmp_path: Path
) -> None:
    prometheus = Prometheus(need, tmp_path)
    with running(tmp_path / "agent") as agent, client(agent) as web:
        listed = [target["targets"] for target in web.get("/api/v1/sd/prometheus").json()]
        assert listed == [[agent.http.removeprefix("http://")]]
        proxied = web.get("/api/v1/sd/prometheus", headers={"x-forwarded-for": "10.0.0.1"})
        assert proxied.json() == [], "a proxy asks for somebody elsewhere"
        example = (CONTRIB / "prometheus" / "prometheus.yml").read_text("utf-8")
        example = example.replace("http://127.0.0.1:8080", agent.http).replace("15s", "1s\n  evaluation_interval: 1s")
        (tmp_path / "prometheus.yml").write_text(
            example.replace("30s", "1s").replace("peerscope-rules.yml", str(RULES))
        )
        prometheus.start()
        try:
            me = f'{{job="peerscope", peer="{agent.peer_id[:16]}"}}'
            until(lambda: prometheus.query(f"up{me} == 1") != [], "it is scraped")
            until(lambda: prometheus.query(f"peerscope_network_peers{me}") != [], "and has data")
            assert prometheus.query("absent(peerscope_network_peers)") == []
        finally:
            prometheus.stop()


def test_an_agent_that_names_nobody_is_not_listed_even_there(tmp_path: Path) -> None:
    with running(tmp_path, export={"address": "off"}) as agent, client(agent) as web:
        assert web.get("/api/v1/sd/prometheus").json() == []
