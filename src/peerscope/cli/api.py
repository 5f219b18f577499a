"""Asking a running agent, for the verbs that look."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import click

from peerscope.errors import ApiError

API_DEFAULT = "http://127.0.0.1:8080"
TIMEOUT_S = 10.0
_opener = build_opener(ProxyHandler({}))
"""Asks directly: the agent is here or in our own network, and a proxy must not see the token."""
F = TypeVar("F", bound=Callable[..., Any])


def api_options(command: F) -> F:
    """`--api`, `--token` and `--json`, as every verb that shows something has them."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--token", envvar="PEERSCOPE_WEB__TOKEN", default="", help="Where the agent wants one."),
        click.option("--api", default=API_DEFAULT, show_default=True, metavar="URL", help="The agent to ask."),
    ):
        command = option(command)
    return command


def ask(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> Any:
    """The JSON of one route. Raises `ApiError` that says what to do."""
    value, _ = _get(api.rstrip("/") + _with_query(path, query), token)
    return value


def ask_text(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> str:
    """The text of a route that answers no JSON."""
    text, _ = _get(api.rstrip("/") + _with_query(path, query), token, read=lambda response: response.read().decode())
    return str(text)


def ask_all(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> list[Any]:
    """A whole list, page by page."""
    found: list[Any] = []
    onward: str | None = _with_query(path, query)
    while onward:
        values, onward = _get(api.rstrip("/") + onward, token)
        found += values
    return found


def _with_query(path: str, query: Mapping[str, str | None] | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _get(url: str, token: str, read: Callable[[Any], Any] = json.load) -> tuple[Any, str | None]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with _opener.open(Request(url, headers=headers), timeout=TIMEOUT_S) as response:
            return read(response), _next(response.headers.get("link"))
    except HTTPError as error:
        raise ApiError(_detail(error)) from None
    except (URLError, OSError, ValueError, HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())[:200]
        raise ApiError(
            f"no agent answers at {url.split('/api/')[0]} ({reason}); start one with `peerscope run`, "
            "or name another with --api URL"
        ) from None


def _detail(error: HTTPError) -> str:
    try:
        detail = json.load(error).get("detail")
    except (ValueError, AttributeError):
        detail = None
    if error.code == 401:
        detail = "the agent wants a token: give --token or set PEERSCOPE_WEB__TOKEN"
    return str(detail or f"the agent answered {error.code} {error.reason}")


def _next(link: str | None) -> str | None:
    """The path of the next page (RFC 8288)."""
    if not link or 'rel="next"' not in link:
        return None
    return link[link.index("<") + 1 : link.index(">")]
