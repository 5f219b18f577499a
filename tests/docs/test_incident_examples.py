"""Each example of an incident gives what its page says, and its picture is what the program draws today."""

import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from peerscope.alerts.incident_words import FIRST_STEPS

DOCS = Path(__file__).parents[2] / "docs"
IMAGES = DOCS / "images"
PAGE = (DOCS / "explanation" / "incidents-examples.md").read_text(encoding="utf-8")
SCRIPT: dict[str, Any] = runpy.run_path(str(IMAGES / "incidents.py"))
EXAMPLES: dict[str, Any] = SCRIPT["EXAMPLES"]
BYTES_MAX = 15_000
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_program_finds_the_cause_that_the_example_has(name: str) -> None:
    example = EXAMPLES[name]()
    incidents = example.incidents()
    if name == "chance":
        assert incidents == ()
    elif name == "either":
        (one,) = incidents
        assert one.root is None
        assert {(other.kind, other.root) for other in one.alternatives} == {("version", "1.2"), ("region", "eu-west")}
    else:
        assert [(one.kind, one.root, one.alternatives) for one in incidents] == [(example.kind, example.root, ())]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_what_the_program_says(name: str) -> None:
    (section,) = (part for part in PAGE.split("\n## ") if f"(../images/incident-{name}.svg)" in part)
    assert f"{SCRIPT['said'](EXAMPLES[name]())}\n" in section


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_the_one_that_its_example_gives(name: str) -> None:
    example = EXAMPLES[name]()
    text = (IMAGES / f"incident-{name}.svg").read_text(encoding="utf-8")
    assert text == SCRIPT["drawn"](example)
    assert len(text.encode()) < BYTES_MAX
    drawing = ElementTree.fromstring(text)
    assert {part.tag.removeprefix(SVG) for part in drawing.iter()} <= {
        "svg", "title", "style", "marker", "rect", "text", "path", "circle"
    }  # fmt: skip
    assert "prefers-color-scheme:dark" in (drawing.findtext(f"{SVG}style") or "")
    arrows = [part for part in drawing.iter(f"{SVG}path") if part.get("class") == "e"]
    assert len(arrows) == sum(max(0, len(one.tree) - 1) for one in example.incidents())


def test_there_is_a_picture_of_every_kind_and_no_other() -> None:
    assert {EXAMPLES[name]().kind for name in EXAMPLES} == {*FIRST_STEPS, "chance", "either"}
    assert {path.stem.removeprefix("incident-") for path in IMAGES.glob("incident-*.svg")} == EXAMPLES.keys()
