"""`apprise`: any of the hundred services of the library of that name. The extra `apprise` installs it."""

from __future__ import annotations

import logging

from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.extras import brought_by
from peerscope.notify.base import Letter
from peerscope.notify.settings import AppriseConfig, secret_of
from peerscope.notify.wording import subject, text


class Apprise:
    """One apprise URL."""

    def __init__(self, name: str, config: AppriseConfig) -> None:
        """Raises `ConfigError`."""
        with brought_by("apprise", "kind apprise"):
            import apprise  # 240 ms and 17 MB, so only for such a channel
        where = f"notify.channels.{name}.url"
        url = secret_of(config, name, "url")
        if url is None:
            variable = f"PEERSCOPE_NOTIFY__CHANNELS__{name.upper()}__URL"
            raise ConfigError(f"{where} is missing; set url_file, or {variable}")
        for chatty in ("apprise", "urllib3"):  # they log URLs, passwords and all
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        self._service = apprise.Apprise()
        if not self._service.add(url):
            raise ConfigError(f"{where} is no URL that apprise supports: see its list of services")
        self._kinds = apprise.NotifyType

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`. Apprise reports failures without reasons."""
        kind = self._kinds.WARNING if letter.message.reason == "update" else self._kinds.FAILURE
        if letter.message.what == "resolved":
            kind = self._kinds.INFO if letter.message.group.forgotten else self._kinds.SUCCESS
        if not self._service.notify(title=subject(letter), body=text(letter), notify_type=kind):
            raise DeliveryError("apprise could not deliver it", again=True)
