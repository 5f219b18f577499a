"""Rules: the packaged ones, and what the operator may change and add."""

from pathlib import Path

import pytest

from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS
from peerscope.alerts.rules import FINDING, MEASURE, Rule, default_rules, parse_rules
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity
from peerscope.records.bodies import CHECKS, Status


def rule(config: Config, name: str) -> Rule:
    return next(one for one in config.alert_rules() if one.name == name)


def load(tmp_path: Path, text: str, **environment: str) -> Config:
    file = tmp_path / "peerscope.toml"
    file.write_text(text, encoding="utf-8")
    return Config.load(file, environment=environment)


def test_the_packaged_rules_are_those_that_were_promised() -> None:
    found = {rule.name: (rule.type, rule.scope, rule.above, rule.below) for rule in default_rules()}
    assert found == {
        "cpu-high": ("resource-exhaustion", "own", 0.9, None),
        "memory-high": ("resource-exhaustion", "own", 0.9, None),
        "memory-kill": ("resource-exhaustion", "own", 0.0, None),
        "storage-high": ("resource-exhaustion", "own", 0.95, None),
        "network-errors": ("performance-degradation", "own", 0.05, None),
        "node-down": ("node-down", "own", 1.0, None),
        "node-degraded": ("node-degraded", "own", 0.0, None),
        "sync-lag": ("sync-lag", "own", 5.0, None),
        "block-lag": ("sync-lag", "own", None, 5.0),
        "trackers-failing": ("trackers-failing", "own", 0.0, None),
        "dead-links": ("dead-links", "own", 0.0, None),
        "p2p-degraded": ("network-partition", "own", None, 0.8),
        "link-loss": ("packet-loss", "own", 0.1, None),
        "relayed-share": ("relayed-links", "own", 0.5, None),
        "low-connectivity": ("network-partition", "own", None, 3.0),
        "network-partition": ("network-partition", "network", 0.0, None),
        "peer-down": ("peer-down", "network", 0.0, None),
        "link-latency": ("high-latency", "own", 0.5, None),
        "route-latency": ("high-latency", "own", 0.5, None),
        "latency-rise": ("high-latency", "own", 3.0, None),
        "error-ratio": ("performance-degradation", "own", 0.05, None),
        "throughput-drop": ("performance-degradation", "own", None, 0.3333),
        "security-threat": ("security-threat", "own", 0.0, None),
        "region-critical": ("region-critical", "network", 0.0, None),
        "clock-skew": ("clock-skew", "network", 5.0, None),
        "shared-key": ("shared-key", "network", 0.0, None),
        "agent-lag": ("agent-overload", "own", 0.5, None),
        "agent-cpu": ("agent-overload", "own", 0.8, None),
        "history-degraded": ("history-degraded", "own", 0.0, None),
        "certificate-end": ("certificate-end", "both", None, 0.2),
        "tls-end": ("certificate-end", "own", None, 0.2),
        "export-degraded": ("export-degraded", "own", 0.0, None),
    }
    assert all(rule.title and rule.runbook for rule in default_rules())


def test_every_signal_has_a_rule_but_the_bare_statuses_of_checks() -> None:
    statuses = {f"{name}_status" for name in CHECKS}
    assert {rule.signal for rule in default_rules()} | statuses == {FINDING, MEASURE, *OWN_SIGNALS, *NETWORK_SIGNALS}


@pytest.mark.parametrize("check", CHECKS)
def test_a_rule_of_the_operator_can_be_written_for_every_check(check: str) -> None:
    text = f'[mine]\ntype="t"\nsignal="{check}_status"\nabove=0\nseverity="low"\ntitle="x"'
    (rule,) = parse_rules(text, "mine")
    assert rule.holds(float(Status.DEGRADED), fires=False)
    assert not rule.holds(float(Status.HEALTHY), fires=False)


def test_the_operator_changes_one_value_and_keeps_the_others(tmp_path: Path) -> None:
    text = (
        '[alerts.rules.cpu-high]\nthreshold = 0.8\nseverity = "critical"\n[alerts.rules.peer-down]\nenabled = false\n'
    )
    config = load(tmp_path, text)
    changed = rule(config, "cpu-high")
    assert (changed.above, changed.rank, changed.for_s) == (0.8, Severity.CRITICAL, 30.0)
    assert not rule(config, "peer-down").enabled
    assert rule(config, "memory-high").enabled


def test_the_environment_writes_names_with_underscores(tmp_path: Path) -> None:
    config = load(tmp_path, "", PEERSCOPE_ALERTS__RULES__LOW_CONNECTIVITY__THRESHOLD="2")
    assert rule(config, "low-connectivity").below == 2.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[alerts.rules.cpu-hihg]\nfor_s = 3", r"alerts\.rules\.cpu-hihg: no such rule; did you mean `cpu-high`\?"),
        ("[alerts.rules.cpu-high]\ntreshold = 3", r"cpu-high: unknown key `treshold`; did you mean `threshold`\?"),
        ('[alerts.rules.cpu-high]\nseverity = "bad"', r"cpu-high: severity: Invalid enum value 'bad'"),
        ("[alerts.rules.cpu-high]\nfor_s = -1", r"cpu-high: for_s: Expected `float` >= 0"),
        ("[alerts.rules.cpu-high]\nclear = 0.95", r"cpu-high: clear is 0\.95; must lie on the good side of 0\.9"),
        ("[alerts]\nrule = 3", r"unknown key `rule` in \[alerts\]; did you mean `rules`\?"),
        ('[alerts]\nrules_file = "/nowhere.toml"', r"alerts\.rules_file: /nowhere\.toml cannot be read"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, text)


def test_a_file_of_the_operator_adds_rules_that_can_be_changed_too(tmp_path: Path) -> None:
    more = tmp_path / "more.toml"
    more.write_text('[cpu-warm]\ntype = "heat"\nsignal = "cpu_ratio"\nabove = 0.5\nseverity = "low"\ntitle = "warm"\n')
    config = load(tmp_path, f'[alerts]\nrules_file = "{more}"\n[alerts.rules.cpu-warm]\nthreshold = 0.6\n')
    assert (rule(config, "cpu-warm").above, rule(config, "cpu-warm").type) == (0.6, "heat")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\n", r"more\.toml: \[a\]: Object missing required field"),
        ('[a]\ntype="t"\nsignal="cpu_rato"\nabove=1\nseverity="low"\ntitle="x"', r"did you mean `cpu_ratio`\?"),
        ('[a]\ntype="t"\nsignal="peer_down"\nabove=1\nseverity="low"\ntitle="x"', r"no rule of scope 'own' has"),
        ('[a]\ntype="t"\nsignal="cpu_ratio"\nseverity="low"\ntitle="x"', r"exactly one of `above` and `below`"),
        ('[A b]\ntype="t"', r"not TOML"),
        ('["A b"]\ntype="t"\nsignal="cpu_ratio"\nabove=1\nseverity="low"\ntitle="x"', r"name: Expected `str` matching"),
        ("a = 3", r"\[a\]: Expected `object`"),
        (
            '[cpu-high]\ntype="t"\nsignal="cpu_ratio"\nabove=1\nseverity="low"\ntitle="x"',
            r"is a packaged rule; change it",
        ),
    ],
)
def test_a_wrong_rule_in_a_file_is_named_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    more = tmp_path / "more.toml"
    more.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, f'[alerts]\nrules_file = "{more}"\n')


def test_a_threshold_below_works_the_other_way_round() -> None:
    (low,) = parse_rules('[few]\ntype="t"\nsignal="linked_peers"\nbelow=3\nclear=5\nseverity="low"\ntitle="x"', "rules")
    assert low.holds(2, fires=False)
    assert not low.holds(4, fires=False)
    assert low.holds(4, fires=True)
    assert not low.holds(5, fires=True)
