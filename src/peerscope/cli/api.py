"""Requests of the verbs to a running agent."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import click

from peerscope.cli.options import JSON, TOKEN
from peerscope.errors import ApiError
from peerscope.host.http import NoRedirect

API_DEFAULT = "http://127.0.0.1:8080"
TIMEOUT_S = 10.0
INTENT = {"X-Peerscope": "1"}
"""Agents without a token require it on requests that change something (web/guard.py)."""
CA = "peerscope.ca"
F = TypeVar("F", bound=Callable[..., Any])


def _remember_ca(context: click.Context, _: click.Parameter, place: str | None) -> None:
    context.meta[CA] = place


def api_options(command: F) -> F:
    """Add `--api`, `--token`, `--ca` and `--json` to a verb."""
    return connection_options(JSON(command))


def connection_options(command: F) -> F:
    """Add `--api`, `--token` and `--ca` to a verb."""
    for option in (
        click.option(
            "--ca",
            envvar="PEERSCOPE_CA",
            type=click.Path(dir_okay=False),
            expose_value=False,
            callback=_remember_ca,
            help="CA certificates for an https agent (PEM); default: the system's.",
        ),
        TOKEN,
        click.option("--api", default=API_DEFAULT, show_default=True, metavar="URL", help="The agent to ask."),
    ):
        command = option(command)
    return command


def ask(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> Any:
    """The JSON of one route. Raises `ApiError` with advice."""
    value, _ = _get(api.rstrip("/") + _with_query(path, query), token)
    return value


def ask_text(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> str:
    """The text of a route without JSON."""
    text, _ = _get(api.rstrip("/") + _with_query(path, query), token, read=lambda response: response.read().decode())
    return str(text)


def ask_all(api: str, token: str, path: str, query: Mapping[str, str | None] | None = None) -> list[Any]:
    """All pages of a list."""
    found: list[Any] = []
    onward: str | None = _with_query(path, query)
    while onward:
        values, onward = _get(api.rstrip("/") + onward, token)
        found += values
    return found


def order(api: str, token: str, method: str, path: str, body: object = None) -> Any:
    """Send a request that changes something, and return the answer."""
    value, _ = _get(api.rstrip("/") + path, token, method=method, body=body)
    return value


def _with_query(path: str, query: Mapping[str, str | None] | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _get(
    url: str, token: str, read: Callable[[Any], Any] = json.load, method: str = "GET", body: object = None
) -> tuple[Any, str | None]:
    headers = INTENT | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    context = click.get_current_context(silent=True)
    opener = _opener(context.meta.get(CA) if context else None, url.lower().startswith("https:"))
    try:
        with opener.open(Request(url, data, headers, method=method), timeout=TIMEOUT_S) as response:
            return read(response), _next(response.headers.get("link"))
    except HTTPError as error:
        raise ApiError(_detail(error)) from None
    except (URLError, OSError, ValueError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ApiError(
                f"the certificate of {url.split('/api/')[0]} is not trusted ({cause.verify_message}); name a file with "
                "its CA by --ca FILE or PEERSCOPE_CA"
            ) from None
        reason = " ".join(str(cause).split())[:200]
        raise ApiError(
            f"no agent answers at {url.split('/api/')[0]} ({reason}); start one with `peerscope run`, "
            "or name another with --api URL"
        ) from None


@lru_cache(maxsize=4)
def _opener(ca: str | None, is_https: bool) -> OpenerDirector:
    """Ignores proxies, which must not see the token."""
    handlers: list[Any] = [ProxyHandler({}), NoRedirect()]
    if is_https:  # reading the system's certificates takes time
        try:
            handlers.append(HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        except OSError as error:  # ssl.SSLError is one
            reason = (
                error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "it holds no certificate"
            )
            raise ApiError(f"--ca: cannot use {ca}: {reason}; it must be a PEM file of certificates") from None
    return build_opener(*handlers)


def _detail(error: HTTPError) -> str:
    try:
        detail = json.load(error).get("detail")
    except (ValueError, AttributeError):
        detail = None
    if error.code == 401:
        detail = "the agent requires a token: give --token or set PEERSCOPE_WEB__TOKEN"
    if error.code in (301, 302, 303, 307, 308):
        detail = f"the server is not an agent: it redirects to {str(error.headers.get('location'))[:200]!r}"
    return str(detail or f"the agent answered {error.code} {error.reason}")


def _next(link: str | None) -> str | None:
    """The path of the next page (RFC 8288)."""
    if not link or 'rel="next"' not in link:
        return None
    return link[link.index("<") + 1 : link.index(">")]
