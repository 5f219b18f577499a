"""docs/reference/metrics.md names every metric there is, with its unit, and no other."""

import re
from pathlib import Path

from peerscope.views.metrics import AgentView, NodeMetricsView, PerformanceView, SystemView
from peerscope.views.window import METRICS

TEXT = (Path(__file__).parents[1] / "docs" / "reference/metrics.md").read_text(encoding="utf-8")
PARTS = {"system": SystemView, "node": NodeMetricsView, "performance": PerformanceView, "agent": AgentView}
UNITS = {"_ratio": "ratio", "_bytes_s": "bytes/s", "_bytes": "bytes", "_s": "seconds"}


def rows(header: str) -> list[tuple[str, ...]]:
    """The rows of the table under this header, names without their marks."""
    table = TEXT.split(header, 1)[1].split("\n\n", 1)[0]
    lines = re.findall(r"^\| `(.+?)` \| (.*) \|$", table, re.MULTILINE)
    return [(name, *(cell.strip() for cell in rest.split("|"))) for name, rest in lines]


def test_every_metric_of_a_peer_is_listed_in_order_with_its_unit() -> None:
    listed = rows("| metric | unit | source | null when |")
    there = [f"{part}.{name}" for part, kind in PARTS.items() for name in kind.__struct_fields__]
    assert [name for name, *_ in listed] == there
    for name, unit, source, unknown in listed:
        assert unit == next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "count"), name
        assert source, name
        assert unknown, name


def test_every_aggregated_value_is_listed_with_how_it_is_made() -> None:
    assert rows("| value | one number per peer | sum |") == [
        (f"{one.part}.{one.name}", one.fold.value, "yes" if one.adds_up else "no") for one in METRICS
    ]
