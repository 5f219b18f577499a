"""A real Prometheus beside a demo network: it finds every exporter, and has data for what we tell operators to ask."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_network import DemoNetwork, demo_network, eventually, get
from stores import Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.tools]
Need = Callable[[str], str]
PEERS = 5
PATIENCE_S = 90
CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "peerscope-rules.yml"
DASHBOARD = json.loads((CONTRIB / "grafana" / "peerscope.json").read_text("utf-8"))


class Watched:
    """The network and who watches it."""

    def __init__(self, network: DemoNetwork, prometheus: Prometheus) -> None:
        self.network, self.prometheus = network, prometheus


@pytest.fixture(scope="module")
def watched(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The example settings of contrib/, hurried, with a demo that is told to be reachable and writes as well."""
    place = tmp_path_factory.mktemp("watched")
    prometheus = Prometheus(need, place)
    exports = {"ADDRESS": "127.0.0.1", "PER_PEER": "true"}
    exports |= {"REMOTE_WRITE__URL": prometheus.write_url, "REMOTE_WRITE__INTERVAL_S": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in exports.items():
            patch.setenv(f"PEERSCOPE_EXPORT__{key}", value)
        with demo_network(place / "demo", peers=PEERS) as network:
            example = (CONTRIB / "prometheus" / "prometheus.yml").read_text("utf-8")
            config = example.replace("http://127.0.0.1:8080", network.peers[0]["http"]).replace("30s", "1s")
            config = config.replace("15s", "1s\n  evaluation_interval: 1s").replace("peerscope-rules.yml", str(RULES))
            (place / "prometheus.yml").write_text(config)
            prometheus.start()
            try:
                yield Watched(network, prometheus)
            finally:
                prometheus.stop()


def targets(watched: Watched) -> dict[str, str]:
    """Health of every target, by the first 8 bytes of the peer's id."""
    found = watched.prometheus.get("/api/v1/targets")["data"]["activeTargets"]
    return {target["labels"]["peer"]: target["health"] for target in found}


def queries() -> list[tuple[str, str]]:
    """Every query of the dashboard, with the title of its panel."""
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def asked(expression: str) -> str:
    """A query as Grafana would send it, with everything selected."""
    variables = {"$network": ".*", "$peer": ".*", "$__rate_interval": "15s"}
    for name, value in variables.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def test_it_finds_and_scrapes_every_peer(watched: Watched) -> None:
    ids = {peer["peer_id"][:16] for peer in watched.network.peers}
    eventually(lambda: targets(watched) == dict.fromkeys(ids, "up"), "all targets are up", within_s=PATIENCE_S)
    assert get(watched.network.peers[2], "/api/v1/sd/prometheus") == get(
        watched.network.peers[4], "/api/v1/sd/prometheus"
    )
    (series,) = watched.prometheus.query(f'peerscope_links{{job="peerscope", peer="{min(ids)}"}}')
    assert series["metric"]["network"] == get(watched.network.peers[0], "/api/v1/self")["network"]


@pytest.mark.parametrize(("title", "query"), queries(), ids=[f"{number}" for number in range(len(queries()))])
def test_every_query_of_the_dashboard_returns_data(watched: Watched, title: str, query: str) -> None:
    def has_a_number() -> bool:
        return any(one["value"][1] != "NaN" for one in watched.prometheus.query(asked(query)))

    eventually(has_a_number, f"{title}: {query}", within_s=PATIENCE_S)


def test_every_variable_of_the_dashboard_has_values(watched: Watched) -> None:
    def values() -> dict[str, int]:
        found = {}
        for variable in DASHBOARD["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
                assert match
                place = f"/api/v1/label/{match[2]}/values"
                found[variable["name"]] = len(watched.prometheus.get(place, **{"match[]": asked(match[1])})["data"])
        return found

    def are_there() -> bool:
        found = values()
        return found["network"] == 1 and found["peer"] == PEERS

    eventually(are_there, "the network, and all its peers", within_s=PATIENCE_S)


def test_every_rule_is_evaluated_and_a_healthy_network_is_quiet(watched: Watched) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = watched.prometheus.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: all(rule["health"] == "ok" for rule in rules()), "all are evaluated", within_s=PATIENCE_S)
    assert len(rules()) == 17
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []


def test_a_peer_that_dies_shows_as_down_and_one_that_leaves_is_no_target_any_more(watched: Watched) -> None:
    victim = watched.network.kill(3)["peer_id"][:16]
    eventually(lambda: targets(watched).get(victim) == "down", "its target is down", within_s=PATIENCE_S)
    down = 'max(peerscope_network_peers{status="down", job="peerscope"})'
    eventually(lambda: watched.prometheus.query(f"{down} == 1") != [], "the others say so", within_s=PATIENCE_S)
    up = f'min(peerscope_peer_up{{subject="{victim}", job="peerscope"}})'
    eventually(lambda: watched.prometheus.query(f"{up} == 0") != [], "of this very peer", within_s=PATIENCE_S)
    leaver = watched.network.peers[4]
    os.kill(leaver["pid"], signal.SIGTERM)
    eventually(lambda: leaver["peer_id"][:16] not in targets(watched), "it is not asked any more", within_s=PATIENCE_S)


def test_promtool_accepts_the_example_settings(need: Need) -> None:
    checked = subprocess.run(
        [need("promtool"), "check", "config", str(CONTRIB / "prometheus" / "prometheus.yml")],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
