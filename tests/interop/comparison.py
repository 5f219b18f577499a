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
    theirs = _shown(before) if before == after else f"from {_shown(before)} to {_shown(after)}"
    return Row(
        about, "unknown" if ours is None else _shown(ours), theirs, None if ours is None else before <= ours <= after
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
builds them, where Go and Rust are installed. Last run: {date}. [Answers to remote write](remote-write.md) has
more of Prometheus and VictoriaMetrics.

| program | version | compared |
|---|---|---|
{programs}

`unknown` means that the program's metrics do not contain the value. A value "from 3 to 5" grew while we read it: the
program said 3 before our reading and 5 after it.

The builds differ from the projects' own releases:

- Yggdrasil: a module that does nothing outside OpenBSD is replaced, since it cannot be downloaded.
- kubo: go-libp2p 0.50 replaces a fork of 0.49 that cannot be downloaded.
- Alertmanager: it has no web pages, which its module does not contain.
- Nebula 1.10: later ones need a module that cannot be downloaded. Nebula 1.12 and VictoriaMetrics 1.152 need Go 1.27.
- The OpenTelemetry collector has only the parts that receive OTLP and print it.
"""
MISSING = "These programs were not there: {}.\n"


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
