"""The tables of `peerscope top`: columns, order and filter. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from peerscope.alerts.phrases import folded, times
from peerscope.cli.metrics import grouped
from peerscope.records.identity import SHORT_HEX
from peerscope.top.feed import NetworkSummary
from peerscope.views.sanitize import clipped

STATUSES = ("down", "unhealthy", "degraded", "unknown", "healthy", "left")
"""The worst first."""
SEVERITIES = ("critical", "high", "medium", "low")
SIGNS = {"down": "×", "unhealthy": "■", "degraded": "▲", "unknown": "○", "healthy": "●", "left": "–"}
SIGNS |= {"critical": "!!", "high": "◆", "medium": "◈", "low": "◇"}
STYLES = {"down": "bold magenta", "unhealthy": "red", "degraded": "yellow", "healthy": "green", "left": "dim"}
STYLES |= {"critical": "bold red", "high": "dark_orange", "medium": "yellow", "low": "blue"}
TEXT_CELLS = 60
ROWS_MAX = 500
"""Rows shown; the filter finds the others."""

Row = dict[str, Any]
Shown = Callable[[Row, float], "str | Text"]
Order = Callable[[Row], Any]


class Column(Struct, frozen=True):
    title: str
    shown: Shown
    """Returns the cell of a row at a time."""
    order: Order
    """Returns the sort key of a row; None, for an unknown value, comes last."""


class Table(Struct, frozen=True):
    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[NetworkSummary], Iterable[Row]]
    key: str
    """Field that identifies a row."""
    sort: int
    """Column of the first sort order."""
    ties: Order = lambda row: 0.0
    """Order of rows that are equal in the chosen column; then their key decides."""
    same: Callable[[Row], object] | None = None
    """Rows with an equal result are one row while no word is searched for; its `count` says how many."""


def chosen(table: Table, network: NetworkSummary, words: str, sort: int, is_reverse: bool) -> tuple[list[Row], int]:
    """The first rows in this order that contain all words, and the count of all such rows before they are folded."""
    wanted = words.lower().split()
    found = [row for row in table.rows(network) if all(word in _text(row) for word in wanted)]
    order, count = table.columns[sort].order, len(found)
    found.sort(key=lambda row: (table.ties(row), str(row[table.key])))
    if table.same is not None and not wanted:
        found = [same[0] | {"count": len(same)} for same in folded(found, table.same)]
    known = [row for row in found if order(row) is not None]
    known.sort(key=order, reverse=is_reverse)
    known += [row for row in found if order(row) is None]
    return known[:ROWS_MAX], count


def cells(table: Table, row: Row, now: float) -> list[str | Text]:
    """The cells of one row."""
    return [column.shown(row, now) for column in table.columns]


def age(seconds: float) -> str:
    """A length of time in one unit."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def latency(seconds: float | None) -> str:
    """A round-trip time; a dash if it is unknown."""
    return "–" if seconds is None else f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def marked(word: str) -> Text:
    """A status or severity with sign, word and colour."""
    return Text(f"{SIGNS.get(word, '?')} {plain(word)}", STYLES.get(word, ""))


def plain(value: object, width: int = TEXT_CELLS) -> str:
    """Untrusted text in one short line, without terminal commands and marks that reverse letters."""
    text = "" if value is None else str(value)[: 4 * width]
    return clipped("".join(letter for letter in text if letter.isprintable()), width)


def _text(row: Row) -> str:
    return " ".join(str(value) for value in row.values() if isinstance(value, str)).lower()


def _of(field: str) -> Shown:
    return lambda row, _: Text(plain(row.get(field)) or "–")


def _word(field: str) -> Order:
    return lambda row: str(row[field]).lower() if row.get(field) is not None else None


def _number(field: str) -> Order:
    return lambda row: row.get(field)


def _rank(field: str, order: Sequence[str]) -> Order:
    return lambda row: order.index(row[field]) if row[field] in order else len(order)


def _short(field: str) -> Shown:
    return lambda row, _: Text(plain(row.get(field))[:SHORT_HEX] or "–")


def _since(field: str) -> Shown:
    return lambda row, now: age(now - row[field]) if row.get(field) is not None else "–"


def _youngest(field: str) -> Order:
    return lambda row: -row[field] if row.get(field) is not None else None


def _title(row: Row, _: float) -> Text:
    return Text(times(row.get("count", 1), plain(row.get("title"))) or "–")


def _peers(row: Row, _: float) -> Text:
    more = row.get("count", 1) - 1
    return Text((plain(row.get("peer_id"))[:SHORT_HEX] or "–") + (f" and {more} more" if more else ""))


def _alike(row: Row) -> object:
    """Equal for alerts of one rule, severity and state, with the same incident and orders."""
    names = ("rule", "severity", "title", "state", "incident", "silenced_by", "acknowledged_by", "flapping", "clearing")
    return tuple(row.get(name) for name in names)


def _newest(row: Row) -> float:
    return -float(row.get("started_at") or 0.0)


def _accusers(row: Row, _: float) -> str:
    return f"{row['accused_by']}/{row.get('observers', 0)}" if row.get("accused_by") else ""


def _flags(row: Row, _: float) -> Text:
    author = row.get("acknowledged_by")
    flags = [f"ack {plain(author)}" if author else "", "silenced" if row.get("silenced_by") else ""]
    flags += ["over for now" if row.get("clearing") else ""]
    flags += ["flapping" if row.get("flapping") else "", "" if row["state"] in ("firing", "open") else row["state"]]
    return Text(" ".join(filter(None, flags)), "dim")


def _unit(row: Row) -> str:
    return f"{plain(row['unit']) or 'count'}{'/s' if row['is_counter'] else ''}"


def _amount(field: str) -> Shown:
    return lambda row, _: grouped(row[field])


SEVERITY = Column("Severity", lambda row, _: marked(row["severity"]), _rank("severity", SEVERITIES))
SINCE = (
    Column("Since", _since("started_at"), _youngest("started_at")),
    Column("", _flags, lambda row: row["state"]),
)
PEERS = Table(
    "peers",
    "Peers",
    (
        Column("Peer", _short("peer_id"), _word("peer_id")),
        Column("Status", lambda row, _: marked(row["status"]), _rank("status", STATUSES)),
        Column("Verdict", _of("verdict"), _word("verdict")),
        Column("Accused", _accusers, lambda row: -row.get("accused_by", 0)),
        Column("Region", _of("region"), _word("region")),
        Column("RTT", lambda row, _: latency(row.get("rtt_s")), _number("rtt_s")),
        Column("Links", lambda row, _: str(row.get("links", 0)), lambda row: row.get("links", 0)),
        Column("Heard", _since("heard_at"), _youngest("heard_at")),
        Column("Version", _of("version"), _word("version")),
        Column("Node", _of("node"), _word("node")),
    ),
    lambda network: network.peers.values(),
    "peer_id",
    1,
)
REGIONS = Table(
    "regions",
    "Regions",
    (
        Column("Region", _of("region"), _word("region")),
        Column("Status", lambda row, _: marked(row["status"]), _rank("status", ("critical", *STATUSES))),
        Column("Peers", lambda row, _: str(row["total_peers"]), lambda row: -row["total_peers"]),
        Column("Healthy", lambda row, _: str(row["healthy_peers"]), lambda row: row["healthy_peers"]),
        Column("Down", lambda row, _: str(row["down_peers"]), lambda row: -row["down_peers"]),
        Column("RTT", lambda row, _: latency(row["rtt_s"]), _number("rtt_s")),
        Column(
            "Reaches", lambda row, _: f"{row['reached_regions']}/{row['other_regions']}", _number("reached_regions")
        ),
    ),
    lambda network: network.facts.get("regions", ()),
    "region",
    0,
)
ALERTS = Table(
    "alerts",
    "Alerts",
    (
        SEVERITY,
        Column("Alert", _title, _word("title")),
        Column("Peer", _peers, _word("peer_id")),
        Column("Region", _of("region"), _word("region")),
        *SINCE,
        Column("What", _of("description"), _word("description")),
        Column("Incident", _of("incident"), _word("incident")),
    ),
    lambda network: network.alerts.values(),
    "id",
    0,
    _newest,
    _alike,
)
INCIDENTS = Table(
    "incidents",
    "Incidents",
    (
        SEVERITY,
        Column("Incident", _of("title"), _word("title")),
        Column("Kind", _of("kind"), _word("kind")),
        Column("Peers", lambda row, _: str(row.get("peers", 0)), lambda row: -row.get("peers", 0)),
        Column("Root", lambda row, _: Text(plain(row.get("root"))[:SHORT_HEX] or "–"), _word("root")),
        *SINCE,
    ),
    lambda network: network.facts.get("trouble", {}).get("incidents", ()),
    "id",
    0,
    _newest,
)
MEASURES = Table(
    "measures",
    "Measures",
    (
        Column("Measure", _of("name"), _word("name")),
        Column("Nodes", _of("node"), _word("node")),
        Column("Unit", lambda row, _: Text(_unit(row)), _unit),
        Column("Peers", lambda row, _: str(row["peers"]), lambda row: -row["peers"]),
        *(Column(title, _amount(field), _number(field)) for title, field in (("Lowest", "min"), ("Median", "median"))),
        Column("Highest", _amount("max"), _number("max")),
    ),
    lambda network: ({**row, "key": f"{row['node']} {row['name']} {_unit(row)}"} for row in network.measures),
    "key",
    0,
)
TABLES = (PEERS, ALERTS, INCIDENTS, REGIONS, MEASURES)
