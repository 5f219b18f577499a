"""Letters that one channel refused and another one took: this channel's people have still to hear of them."""

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
    """Of one channel: at most one letter about each group. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._letters: dict[str, tuple[Letter, float]] = {}
        """By the group's key, each with when it was refused first."""
        self._standing: frozenset[str] = frozenset()
        self._failures = 0
        self._at = inf

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def letters(self) -> tuple[Letter, ...]:
        """All of them, for the next life."""
        return tuple(letter for letter, _ in self._letters.values())

    def stand(self, groups: Iterable[NotificationGroup]) -> None:
        """What fires now and may be told: of nothing else is a beginning sent any more."""
        self._standing = frozenset(group.key for group in groups if not group.silenced)

    def owe(self, letter: Letter, now: float) -> None:
        """This channel refused it. A repetition is owed to nobody: the next one comes."""
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
        """The letter as this channel's people need it: who never heard of the beginning hears so with the end."""
        owed = self._letters.get(letter.message.group.key)
        if owed is None or letter.message.what != "resolved" or owed[0].message.what == "resolved":
            return letter
        return replace(letter, message=replace(letter.message, reason="missed"))

    def due_at(self) -> float:
        """When to try again; infinite where there is nothing to try."""
        return self._at if self._letters else inf

    def next(self, now: float) -> Letter | None:
        """The oldest letter that is still worth an attempt."""
        for key, (letter, since) in list(self._letters.items()):
            if now - since >= OWED_S:
                del self._letters[key]
            elif letter.message.what == "resolved" or key in self._standing:
                return letter
        self._at = now + self._wait_s()
        return None

    def answered(self, letter: Letter, is_delivered: bool, now: float) -> None:
        """What became of an attempt."""
        if is_delivered:
            self._letters.pop(letter.message.group.key, None)
            self._failures, self._at = 0, now
        else:
            self._failures = min(self._failures + 1, 16)
            self._at = now + self._wait_s()

    def _wait_s(self) -> float:
        return min(RETRY_S * 2.0**self._failures, RETRY_S_MAX)
