"""Detections as data: the signal, the limits and the severity of each.

The package ships defaults (`signatures.toml`). An operator's own file is laid over them: a table with a known name
changes the values that it gives, another name adds a signature. Any mistake refuses the whole file and names it.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from peerscope.alerts.model import Wording
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity
from peerscope.threats.activity import SIGNALS, WINDOW_S_MAX

SIGNATURES_MAX = 64
FILE_BYTES_MAX = 256 * 1024
NETWORK_SIGNALS = (
    "blocked_links",
    "connections_by_remote",
    "sybil",
    "eclipse",
    "key_divergence",
    "equivocation",
    "false_accusation",
    "anomaly_ratio",
)
"""Signals with code of their own; the others are numbers of `activity.SIGNALS`."""

Threshold = Annotated[float, Meta(ge=0.0, le=1e15)]
Steps = dict[str, Threshold]


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detection: its signal and its limits."""

    name: Annotated[str, Meta(min_length=1, max_length=32, pattern="^[a-z0-9][a-z0-9-]*\\Z")]
    signal: str
    title: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[^\x00-\x1f\x7f]*\\Z")]
    enabled: bool = True
    window_s: Annotated[float, Meta(ge=10.0, le=WINDOW_S_MAX)] = 60.0
    """Length of the window of the signal."""
    brief_s: Annotated[float, Meta(ge=10.0, le=WINDOW_S_MAX)] | None = None
    """A shorter window for fixed steps as well: it detects strong attacks sooner."""
    above: Steps = {}
    at_least: Steps = {}
    times: Annotated[float, Meta(gt=1.0, le=1e6)] | None = None
    deviations: Annotated[float, Meta(gt=0.0, le=1000.0)] | None = None
    windows: Annotated[int, Meta(ge=1, le=60)] = 1
    baseline_s: Annotated[float, Meta(ge=60.0, le=86_400.0)] = 600.0
    samples_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    false_discovery: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.01
    """Largest share of false findings among many groups or peers tested together."""
    severity: str = "medium"
    """If no step gives one."""
    runbook: Annotated[str, Meta(max_length=160)] = ""

    def __post_init__(self) -> None:
        known = (*SIGNALS, *NETWORK_SIGNALS)
        if self.signal not in known:
            from difflib import get_close_matches  # for mistakes alone

            guess = get_close_matches(self.signal, known, n=1)
            hint = f"did you mean {guess[0]!r}?" if guess else f"known: {', '.join(known)}"
            raise ValueError(f"signal {self.signal!r} is unknown; {hint}")
        for severity in (self.severity, *self.above, *self.at_least):
            if severity not in SEVERITIES:
                raise ValueError(f"severity {severity!r} is unknown; must be one of {', '.join(SEVERITIES)}")
        if self.signal in SIGNALS and not (self.above or self.at_least or self.is_relative):
            raise ValueError("nothing to compare with: give above, at_least, times or deviations")

    @property
    def unit(self) -> str:
        """Unit of the value that it compares with a limit."""
        signal = SIGNALS.get(self.signal)
        other = "new connections" if self.signal == "connections_by_remote" else "condition"
        return signal.unit if signal else other

    @property
    def is_relative(self) -> bool:
        """Whether it compares a peer with its own past."""
        return self.times is not None or self.deviations is not None

    def grade(self, value: float) -> tuple[Severity, float] | None:
        """The gravest step that the value reaches, and its limit; None if it reaches none."""
        reached = [(SEVERITIES[name], limit) for name, limit in self.above.items() if value > limit]
        reached += [(SEVERITIES[name], limit) for name, limit in self.at_least.items() if value >= limit]
        return max(reached, default=None)

    @property
    def usual_severity(self) -> Severity:
        """If no step gives one."""
        return SEVERITIES[self.severity]


SEVERITIES = {severity.name.lower(): severity for severity in Severity}


class Signatures:
    """All signatures, by name."""

    def __init__(self, found: dict[str, Signature]) -> None:
        self._by_name = found

    def __getitem__(self, name: str) -> Signature:
        return self._by_name[name]

    def __iter__(self) -> Any:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def of(self, signal: str) -> tuple[Signature, ...]:
        """Enabled signatures with this signal."""
        return tuple(one for one in self._by_name.values() if one.signal == signal and one.enabled)

    def changes(self, other: Signatures) -> list[str]:
        """Differences of `other` in words: "sybil changed", "my-rule added"."""
        ours, theirs = self._by_name, other._by_name
        changes = [f"{name} removed" for name in ours if name not in theirs]
        changes += [f"{name} added" for name in theirs if name not in ours]
        return changes + [f"{name} changed" for name in theirs if name in ours and theirs[name] != ours[name]]


@cache
def packaged() -> str:
    """The text of the packaged signatures. Like code, it never changes."""
    return Path(__file__).with_name("signatures.toml").read_text(encoding="utf-8")


@cache
def packaged_wordings() -> dict[str, Wording]:
    """The words of every packaged detection, which all peers have."""
    return {one.name: Wording(one.title, one.runbook, one.unit) for one in parse(packaged())}


def parse(defaults: str, own: str = "", where: str = "signatures") -> Signatures:
    """The shipped signatures with an operator's own laid over them. Raises `ConfigError` that names file and table."""
    tables = tomllib.loads(defaults)
    if len(own) > FILE_BYTES_MAX:
        raise ConfigError(f"{where}: longer than {FILE_BYTES_MAX} bytes")
    try:
        over = tomllib.loads(own)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    for name, values in over.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {name} is no table; write [{name}] and its settings below")
        tables[name] = {**tables.get(name, {}), **values}
    if len(tables) > SIGNATURES_MAX:
        raise ConfigError(f"{where}: {len(tables)} signatures; at most {SIGNATURES_MAX} can be looked for")
    return Signatures({name: _signature(name, values, where) for name, values in tables.items()})


def _signature(name: str, values: dict[str, Any], where: str) -> Signature:
    try:
        return msgspec.convert({"title": name, **values, "name": name}, Signature, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: [{name}]: {error}") from None
