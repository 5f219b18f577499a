"""The figures of the pages about messages and heartbeats are those of the code."""

from pathlib import Path

import pytest

from figures import digits, s, span, word
from peerscope.alerts import heartbeat, notifier, told_alerts
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.notify import heartbeats
from peerscope.notify.settings import HeartbeatSettings

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = HeartbeatSettings()
FIGURES = {
    "explanation/notifications.md": [
        f"The first waits `group_wait_s` ({s(NotifierConfig().group_wait_s)})",
        f"Each further one waits {s(notifier.RANK_S)} longer",
        f"It waits {s(notifier.UPDATE_WAIT_S)}, since the cause may become clearer",
        f"of another kind for {s(notifier.UPDATE_WAIT_S)}, an update says so, at most every "
        f"{span(notifier.UPDATE_INTERVAL_S)}",
        f"An alert waits {s(notifier.COMPANY_WAIT_S)} if another one of its rule was sent within "
        f"{span(told_alerts.COMPANY_S)}",
        f"After {word(heartbeats.FAILURES_MAX)} lost heartbeats it gives up its role for {span(heartbeats.REST_S)}",
    ],
    "howto/notifications.md": [
        f"interval_s = {SETTINGS.interval_s}",
        f"| `timeout_s` | {digits(SETTINGS.timeout_s)} | time for one of {word(heartbeats.ATTEMPTS)} attempts",
        f"(the {word(heartbeat.INCIDENTS_MAX)} gravest:",
    ],
}


@pytest.mark.parametrize("page", sorted(FIGURES))
def test_a_page_states_the_figures_of_the_code(page: str) -> None:
    text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    assert [figure for figure in FIGURES[page] if figure not in text] == []
