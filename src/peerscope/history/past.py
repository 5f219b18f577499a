"""The last day as an earlier life of this agent saw it, so that trends outlive a restart."""

from __future__ import annotations

import logging

from peerscope.errors import HistoryError
from peerscope.history.reader import Question
from peerscope.history.recorder import Recorder
from peerscope.history.series import SERIES
from peerscope.views.trends import DAY, MINUTE_S, Minute

log = logging.getLogger(__name__)


async def past_day(recorder: Recorder, now: int) -> list[Minute]:
    """The minutes of the day before `now` (Unix seconds) that were recorded; none where the file cannot be read.

    Error ratios of the whole network are not recorded, so they are not known.
    """
    since = now - int(DAY * MINUTE_S)
    try:
        peers, gone, silent, latency = [
            dict((await recorder.read(Question(SERIES[name], None, since, now, int(MINUTE_S)))).samples)
            for name in ("network_peers", "network_down", "network_unknown", "network_latency_median_s")
        ]
    except HistoryError as error:
        log.warning("trends begin anew: %s", error)
        return []
    return [
        Minute(float(at), known - (gone.get(at) or 0.0) - (silent.get(at) or 0.0), latency.get(at))
        for at, known in peers.items()
        if known is not None
    ]
