"""Requests over HTTP go to the address in the settings and nowhere else."""

from __future__ import annotations

from typing import Any
from urllib.request import HTTPRedirectHandler


class NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: it would carry a token or a message to an address that nobody configured."""

    def redirect_request(self, *_: Any) -> None:
        return None
