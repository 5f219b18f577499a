"""Samples: the values of all series at one time."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from msgspec import Struct

from peerscope.history.columns import UNKNOWN, Column, is_known, known_count
from peerscope.history.measures import MeasureKey, MeasureSeries, Variant, columns_of
from peerscope.history.series import NO_ROW, STATUSES, Row, Series
from peerscope.records.identity import PeerId


class SeriesSample(Struct, frozen=True):
    """All values at one time."""

    at: int
    """Unix seconds, on the grid."""
    peers: tuple[PeerId, ...]
    columns: tuple[Column[float], ...]
    """One per series of peers, with one value per peer, in the order of `peers`."""
    network: Column[float]
    measures: Mapping[MeasureKey, Column[float]] = {}
    """Measures of nodes, with one value per peer."""

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory."""
        return sum(80 + 4 * len(column) for column in (*self.columns, *self.measures.values(), self.network)) + 8 * len(
            self.peers
        )

    def value(self, series: Series, peer: PeerId | None) -> float:
        """The value of one series; unknown for a peer that was not there."""
        if isinstance(series, MeasureSeries):
            return self._measure(series, peer)
        if peer is None:
            return self.network[series.place]
        try:
            return self.columns[series.base - 1][self.peers.index(peer)]
        except ValueError:
            return UNKNOWN

    def variant(self, series: Series, peer: PeerId | None) -> Variant | None:
        """Which measure `value` is of; None if it is unknown. For the network, that of the most peers."""
        if not isinstance(series, MeasureSeries):
            return None
        place = self.peers.index(peer) if peer in self.peers else len(self.peers)
        found = [
            Variant(key, known_count(column) if peer is None else 1)
            for key, column in self.measures.items()
            if series.fits(key) and is_known(series.of(column, place))
        ]
        return min(found, key=lambda one: (-one.peers, one.key), default=None)

    def _measure(self, series: MeasureSeries, peer: PeerId | None) -> float:
        variant = self.variant(series, peer)
        if variant is None:
            return UNKNOWN
        return series.of(self.measures[variant.key], self.peers.index(peer) if peer in self.peers else 0)


def sample(
    at: int,
    peers: Sequence[PeerId],
    statuses: Sequence[str],
    rows: Sequence[Row],
    network: Row,
    measures: Sequence[Mapping[MeasureKey, float]] = (),
) -> SeriesSample:
    """Make a sample of peers with these statuses, rows and measures."""
    states = array("f", [STATUSES.get(status, UNKNOWN) for status in statuses])
    rest = (array("f", column) for column in zip(*rows, strict=True)) if rows else (array("f") for _ in NO_ROW)
    return SeriesSample(at, tuple(peers), (states, *rest), array("f", network), columns_of(measures))
