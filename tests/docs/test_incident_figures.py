"""The figures of the pages about incidents are those of the code, and the tables those of the benchmark."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from figures import span, word
from peerscope.alerts.cascade_tree import RESOLUTION_S
from peerscope.alerts.explanations import Priors
from peerscope.alerts.incidents import RIVAL_FACTOR, SHARES, IncidentConfig
from peerscope.alerts.scopes import CLUSTER_RULES_MIN, OUTAGE_SHARE_MIN, PATTERN_PEERS_MIN
from peerscope.alerts.spread import PEERS_MIN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/incidents.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "docs/reference/benchmarks-incidents.md").read_text(encoding="utf-8")
CONFIG = IncidentConfig()
LEAST = {0.5: "half of it", 0.33: "a third", 0.1: "a tenth"}
CALIBRATION: dict[str, Any] = {
    "reliability": [{"from": 0.9, "incidents": 7, "confidence": 0.95, "right": 1.0}],
    "brier": 0.01,
    "kinds": {"host": {"incidents": 7, "confidence": 0.95, "right": 1.0}},
    "pair_precision": 1.0,
    "pair_recall": 1.0,
    "common_cause_cascades": {4: 0.0},
    "unrelated_outages": {4: 0.0},
    "unrelated_incidents": {4: 0.0},
    "alone": {"host": {12: "3/3", 40: "3/3", 100: "3/3"}},
}


@pytest.mark.parametrize(
    "passage",
    [
        f"at least 3 and {LEAST[OUTAGE_SHARE_MIN]}",
        f"from one peer to at least {PEERS_MIN - 1} others",
        f"for a reason that nobody knows; at least {PATTERN_PEERS_MIN}",
        f"for a pattern of fewer than {word(PATTERN_PEERS_MIN)} peers",
        f"alerts of at least {CLUSTER_RULES_MIN} different rules",
        f"may last {span(CONFIG.window_s)} (`window_s`)",
        f"for {span(CONFIG.keep_s)} after the last alert ended",
        f"within a factor of {word(RIVAL_FACTOR)} of the best one",
        f"at least high from {LEAST[SHARES[1][0]]} of the network on, and critical from {LEAST[SHARES[0][0]]}",
    ],
)
def test_the_page_states_the_figures_of_the_code(passage: str) -> None:
    assert passage in " ".join(PAGE.split())


def test_a_quarter_is_where_chance_comes_too_near() -> None:
    """Chance is a rival like others: within the factor of all causes together."""
    assert "chance has a probability of a quarter or more" in " ".join(PAGE.split())
    assert 1 / (1 + RIVAL_FACTOR) == 0.25


def test_peers_look_once_a_second() -> None:
    assert "Peers look at their rules once a second" in " ".join(PAGE.split())
    assert RESOLUTION_S == 1.0


def test_the_settings_of_the_page_are_the_defaults() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    settings = tomllib.loads(block)["incidents"]
    assert settings == msgspec.to_builtins(CONFIG)
    assert settings["priors"] == msgspec.to_builtins(Priors())


def test_the_measured_tables_are_those_that_the_benchmark_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    printed = runpy.run_path(str(ROOT / "benchmarks" / "calibration.py"))["markdown"](CALIBRATION)
    parts = [part.splitlines()[0] for part in printed.split("\n\n") if "Brier" not in part]
    assert [part for part in parts if part not in MEASURED] == []


def test_the_measured_confidence_meets_its_aim() -> None:
    """In bins of enough incidents; the page names what misses it."""
    rows = re.findall(r"^\| 0\.\d to \d\.\d \| (\d+) \| (\d\.\d\d) \| (\d\.\d\d) \|$", MEASURED, re.MULTILINE)
    large = [(float(mean), float(right)) for count, mean, right in rows if int(count) >= 30]
    assert len(large) >= 3
    assert [(mean, right) for mean, right in large if abs(mean - right) > 0.1] == []


def test_the_measured_share_of_false_incidents_meets_its_aim() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+\.\d) % \| (\d+\.\d) % \| \d+\.\d % \|$", MEASURED, re.MULTILINE)
    assert [int(peers) for peers, *_ in rows] == [4, 6, 8, 10, 12, 16, 20, 30, 40, 60, 100]
    assert [row for row in rows if max(float(row[1]), float(row[2])) > 1.0] == []
