"""What two programs say of the same thing, side by side, and the document of all comparisons."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

Find = Callable[[str], str | None]
"""Path of a current release; None where it is not there."""
PROGRAMS = Path(__file__).parent / "programs"


class Row(NamedTuple):
    """One value."""

    about: str
    ours: str
    theirs: str
    is_same: bool | None
    """None where one of the two does not say it."""


class Comparison(NamedTuple):
    """All values of one program."""

    program: str
    version: str
    compared: str
    rows: list[Row]


def same(about: str, ours: object, theirs: object) -> Row:
    """Both must be equal."""
    if ours is None:
        return Row(about, "unknown", str(theirs), None)
    return Row(about, _shown(ours), _shown(theirs), ours == theirs)


def between(about: str, before: float, ours: float | None, after: float) -> Row:
    """A value that grows: ours was read between two readings of theirs."""
    theirs = f"{before:,.15g}" if before == after else f"{before:,.15g} to {after:,.15g}"
    return Row(
        about, "unknown" if ours is None else f"{ours:,.15g}", theirs, None if ours is None else before <= ours <= after
    )


def pinned(folder: str, module: str) -> str:
    """The version of a module that `make interop-tools` builds."""
    text = (PROGRAMS / folder / "go.mod").read_text("utf-8")
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    assert found, f"{folder}/go.mod does not require {module}"
    return found[1]


SAME = {True: "yes", False: "no", None: "unknown"}
HEAD = """# Real programs beside us

`make interop` runs current releases of other programs against peerscope and writes this page. `make interop-tools`
builds them, where Go is installed. Last run: {date}.

| program | version | compared |
|---|---|---|
{programs}
"""
MISSING = "These programs were not there and are left out: {}.\n"


def document(comparisons: Iterable[Comparison], missing: Iterable[str], date: str) -> str:
    """The page of a run."""
    found, absent = list(comparisons), ", ".join(missing)
    programs = "\n".join(f"| {one.program} | {one.version} | {one.compared} |" for one in found)
    parts = [HEAD.format(date=date, programs=programs)]
    if absent:
        parts.append(MISSING.format(absent))
    for one in found:
        lines = [f"## {one.program} {one.version}", "", "| value | ours | theirs | same |", "|---|---|---|---|"]
        lines += [
            f"| {row.about} | {_cell(row.ours)} | {_cell(row.theirs)} | {SAME[row.is_same]} |" for row in one.rows
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def differences(comparisons: Iterable[Comparison]) -> list[str]:
    """Values that are not the same."""
    return [f"{one.program}: {row.about}" for one in comparisons for row in one.rows if row.is_same is False]


def _shown(value: object) -> str:
    return f"{value:,.15g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
