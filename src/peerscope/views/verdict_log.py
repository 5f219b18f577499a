"""Every change of a peer's state, and the times in which this agent watched, for the history.

`beat` comes with every turn of the core, `observe` when verdicts may have changed. A turn that comes too late is
absence: the process was stopped, or the machine slept. The log keeps what is not yet written, and is bounded.

All times are Unix seconds by our own clock. A clock that is set back by a little stands still until it has caught up.
If it is set back by more, everything dated later never happened: the log and the file drop it. A clock that is set
back by more than a day is itself wrong, as on a machine without a battery. The log then drops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.views.availability import ABSENCE_S, StateChange, WatchedState, WatchedTime
from peerscope.views.peers import planned_view
from peerscope.views.snapshot import Snapshot

SET_BACK_S = 60.0
"""A clock that is set back by less stands still."""
SET_BACK_S_MAX = 86_400.0
"""A clock that is set back by more is wrong, so nothing is dropped."""
WAITING_MAX = 100_000
"""Changes that wait for the disk. After more, the log begins anew, and the lost time is unknown."""
TIMES_MAX = 10_000

STATES = {
    Verdict.ALIVE: WatchedState.ALIVE,
    Verdict.SUSPECT: WatchedState.SUSPECT,
    Verdict.DOWN: WatchedState.DOWN,
    Verdict.PARTITIONED: WatchedState.PARTITIONED,
}


class VerdictJournal(Struct, frozen=True):
    """Entries that wait for the file. A writer first drops all that is dated `rewound_to` or later."""

    changes: tuple[StateChange, ...] = ()
    times: tuple[WatchedTime, ...] = ()
    """The last one still goes on, and is written again with a later end."""
    rewound_to: float | None = None
    edition: int = 0
    """Grows when waiting entries are dropped."""


class VerdictLog:
    """The states of all peers, and the changes that wait to be written."""

    def __init__(self) -> None:
        self._states: dict[PeerId, WatchedState] = {}
        self._changes: list[StateChange] = []
        self._times: list[WatchedTime] = []
        self._begin = 0.0
        self._until: float | None = None
        self._is_start = True
        self._rewound_to: float | None = None
        self._edition = 0

    @property
    def needs_time(self) -> bool:
        """A state may change by the passing of time alone."""
        held = self._states.values()
        return WatchedState.PLANNED in held or WatchedState.DOWN in held or WatchedState.PARTITIONED in held

    def beat(self, wall: float) -> None:
        """This agent watches now."""
        if self._until is None:
            self._begin = self._until = wall
        elif wall > self._until:
            if wall - self._until > ABSENCE_S:
                self._end()
                self._begin, self._is_start = wall, False
            self._until = wall
        elif wall < self._until - SET_BACK_S:
            self._rewind(wall)

    def observe(self, snapshot: Snapshot, planned: frozenset[PeerId] = frozenset()) -> None:
        """Note what has changed. `planned`: peers whose downtime was ordered in advance."""
        if self._until is None:
            return
        found = {peer: state_of(snapshot, peer, is_planned=peer in planned) for peer in snapshot.peers}
        if found == self._states:
            return
        gone = ((peer, WatchedState.FORGOTTEN) for peer in self._states.keys() - found.keys())
        news = ((peer, state) for peer, state in found.items() if self._states.get(peer) is not state)
        self._note([*gone, *news])
        self._states = found

    def waiting(self) -> VerdictJournal:
        """Everything that is not yet written."""
        now = [] if self._until is None else [WatchedTime(self._begin, self._until, self._is_start)]
        return VerdictJournal(tuple(self._changes), (*self._times, *now), self._rewound_to, self._edition)

    def written(self, journal: VerdictJournal) -> None:
        """Drop what was written."""
        if journal.edition == self._edition:
            del self._changes[: len(journal.changes)]
            del self._times[: len(journal.times) - 1]
            self._rewound_to = None

    def begin_anew(self) -> None:
        """Note every state again, and drop what waits: the file is a new one, or too much waits."""
        self._changes, self._times = [], []
        if self._until is not None:
            self._start(self._until)

    def _note(self, news: Iterable[tuple[PeerId, WatchedState]]) -> None:
        assert self._until is not None
        self._changes += [StateChange(peer, self._until, state) for peer, state in news]
        if len(self._changes) > WAITING_MAX or len(self._times) > TIMES_MAX:
            self.begin_anew()

    def _end(self) -> None:
        assert self._until is not None
        self._times.append(WatchedTime(self._begin, self._until, self._is_start))

    def _rewind(self, wall: float) -> None:
        assert self._until is not None
        self._end()
        if self._until - wall <= SET_BACK_S_MAX:
            kept = [one for one in self._times if one.begin < wall]
            self._times = [WatchedTime(one.begin, min(one.until, wall), one.is_start) for one in kept]
            self._changes = [one for one in self._changes if one.at < wall]
            self._rewound_to = wall if self._rewound_to is None else min(wall, self._rewound_to)
        self._start(wall)

    def _start(self, wall: float) -> None:
        self._states = {}
        self._begin = self._until = wall
        self._is_start = True
        self._edition += 1


def state_of(snapshot: Snapshot, peer: PeerId, *, is_planned: bool) -> WatchedState:
    """The state of one of the peers of a snapshot. `is_planned`: its downtime was ordered in advance."""
    verdict = snapshot.verdict(peer)
    if verdict is Verdict.LEFT:
        return _left(snapshot, peer)
    if is_planned and verdict in (Verdict.DOWN, Verdict.PARTITIONED):
        return WatchedState.PLANNED
    return STATES[verdict]


def _left(snapshot: Snapshot, peer: PeerId) -> WatchedState:
    planned = planned_view(snapshot, peer)
    if planned is None:
        return WatchedState.LEFT
    return WatchedState.OVERDUE if planned.is_overdue else WatchedState.PLANNED
