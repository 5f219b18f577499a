"""Alert rules as data.

A rule compares one signal, or one measure of the node, with one number. `rules.toml` beside this file holds those that
every agent has. Operators change them one by one and add others. Like code, the packaged file is read once and never
changes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr, replace

from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity
from peerscope.records.measures import MeasureName, Unit

T = TypeVar("T", bound=Struct)
FINDING = "finding"
"""Signal of rules whose readings come from detections."""
MEASURE = "measure"
"""Signal of rules about a measure of the node (`measured.py`)."""
RULES_MAX = 200
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
SeverityName = Literal["low", "medium", "high", "critical"]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition: when it begins, when it ends, and the text for people."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=40)]
    """First half of an alert's id."""
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    signal: str = ""
    """A key of `OWN_SIGNALS` or `NETWORK_SIGNALS`; empty with `measure`."""
    measure: Literal[""] | MeasureName = ""
    """Instead of a signal: a measure of the node by its own name, or a standard one such as p2p_peers."""
    unit: Unit = ""
    """Unit of the measure. Values in another unit do not count. Empty for any."""
    relative: Literal["", "median"] = ""
    """median: the thresholds are distances from the median of the other peers' nodes."""
    peers_min: Annotated[int, Meta(ge=3, le=1000)] = 4
    """Least number of other values for that median; with fewer there is no verdict. Two would say nothing."""
    over_s: Seconds = 0.0
    """If not 0: the change of the measure over so many seconds, instead of its value."""
    scope: Literal["own", "network", "both"] = "own"
    """own: every peer, about itself. network: aggregators, about others, on evidence. both: the peer, and once it is
    gone the aggregators, as one alert."""
    above: float | None = None
    below: float | None = None
    """The threshold; one of the two."""
    clear: float | None = None
    """Value at which a firing alert clears; the threshold if unset."""
    for_s: Seconds = 0.0
    """How long the condition must hold without a break before the alert fires."""
    clear_for_s: Seconds = 0.0
    """How long it must not hold before the alert resolves."""
    severity: SeverityName
    title: Annotated[str, Meta(min_length=1, max_length=64)]
    runbook: str = ""
    """Its meaning, and the first things to check."""
    enabled: bool = True
    notify: bool = True
    """False: the alert is shown, but no message is sent."""

    def __post_init__(self) -> None:
        self._check_measure()
        known = NETWORK_SIGNALS if self.scope == "network" else OWN_SIGNALS
        if self.scope == "both":
            known = {name: read for name, read in known.items() if name in NETWORK_SIGNALS}
        if self.signal not in known and self.signal not in (FINDING, MEASURE):
            raise ConfigError(
                f"signal is {self.signal!r}, which no rule of scope {self.scope!r} has; {_guess(self.signal, known)}"
            )
        if (self.above is None) == (self.below is None):
            raise ConfigError("exactly one of `above` and `below` must be set")
        if self.clear is not None and (self.clear > self.threshold if self.is_upwards else self.clear < self.threshold):
            raise ConfigError(f"clear is {self.clear}; must lie on the good side of {self.threshold}")

    def _check_measure(self) -> None:
        if not self.measure:
            if self.signal == MEASURE or self.relative or self.over_s or self.unit:
                raise ConfigError("unit, relative and over_s need a `measure`")
            return
        if self.signal not in ("", MEASURE):
            raise ConfigError("only one of `signal` and `measure` may be set")
        if self.scope != "own":
            raise ConfigError(f"scope is {self.scope!r}; a rule about a measure has the scope 'own'")
        if self.relative and any(limit is not None and limit < 0 for limit in (self.above, self.below, self.clear)):
            raise ConfigError("limits of a relative rule are distances from the median, so none may be negative")
        force_setattr(self, "signal", MEASURE)

    @property
    def is_upwards(self) -> bool:
        """Greater values are worse. Those of a relative rule are distances on its side of the median."""
        return self.above is not None or bool(self.relative)

    def is_about(self, scope: Literal["own", "network"]) -> bool:
        """Whether it is evaluated in this scope."""
        return self.scope in (scope, "both")

    @property
    def threshold(self) -> float:
        """The limit for the signal."""
        threshold = self.below if self.above is None else self.above
        assert threshold is not None
        return threshold

    @property
    def rank(self) -> Severity:
        """The severity as a number, to compare."""
        return Severity[self.severity.upper()]

    def holds(self, value: float, *, fires: bool) -> bool:
        """Whether the condition holds. `fires`: the alert already fires, so values up to `clear` count as well."""
        limit = self.clear if fires and self.clear is not None else self.threshold
        return value > limit if self.is_upwards else value < limit


class RuleChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's changes to one rule; other values stay."""

    threshold: float | None = None
    clear: float | None = None
    for_s: Seconds | None = None
    clear_for_s: Seconds | None = None
    peers_min: Annotated[int, Meta(ge=3, le=1000)] | None = None
    severity: SeverityName | None = None
    title: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    runbook: str | None = None
    enabled: bool | None = None
    notify: bool | None = None


class AlertConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which conditions raise alerts."""

    rules: dict[str, dict[str, Any]] = {}
    """Changes by rule name, each a `RuleChange`."""
    rules_file: str = ""
    """Path of a TOML file with more rules, each a table as in the packaged rules.toml."""


@cache
def default_rules() -> tuple[Rule, ...]:
    """The packaged rules."""
    text = Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
    return parse_rules(text, "rules.toml")


@cache
def packaged_names() -> frozenset[str]:
    """Names of rules that every agent of this version has."""
    return frozenset(rule.name for rule in default_rules())


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

    `more`: those of `rules_file`. They may not use the name of a packaged rule, since all peers share its meaning.
    """
    rules = {rule.name: rule for rule in default_rules()}
    for rule in more:
        if rule.name in rules:
            raise ConfigError(f"{config.rules_file}: [{rule.name}] is a packaged rule; change it in [alerts.rules]")
        rules[rule.name] = rule
    for key, values in config.rules.items():
        name = key.replace("_", "-")  # environment variables cannot contain a hyphen
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
        given.setdefault("clear", None)  # the old value belongs to the old threshold
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
        return msgspec.convert(values, kind, strict=False)  # not strict: the environment holds only text
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").removeprefix(".")
        raise ConfigError(f"{where}: {key}: {text}" if key else f"{where}: {text}") from None


def _guess(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # for mistakes alone

    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"
