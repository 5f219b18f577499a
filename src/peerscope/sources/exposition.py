r"""Reads wanted series from a page of Prometheus's text format 0.0.4 or OpenMetrics.

Exporters have thousands of lines, and a source wants a few of them. So only lines of wanted names are parsed, and no
other line can make a page invalid. Remote nodes choose some label values. These rules keep such a value in its place:

- only "\n" ends a line. `str.splitlines` also cuts at carriage returns, form feeds and U+2028, which exporters do not
  escape;
- a name must match as a whole: `peers` does not want `peers_other{...}`;
- a page whose last line has no end is refused, since its last number may have lost digits and other lines are missing;
- the first of two samples with equal labels counts, as in Prometheus;
- a sample whose labels are no UTF-8 has no value, since two such labels may look equal.

An exporter that does not escape a line break in a label value breaks its own page. The rest of that value may look like
a line, and nothing in the page shows that.

Timestamps, start times (`st@`) and exemplars are read over. A native histogram of OpenMetrics has no number: its series
is there without a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import msgspec

from peerscope.errors import SourceError

SAMPLES_MAX = 100_000
"""Wanted samples of one page. A guess: kubo, etcd and js-libp2p have less than a thousand."""
LINES_MAX = 1_000_000
LINE_BYTES_MAX = 1024 * 1024
"""A wanted line may be that long. With these limits the worst page costs two seconds."""
EXCERPT = 60
TAIL = 16
"""Bytes in which the end of OpenMetrics stands: `# EOF`, whose own line may lack its end."""
OPEN_METRICS = "application/openmetrics-text"
INSTEAD = "instead of Prometheus's text format"
_NUMBER = rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_LABEL = re.compile(
    rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*+")[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"[ \t]*(,?)', re.DOTALL
)
_REST = re.compile(
    rb"[ \t]*(?:(?P<value>" + _NUMBER + rb'|[+-]?inf(?:inity)?|nan)|(?P<parts>\{[a-z_]+:[^"{}]*\}))'
    rb"(?:[ \t]+" + _NUMBER + rb")?(?:[ \t]+st@" + _NUMBER + rb")?(?:[ \t]+#.*)?[ \t\r]*\Z",
    re.IGNORECASE | re.DOTALL,
)
_END = re.compile(rb"(?:^|\n)# EOF\r?\n?\Z")
_COMMENTS = re.compile(rb"\A(?:[ \t\r]*(?:#[^\n]*)?\n)+")
_ESCAPE = re.compile(r'\\([\\"n])')

Labels = Mapping[str, str]


class Samples:
    """The wanted samples of one page."""

    def __init__(self, found: dict[str, dict[tuple[tuple[str, str], ...], float]]) -> None:
        self._found = found

    def __bool__(self) -> bool:
        return any(math.isfinite(value) for samples in self._found.values() for value in samples.values())

    @property
    def names(self) -> list[str]:
        """Names of the wanted series that are there, also without a value."""
        return sorted(self._found)

    def has(self, name: str) -> bool:
        """Whether a series of this name is there, also without a value."""
        return name in self._found

    def of(self, name: str, labels: Labels) -> Iterable[tuple[dict[str, str], float]]:
        """Samples of this name that have these labels, and a value."""
        for key, value in self._found.get(name, {}).items():
            has = dict(key)
            if math.isfinite(value) and labels.items() <= has.items():
                yield has, value

    def are_known(self, name: str, labels: Labels) -> bool:
        """Whether all samples of this name that have these labels have a value."""
        found = self._found.get(name, {}).items()
        return all(math.isfinite(value) for key, value in found if labels.items() <= dict(key).items())

    def labels_of(self, name: str, labels: Labels) -> Iterable[dict[str, str]]:
        """Labels of samples of this name that have these labels, with or without a value."""
        return (has for key in self._found.get(name, {}) if labels.items() <= (has := dict(key)).items())


class Wanted:
    """The names of wanted series."""

    def __init__(self, names: Iterable[str]) -> None:
        either = b"|".join(sorted(re.escape(name).encode() for name in names)) or rb"(?!)"
        self._match = re.compile(rb"[ \t]*(" + either + rb")(?=[ \t{])").match

    def read(self, data: bytes, content_type: str) -> Samples:
        """Read a page. Raises `SourceError`; the caller puts the address before its reason."""
        data = data.removeprefix(b"\xef\xbb\xbf")
        if (other := foreign(data, content_type)) is not None:
            raise SourceError(f"answers with {other} {INSTEAD}")
        is_ended = not data or data.endswith(b"\n")
        is_whole = _END.search(data[-TAIL:]) is not None or (is_ended and content_type != OPEN_METRICS)
        found = self._samples(data) if is_whole else Samples({})
        # Only now: a label value may hold any character.
        if not found.names and b"\x00" in data:
            raise SourceError(f"answers with binary data {INSTEAD}")
        if not is_whole:
            raise SourceError("broke off before # EOF" if is_ended else "broke off: its last line has no end")
        return found

    def _samples(self, data: bytes) -> Samples:
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        match, start, position, number = self._match, 0, 0, 0
        if data.count(b"\n") > LINES_MAX:
            raise SourceError(f"has more than {LINES_MAX} lines")
        # A list of all lines would take more memory than the page.
        while (end := data.find(b"\n", start)) >= 0:
            position += 1
            if (wanted := match(data, start, end)) is not None:
                number += 1
                if number > SAMPLES_MAX:
                    raise SourceError(f"has more than {SAMPLES_MAX} samples of the wanted series")
                key, value = _sample_at(data[start:end], wanted.end() - start, position)
                found.setdefault(wanted[1].decode(), {}).setdefault(key, value)
            start = end + 1
        return Samples(found)


def foreign(data: bytes, content_type: str) -> str | None:
    """A page that is surely no text of metrics: what it is, for people. None for all others."""
    if content_type == "application/octet-stream":
        return "binary data"
    start = _COMMENTS.sub(b"", data[:4096], count=1)[:64].lstrip()
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text"
    if content_type.endswith("protobuf"):
        return "protobuf"
    if start.startswith(b"<") or content_type == "text/html":
        return "an HTML page" if b"<html" in data[:4096].lower() or content_type == "text/html" else "XML"
    if start.startswith((b"{", b"[")) and (content_type.endswith("json") or _is_json(data)):
        return "JSON"
    return None


def _is_json(data: bytes) -> bool:
    """A page of metrics may begin with "{" too: `{"a.name"} 1`."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _sample_at(line: bytes, start: int, position: int) -> tuple[tuple[tuple[str, str], ...], float]:
    """Labels and value of a line. Raises `SourceError`, which shows it."""
    try:
        return _sample(line, start)
    except ValueError as error:
        excerpt = "".join(c if c.isprintable() else "?" for c in line[:EXCERPT].decode("utf-8", "replace"))
        raise SourceError(f"has an unreadable line {position} ({error}): {excerpt}") from None


def _sample(line: bytes, start: int) -> tuple[tuple[tuple[str, str], ...], float]:
    """Labels and value, from the place after the name on. Raises ValueError."""
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"longer than {LINE_BYTES_MAX} bytes")
    start = _after_blanks(line, start)
    labels: dict[str, str] = {}
    rest = _REST.match(line, start)  # first, since a histogram without labels looks like labels
    if rest is None and line.startswith(b"{", start):
        labels, start = _labels(line, start + 1)
        rest = _REST.match(line, start)
    if rest is None:
        raise ValueError("no number follows")
    value = math.nan if rest["value"] is None or not _is_text(line[: rest.start()]) else float(rest["value"])
    return tuple(sorted(labels.items())), value


def _labels(line: bytes, start: int) -> tuple[dict[str, str], int]:
    labels: dict[str, str] = {}
    may_follow = True
    while (label := _LABEL.match(line, start)) is not None and may_follow:
        name, value = (part.decode("utf-8", "backslashreplace") for part in label.group(1, 2))
        name = _unescaped(name[1:-1]) if name.startswith('"') else name
        if name in labels:
            raise ValueError(f"two labels {name[:EXCERPT]!r}")
        labels[name] = _unescaped(value)
        start, may_follow = label.end(), bool(label[3])
    start = _after_blanks(line, start)
    if not line.startswith(b"}", start):
        raise ValueError("its labels have no end")
    return labels, start + 1


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _after_blanks(line: bytes, start: int) -> int:
    while line[start : start + 1] in (b" ", b"\t"):
        start += 1
    return start


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text
