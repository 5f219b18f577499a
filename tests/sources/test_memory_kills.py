"""Kills for lack of memory: only those that ended something of ours count, and the reader is told which."""

import os
import time
from pathlib import Path

import pytest

from peerscope.sources.cgroup import memory_kills
from peerscope.sources.memory_kills import (
    NODE_LAG_S,
    RESTART_S,
    WINDOW_S,
    KillCounters,
    Kills,
    MemoryKills,
    kill_counters,
)


class Kernel:
    """Counters that a test sets."""

    def __init__(self, group: int | None = 0, machine: int | None = 5, boot: str = "boot-1") -> None:
        self.group, self.machine, self.boot = group, machine, boot

    def read(self) -> KillCounters:
        return KillCounters(self.boot, self.group, self.machine)


def told(found: Kills | None) -> tuple[int, str]:
    assert found is not None
    return found.count, found.text


def tree(place: Path, membership: str, **files: str) -> tuple[Path, Path]:
    """A tree of groups with these files, and the file that names ours."""
    for name, text in files.items():
        file = place / "cgroup" / name.replace("__", "/").replace("_events", ".events").replace("_oom", ".oom")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (place / "membership").write_text(membership)
    return place / "cgroup", place / "membership"


def test_the_group_of_the_agent_has_a_counter_in_both_versions(tmp_path: Path) -> None:
    two = tree(
        tmp_path / "2", "0::/a/b\n", a__b__memory_events="low 0\noom 3\noom_kill 2\n", a__memory_events="oom_kill 9"
    )
    assert memory_kills(*two) == 2
    one = tree(tmp_path / "1", "4:memory:/a\n", memory__a__memory_oom_control="under_oom 0\noom_kill 7\n")
    assert memory_kills(*one) == 7


def test_the_groups_above_ours_and_garbage_say_nothing_of_us(tmp_path: Path) -> None:
    (tmp_path / "2" / "cgroup" / "a" / "b").mkdir(parents=True)
    assert memory_kills(*tree(tmp_path / "2", "0::/a/b\n", a__memory_events="oom_kill 9")) is None
    assert memory_kills(*tree(tmp_path / "3", "0::/\n", memory_events="oom_kill many")) is None
    assert memory_kills(tmp_path / "nowhere", tmp_path / "nothing") is None


def test_this_very_machine_is_read_without_a_failure() -> None:
    counters = kill_counters()
    assert all(count is None or count >= 0 for count in (counters.group, counters.machine))
    nothing = Path("/nowhere")
    assert kill_counters(nothing, nothing, nothing, nothing) == KillCounters("")


def test_a_system_that_counts_nothing_is_unknown_and_not_calm() -> None:
    assert MemoryKills(read=Kernel(None, None).read).look(0.0, is_node_down=False) is None


def test_what_was_killed_before_the_agent_started_is_no_news() -> None:
    kernel = Kernel(group=4, machine=90)
    kills = MemoryKills(read=kernel.read)
    assert told(kills.look(0.0, is_node_down=False)) == (0, "")


def test_a_kill_in_our_own_group_is_told_for_ten_minutes() -> None:
    kernel = Kernel()
    kills = MemoryKills(read=kernel.read)
    kills.look(0.0, is_node_down=False)
    kernel.group, kernel.machine = 2, 7
    count, text = told(kills.look(5.0, is_node_down=False))
    assert (count, "2 processes" in text, "container or service" in text) == (2, True, True)
    assert told(kills.look(5.0 + WINDOW_S, is_node_down=False))[0] == 2
    assert told(kills.look(6.0 + WINDOW_S, is_node_down=False)) == (0, "")


def test_a_kill_elsewhere_on_the_machine_counts_only_when_the_node_goes_with_it() -> None:
    kernel = Kernel()
    kills = MemoryKills(read=kernel.read)
    kills.look(0.0, is_node_down=False)
    kernel.machine = 6
    assert told(kills.look(5.0, is_node_down=False)) == (0, "")
    count, text = told(kills.look(75.0, is_node_down=True))
    assert (count, text.startswith("the node stopped answering"), "one process" in text) == (1, True, True)
    assert told(kills.look(80.0, is_node_down=True))[0] == 1, "it is told once"


@pytest.mark.parametrize("gone_at", [None, 5.0 + NODE_LAG_S + 1])
def test_a_node_that_goes_much_later_or_was_gone_before_was_not_killed(gone_at: float | None) -> None:
    kernel = Kernel()
    kills = MemoryKills(read=kernel.read)
    kills.look(0.0, is_node_down=gone_at is None)
    kernel.machine = 6
    kills.look(5.0, is_node_down=gone_at is None)
    assert told(kills.look(gone_at or 10.0, is_node_down=True)) == (0, "")


def test_counters_that_begin_anew_are_no_kill() -> None:
    kernel = Kernel(group=9, machine=9)
    kills = MemoryKills(read=kernel.read)
    kills.look(0.0, is_node_down=False)
    kernel.group, kernel.machine = 1, 1
    assert told(kills.look(5.0, is_node_down=True)) == (0, "")


def restarted(place: Path, before: Kernel, after: Kernel, *, goodbye: bool = False, pause_s: float = 5.0) -> int:
    """Kills that a second life tells of."""
    first = MemoryKills(place, before.read)
    first.look(0.0, is_node_down=False)
    if goodbye:
        first.close()
    ended = time.time() - pause_s
    os.utime(place, (ended, ended))
    return told(MemoryKills(place, after.read).look(0.0, is_node_down=False))[0]


def test_a_life_without_a_goodbye_may_have_been_killed(tmp_path: Path) -> None:
    assert restarted(tmp_path / "life", Kernel(), Kernel(machine=6)) == 1


@pytest.mark.parametrize(
    ("after", "goodbye", "pause_s"),
    [
        (Kernel(), False, 5.0),  # `kill -9` by a person
        (Kernel(machine=6), True, 5.0),  # it stopped, and something else was killed meanwhile
        (Kernel(machine=6, boot="boot-2"), False, 5.0),  # the machine started again
        (Kernel(machine=6), False, RESTART_S + 5),  # too long ago
        (Kernel(group=None, machine=None), False, 5.0),
    ],
)
def test_a_life_that_ended_otherwise_was_not(tmp_path: Path, after: Kernel, goodbye: bool, pause_s: float) -> None:
    first = MemoryKills(tmp_path / "life", Kernel().read)
    first.look(0.0, is_node_down=False)
    if goodbye:
        first.close()
    ended = time.time() - pause_s
    os.utime(tmp_path / "life", (ended, ended))
    found = MemoryKills(tmp_path / "life", after.read).look(0.0, is_node_down=False)
    assert found is None or found.count == 0


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"boot": 3}', b'{"boot":"boot-1","machine":"x"}'])
def test_a_damaged_file_of_the_last_life_tells_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "life").write_bytes(data)
    kills = MemoryKills(tmp_path / "life", Kernel().read)
    assert told(kills.look(0.0, is_node_down=False)) == (0, "")


def test_a_directory_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    kills = MemoryKills(tmp_path / "nowhere" / "life", Kernel().read)
    assert told(kills.look(0.0, is_node_down=False)) == (0, "")
    kills.close()
