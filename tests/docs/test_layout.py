"""The documents are sorted as Diátaxis does, each short enough to read at once, and one index names them all."""

from pathlib import Path

import pytest

from manuscript import links

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
INDEX = DOCS / "README.md"
LINES_MAX, COLUMNS_MAX = 200, 120
KINDS = {"tutorial", "howto", "reference", "explanation"}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_short_and_narrow(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES_MAX
    assert [f"{number}: {len(line)}" for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX] == []


def test_a_page_lies_in_the_folder_of_its_kind() -> None:
    assert {page.relative_to(DOCS).parts[0] for page in PAGES if page != INDEX} == KINDS
    assert [page.name for page in PAGES if page != INDEX and page.name != page.name.lower()] == []


def test_the_index_links_every_page() -> None:
    programs = DOCS / "reference/sources.md"  # an index of its own
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for index in (INDEX, programs)
        for link in links(index.read_text(encoding="utf-8"))
    }
    assert [page.relative_to(DOCS).as_posix() for page in PAGES if page not in {INDEX, *linked}] == []
