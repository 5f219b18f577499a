"""`slack`: an incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import msgspec

from peerscope.notify.base import Letter
from peerscope.notify.http import post
from peerscope.notify.settings import SlackConfig, url_of
from peerscope.notify.wording import colour, subject, text

HEADER_MAX, SECTION_MAX = 150, 3000
"""Slack's own limits for the texts of blocks."""


class Slack:
    """One webhook."""

    def __init__(self, name: str, config: SlackConfig) -> None:
        """Raises `ConfigError`."""
        self._url = url_of(config, name)
        self._timeout_s = config.timeout_s

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`."""
        title = subject(letter)
        section = {"type": "section", "text": {"type": "mrkdwn", "text": shortened(escape(text(letter)))}}
        body = {
            "text": escape(title),  # for the notification; and where blocks are not known
            "blocks": [{"type": "header", "text": {"type": "plain_text", "text": title[:HEADER_MAX], "emoji": False}}],
            "attachments": [{"color": colour(letter), "blocks": [section]}],
        }
        headers = {"Content-Type": "application/json; charset=utf-8"}
        post(self._url, msgspec.json.encode(body), headers, timeout_s=self._timeout_s)


def escape(words: str) -> str:
    """Text that shows as it is: in Slack's markup `<!channel>` would call everybody, and `<url|name>` be a link."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(words: str) -> str:
    """At most as long as a block may be, cut between lines, so that no escape is cut."""
    while len(words) > SECTION_MAX:
        words = words.rpartition("\n")[0]
    return words
