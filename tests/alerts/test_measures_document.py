"""The how-to of measures: its events are taken, its rules are rules, and its commands are there."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from peerscope.alerts.rules import parse_rules
from peerscope.cli import VERBS
from peerscope.history.measures import measure_series
from peerscope.records.measures import MEASURES_MAX
from peerscope.sources.telemetry import Telemetry, read_lines

TEXT = (Path(__file__).parents[2] / "docs/howto/measures.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(json|toml)\n(.*?)```", TEXT, re.DOTALL))


def test_its_events_become_measures() -> None:
    lines = BLOCKS["json"].encode().splitlines()
    events, refused = read_lines(lines, 1, Counter())
    assert refused == []
    telemetry = Telemetry("toy")
    for event in events:
        telemetry._count(event)
    telemetry._heard_at = telemetry._since
    found = {one.name: one.value for one in asyncio.run(telemetry.read()).measures}
    assert found == {one["name"]: one["value"] for one in map(json.loads, lines)}


def test_its_rules_are_rules() -> None:
    rules = {rule.name: rule for rule in parse_rules(BLOCKS["toml"], "the how-to")}
    assert (rules["far-behind"].below, rules["far-behind"].relative, rules["far-behind"].peers_min) == (20, "median", 4)
    assert rules["peers-fall"].over_s == 600
    assert f"at most {MEASURES_MAX} measures" in TEXT


@pytest.mark.parametrize("command", re.findall(r"(?m)^    peerscope ([^#\n]+)", TEXT))
def test_its_commands_are_there(command: str) -> None:
    verb, *words = command.split()
    assert verb in VERBS
    for word in words:
        assert ":" not in word or measure_series(word) is not None
