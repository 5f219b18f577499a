"""The times of a silence that is ordered in advance: once later, or again and again by a rule of RFC 5545.

Only the peer at which the operator orders it evaluates the rule. It publishes the next times, and further ones as these
pass. So no peer evaluates a rule of another one, and only the ordering peer needs the database of time zones.

The rule stays the text that the operator wrote, beside the name of its zone. Writing it back as text would lose the
zone, as python-dateutil does.

When the clocks change, a daily 02:30 may exist never or twice on that day. As RFC 5545 says (3.3.10 and 3.3.5), a time
that does not exist is no time of the rule and does not count for COUNT. If a time exists twice, the first one counts.
The length of a window is in elapsed seconds, whatever the clocks do.

**Bounds.** Rules are daily or rarer, from a short list of parts. Two windows begin at least `GAP_S` apart and do not
overlap. A rule that no date fits would make python-dateutil search until the year 9999. So the search runs 7,600 years
later, where the calendar is the same (it repeats every 400 years), and ends after less than 400 years.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.records.alerts import WINDOWS_MAX

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

GAP_S = 900.0
CHECKED = 64
"""So many windows are checked when a rule is ordered: they begin far enough apart, and do not overlap."""
AHEAD_S_MAX = 366 * 86_400.0
BEHIND_S_MAX = 366 * 86_400.0
RULE_MAX, ZONE_MAX, COUNT_MAX, INTERVAL_MAX = 160, 64, 10_000, 1000
CYCLES_YEARS = 7_600
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
PARTS = frozenset(
    (
        *("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS"),
        *("BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE"),
    )
)
_VALUE = re.compile(r"[0-9A-Z,+-]{1,120}", re.ASCII)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_UNTIL = re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?", re.ASCII)

Window = tuple[float, float]


class Schedule(Struct, frozen=True):
    """When a silence holds, as ordered."""

    begin_at: float
    """Unix seconds at which the first window begins, or before which none does."""
    for_s: float
    zone: str
    """IANA name."""
    rule: str | None = None
    """RFC 5545 RRULE as the operator wrote it; None for a single window."""
    ordered_at: float = 0.0
    """Unix seconds. No window begins earlier, since downtime in a window counts as planned."""


class SilenceTimes(Struct, frozen=True):
    """When a silence holds, in the words of an operator."""

    begin: str | None = None
    """"02:30" (the next), "2026-12-01T02:30", either in `zone`; or with an offset, or Unix seconds."""
    rule: str | None = None
    """RFC 5545 RRULE."""
    zone: str | None = None
    """IANA name; None for UTC."""


def order_schedule(when: SilenceTimes, for_s: float, now: float) -> Schedule:
    """Check an order; `now`: Unix seconds. Raises `ConfigError`."""
    begin, rule, zone = when.begin, when.rule, when.zone
    zone = (zone or "UTC").strip()
    place = _zone(zone)
    if begin is None:
        raise ConfigError("a silence that repeats needs a begin, such as 02:30: it gives the time of day")
    begin_at = _begin(begin.strip(), place, zone, now)
    if not now - BEHIND_S_MAX <= begin_at <= now + AHEAD_S_MAX:
        raise ConfigError(f"begin is {begin!r}; must be within a year of now")
    if rule is None and begin_at < now:
        raise ConfigError(f"begin is {begin!r}, which is over; leave it out for a silence that begins at once")
    schedule = Schedule(begin_at, for_s, zone, None if rule is None else rule.strip(), now)
    if rule is not None and (not rule.strip() or len(rule.strip()) > RULE_MAX):
        raise ConfigError(f"the rule has {len(rule.strip())} characters; must have 1 to {RULE_MAX}")
    found = upcoming(schedule, now, CHECKED)
    if not found:
        raise ConfigError("a silence that holds never again: check begin and rule")
    for (before, _), (after, _) in pairwise(found):
        if after - before < max(GAP_S, for_s):
            least = f"{max(GAP_S, for_s):.0f} s"
            raise ConfigError(f"two windows begin {after - before:.0f} s apart; must be {least} or more")
    return schedule


def upcoming(schedule: Schedule, now: float, most: int = WINDOWS_MAX) -> tuple[Window, ...]:
    """The next windows that are not over, by time. Raises `ConfigError` for a zone that is unknown here."""
    for_s = schedule.for_s
    windows = ((begin, begin + for_s) for begin in _begins(schedule))
    return tuple(islice((window for window in windows if window[1] > now and window[0] >= schedule.ordered_at), most))


def _begins(schedule: Schedule) -> Iterator[float]:
    if schedule.rule is None:
        yield schedule.begin_at
        return
    from dateutil.rrule import rrulestr  # most agents never have such a silence

    place, parts = _zone(schedule.zone), _parts(schedule.rule)
    count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    start = datetime.fromtimestamp(schedule.begin_at, place).replace(tzinfo=None, microsecond=0, fold=0)
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        rule = rrulestr(text, dtstart=_moved(start, CYCLES_YEARS))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ConfigError(f"the rule {schedule.rule!r}: {error}") from None
    left = _number("COUNT", count, COUNT_MAX) if count is not None else math.inf
    end = _until(until, place) if until is not None else math.inf
    for found in rule:
        at = _unix(_moved(found, -CYCLES_YEARS), place)
        if at is None or at < math.floor(schedule.begin_at):  # a local time that exists twice may be before the begin
            continue
        if left <= 0 or at > end:
            return
        left -= 1
        yield at


def _parts(rule: str) -> dict[str, str]:
    """Split and check a rule. Raises `ConfigError`."""
    parts: dict[str, str] = {}
    for part in rule.strip().upper().removeprefix("RRULE:").rstrip(";").split(";"):
        name, _, value = part.partition("=")
        if name not in PARTS or name in parts or not _VALUE.fullmatch(value):
            raise ConfigError(f"the rule {rule[:RULE_MAX]!r}: {part[:40]!r}; it has parts such as FREQ=WEEKLY;BYDAY=SU")
        parts[name] = value
    if parts.get("FREQ") not in FREQUENCIES:
        raise ConfigError(f"the rule {rule[:RULE_MAX]!r}: FREQ must be one of {', '.join(FREQUENCIES)}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ConfigError(f"the rule {rule[:RULE_MAX]!r} has both COUNT and UNTIL; must have one")
    if "INTERVAL" in parts:
        _number("INTERVAL", parts["INTERVAL"], INTERVAL_MAX)
    return parts


def _number(name: str, text: str, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise ConfigError(f"{name} is {text}; must be 1 to {most}")
    return int(text)


def _until(text: str, place: ZoneInfo) -> float:
    """The last second in which a window may begin."""
    try:
        if not _UNTIL.fullmatch(text):
            raise ValueError
        if text.endswith("Z"):
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if "T" in text:
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=place, fold=1).timestamp()
        day = datetime.strptime(text, "%Y%m%d") + timedelta(hours=23, minutes=59, seconds=59)
        return day.replace(tzinfo=place, fold=1).timestamp()
    except (ValueError, OverflowError):
        raise ConfigError(f"UNTIL is {text}; must be as 20261231, 20261231T023000 or 20261231T013000Z") from None


def _begin(text: str, place: ZoneInfo, zone: str, now: float) -> float:
    if re.fullmatch(r"[0-9]{9,11}(\.[0-9]{1,6})?", text, re.ASCII):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        today = datetime.fromtimestamp(now, place).replace(tzinfo=None, fold=0, second=0, microsecond=0)
        for days in range(3):  # today's is over, or does not exist
            day = (today + timedelta(days=days)).replace(hour=int(clock[1]), minute=int(clock[2]))
            at = _unix(day, place)
            if at is not None and at >= now:
                return at
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo is not None:
            return given.timestamp()
        at = _unix(given, place)
    except (ValueError, OverflowError):
        raise ConfigError(f"begin is {text[:40]!r}; must be as 02:30, 2026-12-01T02:30 or Unix seconds") from None
    if at is None:
        raise ConfigError(f"{text} does not exist in {zone}: the clocks are put forward then; choose another time")
    return at


def _unix(local: datetime, place: ZoneInfo) -> float | None:
    """Unix seconds of a local time: the first, if it exists twice; None if it does not exist."""
    aware = local.replace(tzinfo=place, fold=0)
    is_real = aware.astimezone(UTC).astimezone(place).replace(tzinfo=None, fold=0) == local.replace(fold=0)
    return aware.timestamp() if is_real else None


def _moved(local: datetime, years: int) -> datetime:
    return local.replace(year=local.year + years)


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    try:
        if len(name) > ZONE_MAX:
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(f"no time zone {name[:ZONE_MAX]!r} is known here; name one as Europe/Berlin or UTC") from None
