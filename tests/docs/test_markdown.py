"""Every document is well formed, and every place that it points to is there."""

import re
from pathlib import Path

import pytest

from manuscript import anchors, broken_rows, lines, links, spans

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLACE = re.compile(r"(?:benchmarks|contrib|docs|examples|findings|frontend|requirements|scripts|src|tests)/[\w./-]*\w")
"""A file of this repository, as documents name it."""
MODULE = re.compile(r"(?:\w+/)+\w+\.py")
"""A file named from the package on."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_table_is_shown_as_one(document: Path) -> None:
    assert broken_rows(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_link_and_every_heading_it_names_is_there(document: Path) -> None:
    missing = []
    for link in links(document.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_file_it_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    words = [(number, span) for number, span in spans(text)]
    words += [(line.number, word) for line in lines(text) if line.is_code for word in line.text.split()]
    missing = []
    for number, word in words:
        if PLACE.fullmatch(word) or MODULE.fullmatch(word):
            places = (ROOT / word, ROOT / "src/peerscope" / word, ROOT / "src" / word)
            if not any(place.exists() for place in places):
                missing.append(f"{number}: {word}")
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda place: place.relative_to(ROOT).as_posix())
def test_every_target_of_make_it_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    said = [span for _, span in spans(text)] + [line.text for line in lines(text) if line.is_code]
    named = {name for one in said for name in re.findall(r"(?:^|[\s;&])make ([a-z][\w-]*)", one)}
    targets = set(re.findall(r"(?m)^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert named <= targets


TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (TABLE, 0),
        (f"{TABLE}\nwords\n", 0),
        (f"words\n\n{TABLE}\n{TABLE}", 0),
        (f"{TABLE}| `x\\|y` | 2 |\n", 0),
        (f"```\n| 1 | 2 |\n```\n{TABLE}", 0),
        (f"{TABLE}\n| 3 | 4 |\n", 1),
        (f"{TABLE}| 3 | 4 | 5 |\n", 1),
        (f"{TABLE}| 3 |\n", 1),
        (f"{TABLE}words\n", 1),
        ("| a | b |\n| 1 | 2 |\n", 2),
    ],
)
def test_a_row_outside_its_table_is_seen(text: str, broken: int) -> None:
    assert len(broken_rows(text)) == broken


def test_headings_are_named_as_links_name_them() -> None:
    text = "# One, two\n## `a_b` c?\n```\n# not this\n```\n## One, two\n"
    assert anchors(text) == {"one-two", "a_b-c", "one-two-1"}
