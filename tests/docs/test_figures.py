"""Every figure, limit and time of these documents is the one of the code, or has another source."""

import re
from pathlib import Path

import pytest

from figures import ELSEWHERE, PAGES, STATED, digits, every, span, whole, word

DOCS = Path(__file__).parents[2] / "docs"
WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|sixty"
FIGURE = re.compile(
    r"(?<![\w`.\[/-])\d[\d,.]*\b"
    rf"|\b(?:half |quarter of )?(?:an?|{WORDS}) (?:milli)?(?:seconds?|minutes?|hours?|days?|times|bytes)\b",
    re.IGNORECASE,
)
"""In digits, or in words with a unit."""


def text_of(name: str) -> str:
    """All pages of a subject, as one line. Numbers of lists are no figures."""
    pages = [(DOCS / page).read_text(encoding="utf-8") for page in PAGES[name]]
    return " ".join(re.sub(r"(?m)^\d+\. ", "- ", "\n".join(pages)).split())


def unaccounted(text: str, stated: list[str], elsewhere: list[str]) -> list[str]:
    """Figures that stand in no passage, with what is around them."""
    passages = [re.escape(passage) for passage in stated] + elsewhere
    accounted = {at for passage in passages for found in re.finditer(passage, text) for at in range(*found.span())}
    return [
        text[max(0, found.start() - 40) : found.end() + 30]
        for found in FIGURE.finditer(text)
        if not accounted.issuperset(range(*found.span()))
    ]


@pytest.mark.parametrize(
    ("name", "passage"), [(name, passage) for name, passages in STATED.items() for passage in passages]
)
def test_a_document_states_what_the_code_does(name: str, passage: str) -> None:
    assert passage in text_of(name), f"one of {PAGES[name]} should have: {passage}"


@pytest.mark.parametrize("name", STATED)
def test_no_figure_stands_there_that_nobody_compares(name: str) -> None:
    """A new one belongs into `STATED`, or with its reason into `ELSEWHERE` (tests/figures.py)."""
    assert unaccounted(text_of(name), STATED[name], list(ELSEWHERE[name])) == []


@pytest.mark.parametrize("name", ELSEWHERE)
def test_every_reason_is_still_about_something(name: str) -> None:
    assert [passage for passage in ELSEWHERE[name] if not re.search(passage, text_of(name))] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("after five seconds", 0),
        ("after five seconds, or 6 s", 1),
        ("after fifteen seconds", 1),
        ("at most 1,000 peers within a minute", 2),
        ("about half of them, a secret", 0),
        ("Ed25519, RFC-9000, `N/2`", 0),
    ],
)
def test_a_figure_that_is_stated_nowhere_is_seen(text: str, count: int) -> None:
    assert len(unaccounted(text, ["after five seconds"], [])) == count


def test_figures_are_written_as_documents_write_them() -> None:
    assert [digits(4000.0), digits(0.5), digits(1.2), whole(65_536, 1024)] == ["4,000", "0.5", "1.2", "64"]
    assert [word(4), span(15), span(900), span(10_800), every(3600)] == [
        "four",
        "fifteen seconds",
        "a quarter of an hour",
        "three hours",
        "hour",
    ]
