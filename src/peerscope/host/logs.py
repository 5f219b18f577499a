"""The log on standard error, as text or as JSON, without secrets and with a limited rate.

Only the command line calls `configure`: a program that embeds a `Monitor` keeps its own logging. The log shows at most
`BURST` messages of one template (the text without its values) per minute, then a count of the others.
"""

from __future__ import annotations

import json
import linecache
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from msgspec import Struct

BURST = 10
WINDOW_S = 60.0
TEMPLATES_MAX = 1000
SECRET_KEYS = ("secret", "token", "password")
"""The log hides the values of settings whose names end so."""
SECRET_LENGTH_MIN = 4
HIDDEN = "[hidden]"
_GIVEN_AWAY = (
    re.compile(r"(?i)(bearer |basic |[?&](?:token|secret|password)=)[^\s&@\"']+"),
    # A login ends with "@"; digits before a slash or an end are a port.
    re.compile(r"(://[^/\s:@]*:)(?![0-9]{1,5}(?:[^0-9\w@.~%!$&*+=:-]|:?\s|:?$))[^\s\"']+(?=@)"),
)
"""Secrets in headers and addresses."""
_QUIETER = ("uvicorn", "asyncio", "websockets", "urllib3", "opentelemetry")


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level to log."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""


def configure(config: LogConfig, secrets: Iterable[str], stream: TextIO | None = None) -> Journal:
    """Set the log up; a second call replaces the first."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Journal)]:
        root.removeHandler(handler)
        handler.close()
    journal = Journal(stream or sys.stderr)
    journal.setFormatter(Lines(secrets, as_json=config.format == "json"))
    root.addHandler(journal)
    root.setLevel(config.level.upper())
    for name in _QUIETER:  # operators do not need their internal messages
        logging.getLogger(name).setLevel(logging.WARNING if config.level == "info" else config.level.upper())
    return journal


def secrets_in(settings: Mapping[str, Any]) -> list[str]:
    """Secret values of the settings, longest first, since one may be part of another."""
    found: set[str] = set()
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found.update(secrets_in(value))
        elif isinstance(value, str) and key.endswith(SECRET_KEYS) and len(value) >= SECRET_LENGTH_MIN:
            found.add(value)
    return sorted(found, key=lambda secret: (-len(secret), secret))


class Lines(logging.Formatter):
    """Formats a record as one line, in text with a traceback as more lines."""

    def __init__(self, secrets: Iterable[str], *, as_json: bool) -> None:
        super().__init__()
        self._secrets = tuple(secrets)
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = self._clean(record.getMessage())
        trouble = None
        if record.exc_info:
            trouble = self._clean(self.formatException(record.exc_info))
            linecache.clearcache()  # it would keep the source of every file on the way, a megabyte after some errors
        suppressed: int = getattr(record, "suppressed", 0)
        if self._as_json:
            line = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": message}
            line |= {"exception": trouble} if trouble else {}
            line |= {"suppressed": suppressed} if suppressed else {}  # type: ignore[dict-item]
            return json.dumps(line, ensure_ascii=False)
        more = f" ({suppressed} more like this were left out)" if suppressed else ""
        # One record is one line, so that no text of others can look like another line.
        text = f"{at} {record.levelname.lower()}: {_one_line(message)}{more}"
        return f"{text}\n{trouble}" if trouble else text

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for given_away in _GIVEN_AWAY:
            text = given_away.sub(rf"\1{HIDDEN}", text)
        return text


class Journal(logging.StreamHandler[TextIO]):
    """Writes records, up to `BURST` of one template per window."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._windows: dict[tuple[str, str], _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it."""
        self._settle(record.created)
        key = (record.name, str(record.msg))
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= TEMPLATES_MAX:
                self._write_count(self._windows.pop(next(iter(self._windows))))
            window = self._windows[key] = _Window(record)
        if window.written < BURST:
            window.written += 1
            super().emit(record)
        else:
            window.suppressed += 1
            window.last = record

    def close(self) -> None:
        """Write the counts of suppressed records."""
        for window in self._windows.values():
            self._write_count(window)
        self._windows.clear()
        super().close()

    def _settle(self, now: float) -> None:
        # Windows are in order of their beginning, so stop at the first open one. A clock set back closes all.
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if 0 <= now - window.began < WINDOW_S:
                return
            del self._windows[key]
            self._write_count(window)

    def _write_count(self, window: _Window) -> None:
        if window.suppressed:
            window.last.suppressed = window.suppressed - 1
            super().emit(window.last)


class _Window:
    """The records of one template in one window."""

    __slots__ = ("began", "last", "suppressed", "written")

    def __init__(self, first: logging.LogRecord) -> None:
        self.began = first.created
        self.last = first
        self.written = 0
        self.suppressed = 0


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
