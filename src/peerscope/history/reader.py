"""Reads one series over a span of time, from the file and from samples that are not yet written."""

from __future__ import annotations

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from math import ceil, inf
from pathlib import Path

from msgspec import Struct

from peerscope.errors import HistoryError
from peerscope.history.columns import is_known, known_count, mean
from peerscope.history.measures import MeasureKey, MeasureSeries, Variant, kept_columns, measure_series, most_reported
from peerscope.history.retention import RAW, Tier, columns
from peerscope.history.schema import COLUMN_BITS, open_to_read
from peerscope.history.series import SERIES, Series
from peerscope.host.numbers import duration_s
from peerscope.records.identity import PeerId

POINTS_MAX = 2000
SPAN_S_MAX = 10 * 366 * 86_400

Tiers = tuple[Tier, Tier, Tier]


class History(Struct, frozen=True):
    """One series."""

    metric: str
    unit: str
    peer_id: str | None
    """null for a series of the network."""
    step_s: int
    since: int
    """Unix seconds at which the first step begins."""
    source: str
    """The finest resolution that reaches back to `since`: raw, minute or quarter. The end may come from finer ones."""
    samples: tuple[tuple[int, float | None], ...]
    """Unix seconds at which each step begins, and its value; null where nothing was measured."""


class Question(Struct, frozen=True):
    """A request for one series."""

    series: Series
    peer: PeerId | None
    since: int
    until: int
    """Unix seconds; both are part of the answer."""
    step_s: int | None = None
    """None for the finest step there is."""


class Point(Struct, frozen=True):
    """A value at one time."""

    value: float
    variant: Variant | None = None
    """The measure that it is of; None for a fixed series."""


TimedPoint = tuple[int, int, Point]
"""When it begins, in Unix seconds, and how many seconds it is over."""


class KeptColumn(Struct, frozen=True):
    """A column of the file that a series may be in."""

    number: int | None = None
    """None for the column of a fixed series."""
    since: int = 0
    """Earlier values there belong to another series."""
    key: MeasureKey | None = None


def span_s(text: str) -> int | None:
    """Seconds of "90s", "15m", "1h", "30d"; None for anything else, for parts of a unit, and for 0."""
    seconds = duration_s(text)
    return None if seconds is None or "." in text else int(seconds)


def series_named(name: str) -> Series:
    """Look up a series. Raises `HistoryError`, which lists similar names, or all of them."""
    measure = measure_series(name)
    if measure is not None:
        return measure
    if name not in SERIES:
        from difflib import get_close_matches  # for mistakes alone

        near = [known for known in SERIES if known.startswith(name)] or get_close_matches(name, SERIES, n=5)
        raise HistoryError(
            f"no series {name[:64]!r}; {'near it' if near else 'there are'}: {', '.join(near or SERIES)}"
        )
    return SERIES[name]


def read(
    place: Path | None,
    kept: Tiers,
    question: Question,
    unwritten: Mapping[int, Point] | None = None,
) -> History:
    """Read at most `POINTS_MAX` steps. Raises `HistoryError`.

    `place`: the file, if there is one. `unwritten`: values by time that are not in it.
    """
    unwritten = {at: point for at, point in (unwritten or {}).items() if is_known(point.value)}
    points = [(at, kept[0].step_s, point) for at, point in unwritten.items()]
    if place is None:
        return _answer(question, _finest(kept, question, {}), points)
    with reading(place) as db:
        oldest = _oldest(db, kept)
        tier = _finest(kept, question, oldest)
        finer = [one for one in kept[: kept.index(tier) + 1] if one in oldest]
        for column in _columns(db, question.series):
            points += _points(db, {one: oldest[one] for one in reversed(finer)}, question, unwritten, column)
    return _answer(question, tier, points)


def find(place: Path, beginning: str) -> list[PeerId]:
    """Peers in the file whose id begins with this hexadecimal text."""
    with reading(place) as db:
        known = [PeerId(peer) for (peer,) in db.execute("SELECT peer_id FROM peer ORDER BY peer_id")]
    return [peer for peer in known if peer.hex().startswith(beginning.lower())]


@contextmanager
def reading(place: Path) -> Iterator[sqlite3.Connection]:
    """Open one state of the file. Raises `HistoryError`, also for what fails inside."""
    try:
        with closing(open_to_read(place)) as db:
            db.execute("BEGIN")  # read one state of the file, even while the agent writes
            yield db
    except (sqlite3.Error, zlib.error) as error:
        raise HistoryError(f"{place}: cannot be read: {error}") from None


def _oldest(db: sqlite3.Connection, kept: Tiers) -> dict[Tier, int]:
    """Find where each resolution begins, rounded down to a whole step of the coarsest, so that all begin together."""
    found = {tier: db.execute(f"SELECT min(id) >> {COLUMN_BITS} FROM {tier.name}").fetchone()[0] for tier in kept}
    return {tier: at - at % kept[-1].step_s for tier, at in found.items() if at is not None}


def _finest(kept: Tiers, question: Question, oldest: Mapping[Tier, int]) -> Tier:
    """Find the finest resolution that reaches back to `since`, or as far as any does."""
    wide = [tier for tier in kept if question.since >= question.until - tier.keep_s] or kept[-1:]
    return min(wide, key=lambda tier: max(oldest.get(tier, inf), question.since))


def _columns(db: sqlite3.Connection, series: Series) -> Iterator[KeptColumn]:
    """Columns that a series may be in."""
    if isinstance(series, MeasureSeries):
        yield from (KeptColumn(*found) for found in kept_columns(db, series))
    else:
        yield KeptColumn()


def _points(
    db: sqlite3.Connection,
    oldest: Mapping[Tier, int],
    question: Question,
    unwritten: Mapping[int, Point],
    kept: KeptColumn,
) -> Iterator[tuple[int, int, Point]]:
    """Yield (at, seconds, point) from the file.

    `oldest`: resolutions, coarsest first, and where each begins. Finer ones add what coarser ones do not have yet.
    """
    series, begin, place = question.series, max(question.since, kept.since), question.series.place
    if question.peer is not None:
        slot = db.execute("SELECT slot, since FROM peer WHERE peer_id = ?", (question.peer,)).fetchone()
        if slot is None:
            return
        place, begin = slot[0], max(begin, slot[1])
    for tier, first in oldest.items():
        is_raw = tier.name == RAW
        begin = max(begin - begin % tier.step_s, first)
        fixed = series.base if is_raw else series.column
        for at, column in columns(db, tier, fixed if kept.number is None else kept.number, begin, question.until + 1):
            begin = at + tier.step_s
            value = series.of(column, place)
            if is_known(value) and not (is_raw and at in unwritten):
                peers = known_count(column) if question.peer is None else 1
                yield at, tier.step_s, Point(value, None if kept.key is None else Variant(kept.key, peers))


def _of_one_measure(question: Question, points: list[TimedPoint]) -> tuple[list[TimedPoint], str | None]:
    """The points of one measure, where several share the name, and its unit.

    For the network those at times when no other has more peers; for a peer all with the same unit.
    """
    found = [(at, seconds, point, point.variant) for at, seconds, point in points if point.variant is not None]
    shown = most_reported((seconds, variant) for _, seconds, _, variant in found)
    if shown is None:
        return points, None
    if question.peer is not None:
        same = [(at, seconds, point) for at, seconds, point, (key, _) in found if key.shown_unit == shown.shown_unit]
        return same, shown.shown_unit
    most: dict[tuple[int, int], int] = defaultdict(int)
    for at, seconds, _, variant in found:
        most[at, seconds] = max(most[at, seconds], variant.peers)
    kept = [
        (at, seconds, point)
        for at, seconds, point, variant in found
        if variant.key == shown and variant.peers == most[at, seconds]
    ]
    return kept, shown.shown_unit


def _answer(question: Question, tier: Tier, points: list[TimedPoint]) -> History:
    """Put the points on a grid of whole steps."""
    points, unit = _of_one_measure(question, points)
    least = max(tier.step_s, question.step_s or 0, ceil((question.until - question.since + 1) / (POINTS_MAX - 1)))
    step_s = -(-least // tier.step_s) * tier.step_s
    begin = question.since - question.since % step_s
    series = question.series
    together: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for at, seconds, point in points:
        if begin <= at <= question.until:
            together[at - at % step_s].append((seconds, point.value))
    last = question.until - question.until % step_s
    grid = range(
        begin, last + (last in together or last == begin), step_s
    )  # the step that still runs may have no value
    return History(
        metric=series.name,
        unit=unit or series.unit,
        peer_id=None if question.peer is None else question.peer.hex(),
        step_s=step_s,
        since=begin,
        source=tier.name,
        samples=tuple((at, _one(series, together[at]) if at in together else None) for at in grid),
    )


def _one(series: Series, values: list[tuple[int, float]]) -> float:
    """Fold the values within one step; a mean weighs each by its duration. Keeps as many digits as the file."""
    if series.fold is mean:
        value = sum(seconds * value for seconds, value in values) / sum(seconds for seconds, _ in values)
    else:
        value = max(value for _, value in values)
    return float(f"{value:.5g}") if abs(value) < 100_000 else float(round(value))
