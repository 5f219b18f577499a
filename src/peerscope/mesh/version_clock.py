"""The clocks of one peer: wall time for people, and the version clock by which others date this peer's life."""

from __future__ import annotations

from peerscope.records.record import VERSION_MAX


class VersionClock:
    """Turns monotonic seconds into wall time and versions.

    The version clock never goes back and never stands still, whatever happens to the wall clock.
    """

    def __init__(self, wall_offset_s: float) -> None:
        """`wall_offset_s`: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = wall_offset_s
        self._clock_offset_s = wall_offset_s
        """Turns monotonic time into the version clock. It only grows: others date our life by it."""
        self._version = 0

    def wall(self, now: float) -> float:
        """Unix seconds at `now`, by our own wall clock."""
        return now + self._wall_offset_s

    def set_wall(self, offset_s: float) -> None:
        """The wall clock was read: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = offset_s
        self._clock_offset_s = max(self._clock_offset_s, offset_s)

    def wall_ms(self, now: float) -> int:
        """Our wall clock in milliseconds since 1970."""
        return max(1, round(self.wall(now) * 1000))

    def wall_us(self, now: float) -> int:
        """The same in microseconds, as pushes carry it."""
        return min(max(0, round(self.wall(now) * 1e6)), VERSION_MAX)

    def clock_ms(self, now: float) -> int:
        """Our version clock in milliseconds."""
        return min(max(self._version, round((now + self._clock_offset_s) * 1000), 1), VERSION_MAX)

    def ahead_ms(self, now: float) -> int:
        """How far the version clock runs ahead of the wall clock."""
        return max(0, self.clock_ms(now) - self.wall_ms(now))

    def next_version(self, now: float) -> int:
        """The version of a new statement, above all before it."""
        self._version = max(self._version + 1, self.clock_ms(now))
        return self._version

    def outbid(self, version: int, now: float) -> None:
        """Give no version from here on that is not above this one."""
        self._version = max(self._version, version)
        self._clock_offset_s = max(self._clock_offset_s, version / 1000 - now)
