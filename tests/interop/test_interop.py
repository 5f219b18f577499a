"""Comparisons with current releases, where they are built already; and the page that a run writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import find_current
from interop import exports
from interop.comparison import Comparison, Find, Row, between, differences, document, pinned, same

COMPARED = {
    "prometheus-3": exports.prometheus,
    "victoria-metrics-1": exports.victoria_metrics,
    "alertmanager": exports.alertmanager,
    "otelcol": exports.collector,
}


@pytest.mark.tools
@pytest.mark.parametrize(("program", "compare"), COMPARED.items(), ids=COMPARED)
def test_a_current_release_and_we_say_the_same(
    program: str, compare: Callable[[Find, Path], Comparison | None], need_current: Callable[[str], str], tmp_path: Path
) -> None:
    need_current(program)
    found = compare(find_current, tmp_path)
    assert found is not None
    assert found.rows
    assert differences([found]) == []


def test_what_is_not_there_is_left_out_and_named(tmp_path: Path) -> None:
    assert [compare(lambda _: None, tmp_path) for compare in COMPARED.values()] == [None] * len(COMPARED)
    page = document([], ["kubo", "nebula"], "2026-11-30")
    assert "These programs were not there: kubo, nebula." in page


def test_a_page_shows_both_values_and_whether_they_are_the_same() -> None:
    rows = [same("peers", 3, 3), same("ids", None, "x|y"), between("bytes", 10, 25, 20), Row("odd", "a\nb", "c", True)]
    comparison = Comparison("Program", "1.0", "everything", rows)
    page = document([comparison], [], "2026-11-30")
    for line in (
        "| Program | 1.0 | everything |",
        "| peers | 3 | 3 | yes |",
        "| ids | unknown | x\\|y | unknown |",
        "| bytes | 25 | from 10 to 20 | no |",
        "| odd | a b | c | yes |",
    ):
        assert line in page.splitlines()
    assert differences([comparison]) == ["Program: bytes"]


def test_versions_are_the_pinned_ones() -> None:
    assert pinned("yggdrasil", "github.com/yggdrasil-network/yggdrasil-go").startswith("0.5.")
    with pytest.raises(AssertionError, match="does not require"):
        pinned("yggdrasil", "github.com/nobody/nothing")
