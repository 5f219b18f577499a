"""Letters that one channel refused and another one took: this channel tries them again later."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from msgspec.structs import replace

from peerscope.alerts.episodes import OPEN_ALERTS_MAX
from peerscope.alerts.notification import NotificationGroup
from peerscope.alerts.notifier import OWED_S, RETRY_S, RETRY_S_MAX
from peerscope.notify.base import Letter

LETTERS_MAX = 100


class Backlog:
    """The backlog of one channel: at most one letter per group. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._letters: dict[str, tuple[Letter, float]] = {}
        """By the group's key, each with the time of its first refusal."""
        self._active: frozenset[str] = frozenset()
        self._failures = 0
        self._at = inf

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def letters(self) -> tuple[Letter, ...]:
        """All letters, to save for the next run."""
        return tuple(letter for letter, _ in self._letters.values())

    def stand(self, groups: Iterable[NotificationGroup]) -> None:
        """Take the groups that fire now. Only these, unless silenced, still get a message that they began."""
        self._active = frozenset(group.key for group in groups if not group.silenced)

    def owe(self, letter: Letter, now: float) -> None:
        """Add a letter that this channel refused. Repetitions are not kept, since the next one follows."""
        if letter.message.what == "escalated":
            return
        group = letter.message.group
        if len(group.alerts) > OPEN_ALERTS_MAX:
            group = replace(group, alerts=group.alerts[:OPEN_ALERTS_MAX])
            letter = replace(letter, message=replace(letter.message, group=group))
        self._letters.pop(letter.message.group.key, None)
        if len(self._letters) >= LETTERS_MAX:
            del self._letters[next(iter(self._letters))]
        self._letters[letter.message.group.key] = letter, now
        self._at = min(self._at, now + self._wait_s())

    def as_due(self, letter: Letter) -> Letter:
        """Mark the end of a group whose beginning this channel never delivered."""
        owed = self._letters.get(letter.message.group.key)
        if owed is None or letter.message.what != "resolved" or owed[0].message.what == "resolved":
            return letter
        return replace(letter, message=replace(letter.message, reason="missed"))

    def due_at(self) -> float:
        """Time of the next attempt; infinite if there is none."""
        return self._at if self._letters else inf

    def next(self, now: float) -> Letter | None:
        """The oldest letter that is still due. Drops letters that are too old."""
        for key, (letter, since) in list(self._letters.items()):
            if now - since >= OWED_S:
                del self._letters[key]
            elif letter.message.what == "resolved" or key in self._active:
                return letter
        self._at = now + self._wait_s()
        return None

    def answered(self, letter: Letter, is_delivered: bool, now: float) -> None:
        """Take the outcome of an attempt."""
        if is_delivered:
            self._letters.pop(letter.message.group.key, None)
            self._failures, self._at = 0, now
        else:
            self._failures = min(self._failures + 1, 16)
            self._at = now + self._wait_s()

    def _wait_s(self) -> float:
        return min(RETRY_S * 2.0**self._failures, RETRY_S_MAX)
