"""What agents say about each other, in one form for both programs, and the figures made of it. Pure: no I/O here.

A `Sighting` is one line of one agent's output: at this moment this observer came to see the subject as `what`:

    alive       knows the peer, and it lives
    suspect     somebody misses it                      (peerscope)
    majority    the majority of its observers miss it   (peerscope)
    down        it is down (Serf: failed)
    partitioned it lives behind a parted network        (peerscope; counts as down)
    left        it said goodbye
    gone        not alive by the once-a-second status; the verdict said so before, so nobody counts these
    delivered   an event handler would have heard now that somebody failed   (Serf; its line does not say who)
    event       a user event arrived; the subject is its name   (Serf)
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

ALIASES = {"majority": "down", "majority_s": "down_s", "false_majority": "false_down"}
"""What Serf has no word for is compared with its nearest: our majority suspicion with its failed."""

ABOUT_THE_RUN = {"of", "missed", "packets_lost_ratio", "machine_cpu_ratio", "benchmark_cpu_ratio"}
"""Numbers that say how it was measured, of which a ratio would say nothing."""


class Sighting(NamedTuple):
    """One observer saw one subject this way."""

    at: float
    """Unix seconds."""
    observer: int
    subject: str
    what: str


def from_peerscope(line: str, observer: int) -> Sighting | None:
    """A line of `peerscope run --json`."""
    if not line.startswith("{"):
        return None
    event = json.loads(line)
    match event["event"]:
        case "verdict":
            what = event["verdict"]
            if what == "suspect" and event["majority"]:
                what = "majority"
        case "status":
            what = "gone" if event["status"] in ("down", "left") else "alive"
        case _:
            return None
    return Sighting(event["at"], observer, event["peer_id"], what)


def from_serf(line: str, observer: int, at: float) -> Sighting | None:
    """A log line of `serf agent`, and when we read it: its own dates are whole seconds.

    `serf: EventMember...` is written when the agent itself knows; its event handlers hear it later, coalesced.
    """
    _, found, rest = line.partition("serf: EventMember")
    if found:
        how, _, name = rest.partition(": ")
        what = {"Join": "alive", "Failed": "down", "Leave": "left"}.get(how)
        return Sighting(at, observer, name.split()[0], what) if what else None
    _, found, rest = line.partition("agent: Received event: ")
    if rest.startswith("user-event: "):
        return Sighting(at, observer, rest.removeprefix("user-event: ").strip(), "event")
    if rest.strip() == "member-failed":
        return Sighting(at, observer, "", "delivered")
    return None


def delays(sightings: Iterable[Sighting], since: float, subject: str, kinds: Collection[str]) -> dict[int, float]:
    """By observer: seconds until it first saw the subject in one of these ways."""
    found: dict[int, float] = {}
    for sighting in sightings:
        if sighting.what in kinds and sighting.subject in (subject, "") and sighting.observer not in found:
            found[sighting.observer] = sighting.at - since
    return found


def spread(values: Collection[float], expected: int) -> dict[str, float | int | None]:
    """Median and maximum, and how many of the expected values never came."""
    return {
        "median": round(statistics.median(values), 3) if values else None,
        "max": round(max(values), 3) if values else None,
        "missed": expected - len(values),
    }


def alarms(sightings: Iterable[Sighting], kinds: Collection[str]) -> dict[str, int]:
    """Who was seen in one of these ways: `pairs` of observer and subject, each once, and `subjects` accused."""
    pairs = {(sighting.observer, sighting.subject) for sighting in sightings if sighting.what in kinds}
    return {"pairs": len(pairs), "subjects": len({subject for _, subject in pairs})}


def ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Ours divided by theirs, wherever both have a number and not both zero; null where only theirs is zero."""
    found: dict[str, Any] = {}
    for key, mine in ours.items():
        if key in ABOUT_THE_RUN:
            continue
        other = theirs.get(key, theirs.get(ALIASES.get(key, key)))
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            if inner := ratios(mine, other):
                found[key] = inner
        elif _is_number(mine) and _is_number(other) and (mine or other):
            found[key] = round(mine / other, 3) if other else None
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
