"""The verb that shows measurements over time: history."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from peerscope.cli.api import api_options, ask
from peerscope.cli.options import FOLDER
from peerscope.cli.text import SHORT_HEX, columns, size, sparkline
from peerscope.errors import HistoryError
from peerscope.records.identity import PeerId

WIDTH_MAX = 120
NUMBERS = ("min", "mean", "max", "last")
STATUS_NAMES = ("healthy", "degraded", "unhealthy", "down")


@click.command()
@click.argument("metric", required=False)
@click.option("--peer", metavar="ID", help="The peer, by the beginning of its id (default: the agent's own).")
@click.option("--since", default="1h", show_default=True, metavar="SPAN", help="90s, 15m, 1h, 30d, or Unix seconds.")
@click.option("--step", metavar="SPAN", help="The finest resolution (default: as stored, at most 2000 steps).")
@click.option("--list", "as_list", is_flag=True, help="List all series.")
@click.option("--state", type=FOLDER, help="Read this directory, not an agent.")
@api_options
def history(
    metric: str | None,
    peer: str | None,
    since: str,
    step: str | None,
    as_list: bool,
    state: Path | None,
    api: str,
    token: str,
    as_json: bool,
) -> None:
    """One series over time, as a line of blocks; a dot marks a time without data.

    Exits with 1 if there is no data.
    """
    if as_list:
        _show_names(as_json=as_json)
        return
    if metric is None:
        raise click.UsageError("name a METRIC; `peerscope history --list` lists all")
    is_known = True
    if state is not None:
        found, is_known = _from_file(state, metric, peer, since, step)
    else:
        query = {"metric": metric, "peer": peer, "since": since, "step": step}
        found = ask(api, token, "/api/v1/history", query)
    values = [value for _, value in found["samples"] if value is not None]
    if as_json:
        click.echo(json.dumps(found))
    else:
        is_known = bool(values) or (is_known if state is not None else _is_known(api, token, metric))
        _show(found, values, is_known=is_known)
    sys.exit(0 if values else 1)


def narrowed(samples: list[list[Any]], width: int) -> list[float | None]:
    """At most `width` values: means of equal groups of samples."""
    each = -(-len(samples) // width)
    groups = [samples[first : first + each] for first in range(0, len(samples), each)]
    known = [[value for _, value in group if value is not None] for group in groups]
    return [sum(values) / len(values) if values else None for values in known]


def with_unit(value: float, unit: str) -> str:
    """Format a value with its unit."""
    match unit:
        case "ratio":
            return f"{value:.2%}"
        case "seconds":
            return f"{value * 1000:.1f} ms"
        case "status":
            return STATUS_NAMES[min(round(value), len(STATUS_NAMES) - 1)]
        case "bytes" | "bytes/s":
            return size(value) + unit.removeprefix("bytes")
        case "1/s":
            return f"{value:.4g}/s"
        case "count":
            return f"{value:.6g}"
        case _:  # of a measure that a node names itself
            return f"{value:.6g} {unit}"


def _is_known(api: str, token: str, metric: str) -> bool:
    """False for a measure that no peer has."""
    if not metric.startswith("measure"):
        return True
    listed = (one["name"] for one in ask(api, token, "/api/v1/history/metrics"))
    return any(metric in (name, name.partition("@")[0]) for name in listed)


def _show(found: dict[str, Any], values: list[float], *, is_known: bool) -> None:
    whose = f" of {found['peer_id'][:SHORT_HEX]}" if found["peer_id"] else ""
    title = f"{found['metric']}{whose}, steps of {found['step_s']} s"
    if not values:
        nobody = ", and no peer has a measure of this name: see `peerscope metrics`"
        click.echo(f"{title}: no data in this time{'' if is_known else nobody}")
        return
    console, samples, unit = Console(highlight=False), found["samples"], found["unit"]
    console.print(Text(title, "bold"))
    line = sparkline(narrowed(samples, min(console.width, WIDTH_MAX)))
    console.print(Text(line, "cyan"), soft_wrap=True)
    begin, end = (_clock(samples[index][0], samples) for index in (0, -1))
    console.print(Text(f"{begin}{end:>{max(len(line) - len(begin), len(end) + 2)}}", "dim"), soft_wrap=True)
    numbers = (min(values), sum(values) / len(values), max(values), values[-1])
    parts = [f"{name} {with_unit(number, unit)}" for name, number in zip(NUMBERS, numbers, strict=True)]
    if gaps := len(samples) - len(values):
        parts.append(f"no data in {gaps} of {len(samples)} steps")
    console.print(Text("   ".join(parts)), soft_wrap=True)


def _clock(at: float, samples: list[list[Any]]) -> str:
    is_long = samples[-1][0] - samples[0][0] >= 86_400 - 3600
    return time.strftime("%b %d %H:%M" if is_long else "%H:%M:%S", time.localtime(at))


def _show_names(*, as_json: bool) -> None:
    from peerscope.history.measures import FORMS
    from peerscope.history.series import SERIES

    rows: list[tuple[str, str, str, str]] = [(one.name, one.unit, one.scope, one.text) for one in SERIES.values()]
    rows += [(name, "its own", scope, text) for name, (scope, text) in FORMS.items()]
    if as_json:
        fields = ("name", "unit", "scope", "description")
        click.echo(json.dumps([dict(zip(fields, row, strict=True)) for row in rows]))
        return
    table = columns("metric", "unit", "of", "what it is")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _from_file(state: Path, metric: str, peer: str | None, since: str, step: str | None) -> tuple[Any, bool]:
    """Read the same answer from a state directory, whether or not its agent runs. False for an unknown measure."""
    from peerscope.history.measures import MeasureSeries
    from peerscope.history.reader import Question, has_measure, read, series_named, span_s
    from peerscope.history.retention import HistoryConfig, tiers
    from peerscope.history.schema import FILE
    from peerscope.host.numbers import whole

    place = state / FILE
    if not place.exists():
        raise HistoryError(f"{place}: no such file; name the state directory of an agent that keeps a history")
    series, now = series_named(metric), int(time.time())
    if series.scope == "network" and peer is not None:
        raise click.UsageError(f"{metric} is of the whole network; ask for it without --peer")
    spans = {"since": span_s(since), "step": None if step is None else span_s(step)}
    if (at := whole(since)) is not None:
        spans["since"] = now - at
    for name, text in (("since", since), ("step", step)):
        if text is not None and not spans[name]:
            raise click.UsageError(f"--{name} is {text!r}; must be as 90s, 15m, 1h or 30d")
    whose = _find(state, place, peer) if series.scope == "peer" else None
    question = Question(series, whose, now - (spans["since"] or 0), now, spans["step"])
    is_known = not isinstance(series, MeasureSeries) or has_measure(place, series)
    return msgspec.to_builtins(read(place, tiers(HistoryConfig()), question)), is_known


def _find(state: Path, place: Path, beginning: str | None) -> PeerId:
    from peerscope.history.reader import find
    from peerscope.host.state import KEY_FILE, StateDirectory

    if beginning is None:
        if not (state / KEY_FILE).exists():
            raise HistoryError(f"{state} has no identity key that names a peer; name one with --peer")
        return StateDirectory(state).identity().peer_id
    found = find(place, beginning)
    if len(found) != 1:
        raise HistoryError(f"{len(found)} peers in {place} begin with {beginning!r}; must be one")
    return found[0]
