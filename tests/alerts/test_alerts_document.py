"""docs/reference/alerts.md lists every default rule, and examples about alerts are valid settings."""

import re
from pathlib import Path

import pytest

from manuscript import filled
from peerscope.alerts.lifecycle import ConditionState
from peerscope.alerts.rules import Rule, default_rules
from peerscope.config import Config

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "reference/alerts.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("howto/alerts.md", "howto/notifications.md")
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL))
]


def section(rule: Rule) -> str:
    """What the document says of a rule."""
    side, limit = ("above", rule.above) if rule.above is not None else ("below", rule.below)
    held = f" for {rule.for_s:g} s" if rule.for_s else ""
    when = f"Severity {rule.severity}. It fires when `{rule.signal}` is {side} {limit:g}{held}."
    return f"### `{rule.name}`\n\n{when}\n\n{filled(f'{rule.title}. {rule.runbook}')}\n\n"


def test_every_default_rule_is_listed_with_its_runbook_and_no_other() -> None:
    rules = default_rules()
    assert all(rule.runbook for rule in rules)
    assert [rule.name for rule in rules if section(rule) not in f"{TEXT}\n"] == [], "".join(map(section, rules))
    assert re.findall(r"(?m)^### `([a-z-]+)`$", TEXT) == [rule.name for rule in rules]


def test_every_state_of_an_alert_is_explained() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", TEXT.split("## States")[1].split("##")[0], re.MULTILINE)
    assert listed == [state.value for state in ConditionState]


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
