"""Ages of times, by the clock of the agent that sends them.

The clock of a reader may be off by an hour, so each time that people read as an age comes with that age. Its name
follows from the name of the time: `at` has `age_s`, `begun_at` has `begun_age_s`. A time to come, `ends_at`, has
`ends_in_s`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

T = TypeVar("T", bound=Struct)


def aged(kind: type[T], value: Struct, wall: float) -> T:
    """Convert the value to `kind`, which has a field more for each age. `wall`: Unix seconds now.

    An age is null if its time is, and never negative.
    """
    fields: dict[str, Any] = {name: getattr(value, name) for name in value.__struct_fields__}
    for name in kind.__struct_fields__:
        for ending, sign in (("age_s", 1.0), ("in_s", -1.0)):
            at = name.removesuffix(ending) + "at"
            if name.endswith(ending) and at in fields:
                fields[name] = None if fields[at] is None else max(0.0, sign * (wall - fields[at]))
    return kind(**fields)
