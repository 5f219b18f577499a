"""The table of sources agrees with the table of detection, the installed sources, and the pages about programs."""

import itertools
from importlib.metadata import distribution
from pathlib import Path

from manuscript import cells, links
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import GROUP
from peerscope.sources.programs.table import PROGRAMS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference/sources.md").read_text(encoding="utf-8")
NODES = sorted((DOCS / "howto/nodes").glob("*.md"))
LINES_MAX = 30
UNREADABLE = "no source yet"


def rows(beginning: str = "| program | tested with | spec | page |") -> dict[str, list[str]]:
    """The table that begins so: by program, in order."""
    lines = PAGE.splitlines()
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[lines.index(beginning) + 2 :])
    return {row[0]: row for row in ([cell.strip() for cell in cells(line)] for line in table)}


def installed() -> set[str]:
    """The sources of this distribution."""
    return {point.name for point in distribution("peerscope").entry_points if point.group == GROUP}


def test_it_has_a_row_for_each_program_in_the_order_of_choice() -> None:
    assert [name for name in rows() if name in {one.name for one in PROGRAMS}] == [one.name for one in PROGRAMS]


def test_each_spec_is_one_of_the_source_that_detection_attaches() -> None:
    for program in PROGRAMS:
        assert rows()[program.name][2].strip("`").partition(":")[0] == program.source


def test_each_installed_source_has_a_row_that_says_what_is_known_and_no_other_claims_to_be_read() -> None:
    by_source = {row[2].strip("`").partition(":")[0]: row for row in rows().values()}
    assert installed() <= by_source.keys()
    for source, row in by_source.items():
        assert (row[1] == UNREADABLE) == (source not in installed()), row


def test_every_source_says_what_is_known_and_how_late_its_program_is() -> None:
    readable = [name for name, row in rows().items() if row[1] != UNREADABLE]
    assert list(rows("| program | known | not known |")) == readable
    assert list(rows("| program | in this |")) == readable


def test_every_page_about_a_program_is_short_linked_and_about_a_known_one() -> None:
    linked = {(DOCS / "reference" / link.partition("#")[0]).resolve() for link in links(PAGE)}
    for page in NODES:
        text = page.read_text(encoding="utf-8")
        assert page.resolve() in linked, page.name
        assert len(text.splitlines()) <= LINES_MAX, page.name


def test_values_of_their_own_are_no_standard_fields() -> None:
    table = PAGE.partition("## Values of their own")[2]
    named = {cell.strip(" `") for line in table.splitlines()[4:] for cell in cells(line)[0].split(",")}
    assert not named & set(NodeMetrics.__struct_fields__)
