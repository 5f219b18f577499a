"""Settings read again while the agent runs: what takes effect at once, and what needs a restart.

`EFFECTS` is the whole list of what can change: a key, and how the agent takes it in. Everything else that differs is
named in the answer and stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from peerscope.config import Config

if TYPE_CHECKING:
    from peerscope.agent.monitor import Monitor

Effect = Callable[["Monitor", Config], None]


class Reloaded(Struct, frozen=True):
    """Which keys of the settings differ from those the agent ran with."""

    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"changed: {', '.join(self.applied)}" if self.applied else "nothing changed"]
        if self.needs_restart:
            parts.append(f"needs a restart: {', '.join(self.needs_restart)}")
        return "; ".join(parts)


def reload(monitor: Monitor, new: Config) -> Reloaded:
    """Take in what can be. All or nothing: raises `ConfigError`, and then the agent goes on as before."""
    old = monitor.config
    rules = new.alert_rules()  # the file of rules may differ though no key does
    effective = _effective(old, new)
    effective.check()
    signatures = monitor.reload_signatures()  # so may that of signatures
    has_rules = monitor.core.alerts.use(rules)
    for effect in EFFECTS.values():
        effect(monitor, effective)
    monitor.config = effective
    keys = changed(old, new)
    applied = [key for key in keys if _takes_effect(key)]
    if has_rules and not any(key.startswith("alerts.") for key in applied):
        applied.append("alerts.rules_file")
    if signatures:
        applied.append(f"threats.signatures_file ({', '.join(signatures)})")
    return Reloaded(tuple(applied), tuple(key for key in keys if not _takes_effect(key)))


def changed(old: Config, new: Config) -> list[str]:
    """Dotted names of all keys whose values differ."""
    return sorted(_differing(old.plain(), new.plain(), ""))


def _nothing(monitor: Monitor, config: Config) -> None:
    """Each reader takes it from `monitor.config` each time."""


EFFECTS: dict[str, Effect] = {
    "alerts": _nothing,  # the rules are taken in above: before anything else, since their file may be wrong
    "log": _nothing,  # by the service, which owns the log
    "web.token": _nothing,
}


def _effective(old: Config, new: Config) -> Config:
    for name in EFFECTS:
        section, _, key = name.partition(".")
        value = getattr(new, section)
        if key:
            value = replace(getattr(old, section), **{key: getattr(value, key)})
        old = replace(old, **{section: value})
    return old


def _takes_effect(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in EFFECTS)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differing(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}")
    return found
