"""Where a source finds its node, and with what it is let in: the argument of a spec.

An argument has the form `ADDRESS#WORD&OPTION=VALUE`, such as `http://127.0.0.1:8384#token_file=/etc/syncthing.key`.
Secrets never stand in it, only files that hold them: other people read settings, command lines and messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.host.regular_files import read_regular

SECRET_BYTES_MAX = 4096
_LOGIN = re.compile(r"(?s)://.*@")
_PASSWORD = re.compile(r"(:[^/:@#]+:)[^/@#]+@")
"""The password in a URL that lacks its scheme."""
_QUERY = re.compile(r"(?s)\?[^#]*")
_SECRET_OPTION = re.compile(r"(?is)((?:^|[#&])[^=&#]*(?:secret|token|password|passwd|(?<!ssh_)key|auth|sid)=)[^&]+")


class NodePlace(Struct, frozen=True):
    """The parts of an argument."""

    address: str
    """URL, path or "HOST:PORT"; empty for the source's own default."""
    word: str = ""
    """Such as the mapping of an exporter."""
    options: Mapping[str, str] = {}


def parse_place(argument: str, known: frozenset[str]) -> NodePlace:
    """Split an argument. `known`: names of options. Raises `ConfigError`."""
    address, _, rest = argument.partition("#")
    word, options = "", {}
    for number, part in enumerate(rest.split("&") if rest else []):
        name, separator, value = part.partition("=")
        if not separator and number == 0:
            word = part
            continue
        if name not in known:
            raise ConfigError(f"{name!r} is no option; known are {', '.join(sorted(known)) or 'none'}")
        if not value:
            raise ConfigError(f"the option {name} needs a value, as in {name}=...")
        options[name] = value
    return NodePlace(address, word, options)


def shown(text: str) -> str:
    """A URL or a spec for people: without a login, without a query, and without values of options that are secrets.

    Check messages reach all peers, and a query often holds a token.
    """
    if "://" not in text:
        return _SECRET_OPTION.sub(r"\1...", _PASSWORD.sub(r"\1...@", text))
    return _SECRET_OPTION.sub(r"\1...", _QUERY.sub("?...", _LOGIN.sub("://...@", text), count=1))


def check_url(url: str, example: str) -> None:
    """Raises `ConfigError`, which shows no login, unless this is a URL of HTTP without a password."""
    try:
        place = urlsplit(url)
        is_url = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except ValueError:
        place, is_url = urlsplit(""), False
    if not is_url:
        # A password with "#" or "/" in it makes no URL, so nothing of it is repeated.
        text = "its address" if "://" in url or "@" in url else repr(url[:80])
        raise ConfigError(f"{text} is no URL, as in {example}")
    if place.username is not None:
        raise ConfigError(
            "its URL holds a password, which check messages would show to all peers; name a file in the option"
            " password_file instead"
        )


def secret(path: str) -> str:
    """The secret in a file, without white space around it. Raises `SourceError`, which never shows the secret."""
    try:
        data = read_regular(Path(path).expanduser(), SECRET_BYTES_MAX + 1)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in its name, or nobody's home
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"the file {path} cannot be read: {reason}") from None
    text = data.decode("utf-8", "replace").strip()
    if not text or len(data) > SECRET_BYTES_MAX or not text.isprintable():
        raise SourceError(f"the file {path} holds no secret of one line")
    return text
