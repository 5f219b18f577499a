"""How remote write of one peer is doing, for people and scripts."""

from __future__ import annotations

from msgspec import Struct


class AsideView(Struct, frozen=True):
    """Samples that the receiver does not take, for one reason."""

    reason: str
    samples: int
    example: str
    """Name and date of the last one."""


class RemoteWriteView(Struct, frozen=True):
    """What was sent, waits and was lost since the agent started."""

    elected: bool
    """This peer writes for all."""
    sent_samples: int
    queue_samples: int
    held_samples: int
    """Of those that wait: dated after the network's clock."""
    dropped_samples: int
    """Lost, since the queue was full or the disk failed."""
    aside: tuple[AsideView, ...]
    failing: str | None
    """Why the last request was not taken; null where it was."""
    last_sent_age_s: float | None
    """null before the first."""
