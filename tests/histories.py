"""Samples for tests of the history: of a few peers, with one number in every series."""

from collections.abc import Sequence
from pathlib import Path

from peerscope.history.reader import History, Question, read
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.samples import SeriesSample, sample
from peerscope.history.series import NO_ROW, SERIES
from peerscope.records.identity import PeerId

BEGIN = 1_700_000_100 - 1_700_000_100 % 900
"""A quarter of an hour begins."""
PEERS = tuple(PeerId(bytes((number,)) * 32) for number in range(1, 9))


def said(at: int, *values: float, peers: Sequence[PeerId] = PEERS) -> SeriesSample:
    """At `BEGIN + at`, so many peers had these values in all series but the status; the network had the first."""
    rows = [(value,) * len(NO_ROW) for value in values]
    return sample(BEGIN + at, peers[: len(values)], ["healthy"] * len(values), rows, (values[0],) * 9)


def asked(
    place: Path,
    metric: str = "cpu_ratio",
    peer: PeerId | None = PEERS[0],
    *,
    since: int = 0,
    until: int = 3600,
    step_s: int | None = None,
    config: HistoryConfig | None = None,
) -> History:
    """The answer of the file from `BEGIN + since` to `BEGIN + until`."""
    whose = peer if SERIES[metric].scope == "peer" else None
    question = Question(SERIES[metric], whose, BEGIN + since, BEGIN + until, step_s)
    return read(place, tiers(config or HistoryConfig()), question)


def known(history: History) -> dict[int, float]:
    """What is not a gap: seconds since `BEGIN`, and value."""
    return {at - BEGIN: value for at, value in history.samples if value is not None}
