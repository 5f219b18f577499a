"""The documents list every default rule and every signal, and their examples are valid settings."""

import re
from pathlib import Path

import pytest

from manuscript import filled
from peerscope.alerts.facts import UNITS
from peerscope.alerts.lifecycle import ConditionState
from peerscope.alerts.model import FACTS
from peerscope.alerts.rules import Rule, default_rules
from peerscope.config import Config

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "reference/alerts.md").read_text(encoding="utf-8")
RULES = (DOCS / "reference/alert-rules.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("howto/alerts.md", "howto/notifications.md")
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL))
]


def section(rule: Rule) -> str:
    """What the document says of a rule."""
    side, limit = ("above", rule.above) if rule.above is not None else ("below", rule.below)
    held = f" for {rule.for_s:g} s" if rule.for_s else ""
    condition = f"`{rule.measure or rule.signal}` is {side} {limit:g}{held}"
    if rule.relative:
        condition = f"`{rule.measure}` is more than {limit:g} {side} the median of the other nodes{held}"
    when = f"Severity {rule.severity}. It fires when {condition}."
    return f"## `{rule.name}`\n\n{filled(f'{when} {rule.title}. {rule.runbook}')}\n\n"


def test_every_default_rule_is_listed_with_its_runbook_and_no_other() -> None:
    rules = default_rules()
    assert all(rule.runbook for rule in rules)
    assert [rule.name for rule in rules if section(rule) not in f"{RULES}\n"] == [], "".join(map(section, rules))
    assert re.findall(r"(?m)^## `([a-z0-9-]+)`$", RULES) == [rule.name for rule in rules]


def test_every_state_of_an_alert_is_explained() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", TEXT.split("## States")[1].split("##")[0], re.MULTILINE)
    assert listed == [state.value for state in ConditionState]


def test_every_signal_and_fact_is_listed_with_its_unit() -> None:
    rows = re.findall(r"(?m)^\| ([a-z ]+) \| (`.+`) \|$", TEXT.split("## Signals")[1])
    listed = {signal: unit for unit, signals in rows for signal in re.findall(r"`(\w+)`", signals)}
    assert listed == UNITS
    facts = TEXT.split("## Facts")[1].split("## Signals")[0]
    assert tuple(re.findall(r"(?m)^\| `(\w+)` \|", facts)) == FACTS


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_valid_settings_file(example: str, tmp_path: Path) -> None:
    for place in re.findall(r'_file = "(.+?)"', example):
        secret = tmp_path / Path(place).name
        secret.write_text("a-secret-of-the-operator")
        secret.chmod(0o600)
        example = example.replace(place, str(secret))
    path = tmp_path / "peerscope.toml"
    path.write_text(example)
    config = Config.load(path, environment={})
    assert config != Config()
