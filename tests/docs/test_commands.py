"""Every command line that documents, runbooks, contrib and the program's own texts name is one that peerscope takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from command_lines import CommandLine, all_lines, command_of, example, of_markdown, of_program, of_sentence, variants
from manuscript import cells, paragraphs, spans
from peerscope.alerts.rules import default_rules
from peerscope.alerts.silences import matches
from peerscope.cli import VERBS
from peerscope.cli.look import status
from peerscope.history.measures import measure_series
from peerscope.history.series import SERIES
from peerscope.sim.scenario import shipped

ROOT = Path(__file__).parents[2]
LINES = all_lines()
CHECK = "1 unless every peer is healthy and no alert or incident is critical"
UNSAID = (click.MissingParameter, click.exceptions.NoArgsIsHelpError)


def faults(one: CommandLine) -> Iterator[str]:
    """What is wrong with a command line."""
    for arguments in map(example, variants(one.text)):
        try:
            given = command_of(arguments)
        except click.ClickException as error:
            if not (one.is_mention and isinstance(error, UNSAID)):
                yield error.format_message()
            continue
        yield from unknown_names(given.command.name or "", given.params)


def unknown_names(verb: str, given: dict[str, Any]) -> Iterator[str]:
    """What peerscope would look up only when it runs."""
    metric, scenario, config = given.get("metric"), given.get("scenario"), given.get("config")
    if verb == "history" and metric is not None and metric not in SERIES and measure_series(metric) is None:
        yield f"no series {metric}"
    if verb == "simulate" and scenario is not None and scenario not in {one.name for one in shipped()}:
        yield f"no scenario {scenario}"
    if isinstance(config, Path) and config.parts[0] == "examples" and not (ROOT / config).exists():
        yield f"no file {config}"
    rules = [rule.name for rule in default_rules()]
    alert = re.match(r"([a-z-]+)-[0-9a-f]+$", str(given.get("id")))
    if verb == "ack" and alert and alert[1] not in rules:
        yield f"no rule {alert[1]}"
    for matcher in given.get("matchers", ()):
        field, _, pattern = matcher.partition("=")
        if field == "rule" and not any(matches(pattern, rule) for rule in rules):
            yield f"no rule {pattern}"


@pytest.mark.parametrize("one", LINES, ids=lambda one: f"{one.place}: {one.text}")
def test_peerscope_takes_it(one: CommandLine) -> None:
    assert list(faults(one)) == []


def test_they_come_from_everywhere_that_tells_people_what_to_type() -> None:
    places = {one.place.partition(":")[0] for one in LINES}
    assert {
        "README.md",
        "contrib/prometheus/peerscope-rules.yml",
        "contrib/systemd/peerscope.service",
        "examples/yggdrasil.toml",
        "src/peerscope/alerts/rules.toml",
        "src/peerscope/threats/signatures.toml",
        "src/peerscope/doctor/network.py",
        "src/peerscope/agent/config_template.py",
        "src/peerscope/web/static/notices.js",
    } <= places
    assert len([place for place in places if place.startswith("docs/")]) > 15
    assert {one.text.split()[0] for one in LINES} | {"version"} == set(VERBS)


def test_every_verb_of_a_table_of_verbs_is_one() -> None:
    named = set()
    for document in (ROOT / "docs").rglob("*.md"):
        for _, paragraph in paragraphs(document.read_text(encoding="utf-8")):
            if paragraph.startswith("| verb |"):
                named |= {span.split()[0] for row in paragraph.split("\n") for _, span in spans(cells(row)[0])}
    assert len(named) > 10
    assert named <= set(VERBS)


def test_the_exit_code_of_a_check_is_told_in_one_way() -> None:
    help_text = next(one.help for one in status.params if isinstance(one, click.Option) and "--check" in one.opts)
    told = [str(help_text)]
    for document in (ROOT / "docs").rglob("*.md"):
        text = document.read_text(encoding="utf-8")
        passages = [" ".join(passage.split()) for passage in text.split("\n\n")]
        told += [
            passage + passages[at - 1] + passages[at - 2] if "```" in passage else passage
            for at, passage in enumerate(passages)
            if "status --check" in passage
        ]
    assert len(told) > 3
    assert [passage for passage in told if CHECK not in passage] == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("See `peerscope history cpu_ratio`.", True),
        ("See `peerscope history cpu`.", False),
        ("look at it: peerscope history cpu.", False),
        ("peerscope why ID shows it", False),
        ("peerscope why ID, then its machine", True),
        ("start it: peerscope run", True),
        ("start it: `peerscope start`", False),
        ("`peerscope status --verify`", False),
        ("`peerscope silence rule=processor-* --for 2h --reason TEXT`", False),
        ("`peerscope silence rule=cpu-*`", True),
        ("`peerscope simulate killing`", False),
        ("`peerscope run --config examples/nowhere.toml`", False),
        ("peerscope has no server", True),
    ],
)
def test_a_command_that_would_fail_is_seen(text: str, good: bool) -> None:
    assert (not [fault for one in of_sentence(text, "here") for fault in faults(one)]) == good


def test_a_block_must_be_whole_and_a_sentence_need_not() -> None:
    found = list(of_markdown("`peerscope why`\n\n    peerscope why  # who says so\n", "here"))
    assert [(one.text, one.is_mention, bool(list(faults(one)))) for one in found] == [
        ("why", False, True),
        ("why", True, False),
    ]


def test_what_the_program_inserts_is_read_as_one_word() -> None:
    source = "print(f'do `peerscope init --state {state}` here, or peerscope unsilence {made[\"id\"]}')"
    assert [one.text for one in of_program(source, "here")] == ["init --state DIR", "unsilence ID"]
