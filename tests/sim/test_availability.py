"""Availability from the history, against what a simulated network knows: verdicts as the observer saw them, and the
machines' real up-time."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from peerscope.core import CoreConfig, Effect
from peerscope.history.availability import VerdictPage, VerdictStore, read_availability
from peerscope.history.schema import open_to_write
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Publish, Stored
from peerscope.records.alerts import Orders, Silence, SilenceWindow
from peerscope.records.bodies import PlannedAbsence, Profile
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.views.availability import Availability
from peerscope.views.changes import VerdictChange
from peerscope.views.verdict_log import VerdictJournal

FLUSH_S = 10.0
END_S = 900.0
EXACT = 0.001
DOWN = ("down", "partitioned")


class Watcher:
    """One observer with a file, and on the side a list of everything that its core says and when it ran."""

    def __init__(self, sim: Simulator, me: PeerId, place: Path) -> None:
        self.sim, self.me, self.place = sim, me, place
        self.verdicts: dict[PeerId, list[tuple[float, str]]] = defaultdict(list)
        self.verdicts[me].append((0.0, "alive"))  # it runs already
        self.unwatched: list[tuple[float, float]] = []
        self.flushed_at = 0.0
        self._db = open_to_write(place)
        self._store = VerdictStore(self._db, 2**29)
        sim.on_effect.append(self._note)
        for at in range(1, int(END_S / FLUSH_S) + 1):
            sim.at(at * FLUSH_S, self.flush)

    def flush(self) -> None:
        node = self.sim.nodes[self.me]
        if node.core is None or self.sim.now < node.paused_until:
            return
        log = node.core.news.verdict_log
        log.beat(self.sim.snapshot(self.me).wall)  # as the recorder does
        journal = log.waiting()
        self._db.execute("BEGIN")
        self._store.write(VerdictPage(journal, self.regions()))
        self._db.execute("COMMIT")
        log.written(journal)
        self.flushed_at = self.sim.now

    def regions(self) -> dict[PeerId, str | None]:
        return {peer: node.region for peer, node in self.sim.nodes.items()}

    def kill(self, for_s: float, *bootstrap: PeerId) -> None:
        """What was not flushed is lost; the watcher finds its peers again after its start."""
        self.unwatched.append((self.flushed_at, self.sim.now + for_s))
        self.sim.crash(self.me)
        for held in self.verdicts.values():
            held[:] = [*(one for one in held if one[0] <= self.flushed_at), (self.flushed_at, "unknown")]
        self.sim.at(self.sim.now + for_s, lambda: self.sim.start(self.me, *bootstrap))

    def freeze(self, for_s: float) -> None:
        self.unwatched.append((self.sim.now, self.sim.now + for_s))
        self.sim.pause(self.me, for_s)

    def answer(self, since: float = 0.0) -> list[Availability]:
        with closing(self._db):
            core = self.sim.core_of(self.me)
            page = VerdictPage(core.news.verdict_log.waiting(), self.regions())
            until = EPOCH_S + self.sim.now
            return read_availability(self.place, page, [EPOCH_S + since], until)[0]

    def truth(self, peer: PeerId, end: float) -> dict[str, float]:
        """Seconds of each verdict that the observer said, without the time in which it did not run."""
        found: dict[str, float] = defaultdict(float)
        for (at, verdict), (until, _) in pairwise([*self.verdicts[peer], (end, "")]):
            absent = sum(max(0.0, min(until, b) - max(at, a)) for a, b in self.unwatched)
            if verdict != "unknown":
                found[verdict] += until - at - absent
        return found

    def _note(self, machine: PeerId, effect: Effect, now: float) -> None:
        if machine != self.me:
            return
        if isinstance(effect, Stored) and isinstance(effect.entry.body, Profile):
            held = self.verdicts[effect.entry.record.peer_id]
            if not held or held[-1][1] == "unknown":
                held.append((now, "left" if effect.entry.body.left else "alive"))
        if isinstance(effect, VerdictChange):
            self.verdicts[effect.peer].append((now, effect.verdict.value))


def network(seed: int, peers: int = 8) -> tuple[Simulator, list[PeerId]]:
    sim = Simulator(seed=seed, signed=False, core=CoreConfig(parts=frozenset(("news",))))
    names = [sim.add(f"region-{index % 3}") for index in range(peers)]
    for name in names:
        sim.start(name, *names[:1])
    return sim, names


def down_for(sim: Simulator, peer: PeerId, at: float, for_s: float, bootstrap: PeerId) -> None:
    sim.at(at, lambda: sim.crash(peer))
    sim.at(at + for_s, lambda: sim.start(peer, bootstrap))


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_those_of_the_verdicts_that_the_observer_gave(seed: int, tmp_path: Path) -> None:
    sim, names = network(seed)
    me, rng = names[1], Random(seed)
    watcher = Watcher(sim, me, tmp_path / "history.db")
    down_for(sim, names[2], 60 + rng.random() * 60, 100 + rng.random() * 50, names[0])
    down_for(sim, names[3], 200 + rng.random() * 10, 30, names[0])
    down_for(sim, names[3], 300 + rng.random() * 10, 7, names[0])
    sim.at(330, lambda: sim.leave(names[4], PlannedAbsence(120_000)))
    sim.at(520, lambda: sim.start(names[4], names[0]))
    sim.at(345, lambda: sim.leave(names[5]))
    far = set(names[6:])
    sim.at(400, lambda: sim.cut(far, set(names) - far))
    sim.at(460, sim.heal)
    sim.at(560 + rng.random() * 9, lambda: watcher.freeze(35.0))
    sim.at(650 + rng.random() * 9, lambda: watcher.kill(45.0, names[0]))
    sim.run_until(END_S)
    rows = {row.id: row for row in watcher.answer()}
    for peer in names:
        row, truth = rows[peer.hex()], watcher.truth(peer, END_S)
        up, down = truth["alive"] + truth["suspect"], sum(truth[name] for name in DOWN)
        overdue = row.by_verdict.get("overdue", 0.0)
        assert row.up_s == pytest.approx(up, abs=EXACT * END_S), (peer.hex(), row, truth)
        assert row.down_s == pytest.approx(down + overdue, abs=EXACT * END_S)
        assert row.suspect_s == pytest.approx(truth["suspect"], abs=EXACT * END_S)
        assert row.planned_s == pytest.approx(truth["left"] - overdue, abs=EXACT * END_S)
        assert overdue == pytest.approx(70.0 if peer == names[4] else 0.0, abs=EXACT * END_S)
        assert row.up_s + row.down_s + row.planned_s + row.unknown_s == pytest.approx(row.window_s, abs=0.01)
        ratio = up / (up + down + overdue)
        assert row.up_ratio == pytest.approx(ratio, abs=EXACT)
    assert rows[names[2].hex()].down_s > 90
    assert rows[me.hex()].unknown_s == pytest.approx(sum(b - a for a, b in watcher.unwatched), abs=EXACT * END_S)
    network_row = rows["network"]
    assert network_row.down_s == pytest.approx(sum(rows[peer.hex()].down_s for peer in names), abs=0.1)
    assert network_row.peers == len(names)


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(2))
def test_downtime_is_the_real_one_less_the_delay_of_detection(seed: int, tmp_path: Path) -> None:
    """What is lost at its begin comes back only in part at its end: a started process is found within seconds."""
    sim, names = network(seed)
    watcher = Watcher(sim, names[1], tmp_path / "history.db")
    detected: dict[PeerId, list[float]] = defaultdict(list)

    def note(machine: PeerId, effect: Effect, now: float) -> None:
        if machine == names[1] and isinstance(effect, VerdictChange) and effect.verdict is Verdict.DOWN:
            detected[effect.peer].append(now)

    sim.on_effect.append(note)
    outages = {names[2]: (100.0, 200.0), names[3]: (400.0, 300.0)}
    for peer, (at, for_s) in outages.items():
        down_for(sim, peer, at, for_s, names[0])
    sim.run_until(END_S)
    rows = {row.id: row for row in watcher.answer()}
    for peer, (at, for_s) in outages.items():
        delay_s = detected[peer][0] - at
        assert 1.5 < delay_s < 8.0
        assert rows[peer.hex()].down_s == pytest.approx(for_s - delay_s, abs=2.0)
        up_ratio = rows[peer.hex()].up_ratio
        assert up_ratio is not None
        real = 1 - for_s / (END_S - 1)
        assert real <= up_ratio <= real + (delay_s + 2.0) / END_S
    assert all(rows[peer.hex()].up_ratio == 1.0 for peer in names if peer not in outages)


def cut_short(sim: Simulator, me: PeerId, seconds: float) -> Callable[[], None]:
    return lambda: sim.step_clock(me, -seconds)


@pytest.mark.sim
@pytest.mark.parametrize("back_s", [5.0, 30.0, 300.0])
def test_a_clock_that_is_set_back_counts_no_second_twice(back_s: float, tmp_path: Path) -> None:
    sim, names = network(9, peers=5)
    me = names[1]
    watcher = Watcher(sim, me, tmp_path / "history.db")
    sim.at(500, cut_short(sim, me, back_s))
    sim.run_until(END_S)
    core = sim.core_of(me)
    until = EPOCH_S + END_S - back_s
    assert core.news.verdict_log.waiting().times[-1].until == pytest.approx(until, abs=2.0)
    page = VerdictPage(core.news.verdict_log.waiting(), watcher.regions())
    rows = read_availability(watcher.place, page, [EPOCH_S], until)[0]
    for row in rows:
        if row.scope == "peer":
            assert row.window_s == pytest.approx(END_S - back_s, abs=3.0)
            assert row.up_s + row.unknown_s == pytest.approx(row.window_s, abs=0.01)
            assert row.unknown_s <= 1.0
            assert row.up_ratio == 1.0


@pytest.mark.sim
def test_downtime_within_a_silence_ordered_in_advance_is_planned(tmp_path: Path) -> None:
    sim, names = network(3)
    watcher = Watcher(sim, names[1], tmp_path / "history.db")
    matchers = (("rule", "peer-down"), ("peer", names[2].hex()[:16]))
    planned = Silence("0badcafe", matchers, 0, 0, "op", "upgrade", (SilenceWindow(90_000, 60_000),))
    other = Silence("0badcaff", (("peer", names[3].hex()),), 0, 600_000, "op", "it is down already")
    sim.at(10, lambda: sim.feed(names[0], Publish(Orders((planned, other)), urgent=True)))
    for peer in names[2:4]:
        down_for(sim, peer, 80, 120, names[0])
    sim.run_until(END_S)
    rows = {row.id: row for row in watcher.answer()}
    ordered, silenced = rows[names[2].hex()], rows[names[3].hex()]
    assert ordered.planned_s == pytest.approx(60.0, abs=EXACT * END_S)
    assert ordered.planned_s + ordered.down_s == pytest.approx(120, abs=8)
    assert silenced.planned_s == 0
    assert silenced.down_s > 110


def test_nothing_is_known_before_the_first_turn(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    nothing = VerdictPage(VerdictJournal(), {})
    for file in (None, place):
        rows = read_availability(file, nothing, [0.0], 10.0)[0]
        assert [(row.up_ratio, row.down_s, row.window_s) for row in rows] == [(None, 0.0, 0.0)]
        open_to_write(place).close()
