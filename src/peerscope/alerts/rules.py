"""What is worth telling: rules as data.

A rule compares one signal with one number. `rules.toml` beside this file holds those that every agent has; the operator
changes them one by one, and adds others. Like code, the packaged file is read once and never changes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity

T = TypeVar("T", bound=Struct)
FINDING = "finding"
"""Signal of rules whose readings come from detections, not from here."""
RULES_MAX = 200
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
SeverityName = Literal["low", "medium", "high", "critical"]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition: when it begins, when it ends, and what people are told."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=40)]
    """First half of an alert's id."""
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    signal: str
    """What is looked at; `signals.py` has them all."""
    scope: Literal["own", "network", "both"] = "own"
    """own: every peer, of itself. network: aggregators, of others, on evidence. both: the peer, and once it is gone the
    aggregators; it stays one alert."""
    above: float | None = None
    below: float | None = None
    """The threshold; one of the two."""
    clear: float | None = None
    """Once it fires, it holds until the value is back at this one; without it, at the threshold."""
    for_s: Seconds = 0.0
    """How long the condition must hold without a break before it fires."""
    clear_for_s: Seconds = 0.0
    """How long it must not hold before it is resolved."""
    severity: SeverityName
    title: Annotated[str, Meta(min_length=1, max_length=64)]
    runbook: str = ""
    """What it means and what to look at first."""
    enabled: bool = True
    notify: bool = True
    """False: shown, but no message is sent."""

    def __post_init__(self) -> None:
        known = NETWORK_SIGNALS if self.scope == "network" else OWN_SIGNALS
        if self.scope == "both":
            known = {name: read for name, read in known.items() if name in NETWORK_SIGNALS}
        if self.signal not in known and self.signal != FINDING:
            raise ConfigError(
                f"signal is {self.signal!r}, which no rule of scope {self.scope!r} has; {_guess(self.signal, known)}"
            )
        if (self.above is None) == (self.below is None):
            raise ConfigError("exactly one of `above` and `below` must be set")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above) or (self.below is not None and self.clear < self.below)
        ):
            raise ConfigError(f"clear is {self.clear}; must lie on the good side of {self.threshold}")

    def is_about(self, scope: Literal["own", "network"]) -> bool:
        """Is it looked at in this scope?"""
        return self.scope in (scope, "both")

    @property
    def threshold(self) -> float:
        """The number that the signal is compared with."""
        threshold = self.below if self.above is None else self.above
        assert threshold is not None
        return threshold

    @property
    def rank(self) -> Severity:
        """The severity, to compare."""
        return Severity[self.severity.upper()]

    def holds(self, value: float, *, fires: bool) -> bool:
        """Does the condition hold? `fires`: it already fires, so that the gap up to `clear` counts as well."""
        limit = self.clear if fires and self.clear is not None else self.threshold
        return value > limit if self.above is not None else value < limit


class RuleChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator changes of one rule; what is left out stays."""

    threshold: float | None = None
    clear: float | None = None
    for_s: Seconds | None = None
    clear_for_s: Seconds | None = None
    severity: SeverityName | None = None
    title: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    runbook: str | None = None
    enabled: bool | None = None
    notify: bool | None = None


class AlertConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which conditions are told."""

    rules: dict[str, dict[str, Any]] = {}
    """Changes by the name of the rule; `RuleChange` says of what."""
    rules_file: str = ""
    """Path of a TOML file with more rules, each a table as in the packaged rules.toml."""


@cache
def default_rules() -> tuple[Rule, ...]:
    """The packaged rules."""
    text = files("peerscope.alerts").joinpath("rules.toml").read_text(encoding="utf-8")
    return parse_rules(text, "rules.toml")


def parse_rules(text: str, where: str) -> tuple[Rule, ...]:
    """Rules from TOML, one table each. Raises `ConfigError` that begins with `where`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    if len(tables) > RULES_MAX:
        raise ConfigError(f"{where}: {len(tables)} rules; at most {RULES_MAX}")
    return tuple(_rule(name, table, f"{where}: [{name}]") for name, table in tables.items())


def effective_rules(config: AlertConfig, more: Iterable[Rule] = ()) -> tuple[Rule, ...]:
    """Packaged and additional rules with the operator's changes. Raises `ConfigError`.

    `more`: those of `rules_file`; they may not take the name of a packaged rule, whose meaning all peers share.
    """
    rules = {rule.name: rule for rule in default_rules()}
    for rule in more:
        if rule.name in rules:
            raise ConfigError(f"{config.rules_file}: [{rule.name}] is a packaged rule; change it in [alerts.rules]")
        rules[rule.name] = rule
    for key, values in config.rules.items():
        name = key.replace("_", "-")  # as variables of the environment have to write it
        if name not in rules:
            raise ConfigError(f"alerts.rules.{key}: no such rule; {_guess(name, rules)}")
        rules[name] = _changed(rules[name], values, f"alerts.rules.{key}")
    return tuple(rules.values())


def _rule(name: str, table: object, where: str) -> Rule:
    values = {**table, "name": name} if isinstance(table, Mapping) else table
    return _converted(values, Rule, where)


def _changed(rule: Rule, values: Mapping[str, Any], where: str) -> Rule:
    change = _converted(values, RuleChange, where)
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
    threshold = given.pop("threshold", None)
    if threshold is not None:
        given["below" if rule.above is None else "above"] = threshold
        given.setdefault("clear", None)  # the old one belonged to the old threshold
    try:
        return replace(rule, **given)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _converted(values: object, kind: type[T], where: str) -> T:
    if isinstance(values, Mapping):
        known = kind.__struct_fields__
        for key in values:
            if key not in known:
                raise ConfigError(f"{where}: unknown key `{key}`; {_guess(key, known)}")
    try:
        return msgspec.convert(values, kind, strict=False)  # not strict: the environment holds text only
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").removeprefix(".")
        raise ConfigError(f"{where}: {key}: {text}" if key else f"{where}: {text}") from None


def _guess(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"
