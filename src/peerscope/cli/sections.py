"""Tables of numbers under headings, which never cut a number, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text


@dataclass
class Section:
    """A heading, and rows below it: a name, and one cell for each column."""

    title: str
    rows: list[tuple[str, list[str]]] = field(default_factory=list)


def show_sections(
    console: Console, heads: Sequence[str], sections: Sequence[Section], spare: Sequence[str] = ()
) -> None:
    """Print all sections with equal columns.

    `spare`: columns to leave out, in this order, where the terminal is too narrow. A long name has a line of its own.
    """
    rows = [row for section in sections for row in section.rows]
    widths = {
        head: max(len(head), *(len(cells[place]) for _, cells in rows)) if rows else len(head)
        for place, head in enumerate(heads)
    }
    longest = max((len(name) + 2 for name, _ in rows), default=0)
    left_out = []
    for head in spare:
        if longest + sum(widths.values()) + len(widths) > console.width:
            left_out.append(head)
            del widths[head]
    room = max(0, min(longest, console.width - sum(widths.values()) - len(widths)))

    def line(name: str, cells: Sequence[str]) -> str:
        shown = [f"{cell:>{widths[head]}}" for head, cell in zip(heads, cells, strict=True) if head in widths]
        return " ".join([f"{name:<{room}}", *shown])

    if rows:
        console.print(Text(line("", heads), "bold"), soft_wrap=True)
    for section in sections:
        console.print(Text(section.title, "bold"))
        for name, cells in section.rows:
            shown = f"  {name}"
            if len(shown) > room:
                console.print(Text(shown), soft_wrap=True)
                shown = ""
            console.print(Text(line(shown, cells)), soft_wrap=True)
    if left_out:
        console.print(Text(f"not shown at {console.width} columns: {', '.join(left_out)}", "dim"))
