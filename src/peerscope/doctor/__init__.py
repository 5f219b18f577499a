"""`peerscope doctor`: diagnoses of an agent and its machine, with advice."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warn", "bad", "unknown"]


class Diagnosis(Struct, frozen=True):
    """The result of one check."""

    name: str
    state: State
    """ok; warn: it works, but needs attention; bad: it does not work; unknown: the check is not possible here."""
    message: str
    advice: str | None = None


def ok(name: str, message: str) -> Diagnosis:
    return Diagnosis(name, "ok", message)


def warn(name: str, message: str, advice: str) -> Diagnosis:
    return Diagnosis(name, "warn", message, advice)


def bad(name: str, message: str, advice: str) -> Diagnosis:
    return Diagnosis(name, "bad", message, advice)


def unknown(name: str, message: str, advice: str | None = None) -> Diagnosis:
    return Diagnosis(name, "unknown", message, advice)
