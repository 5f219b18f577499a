"""What a Markdown document is made of, as GitHub reads it: code, spans, tables, headings and links."""

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

FENCE = re.compile(r"^ *(`{3,}|~{3,})")
SEPARATOR = re.compile(r"^\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$")


class Line(NamedTuple):
    """One line and what it belongs to."""

    number: int
    text: str
    is_code: bool


def lines(text: str) -> list[Line]:
    """Fenced blocks, and what is indented by four after an empty line, are code."""
    found: list[Line] = []
    fence, before, is_indented = "", "", False
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
            found.append(Line(number, "", False))
        elif fence:
            is_end = mark is not None and mark[1].startswith(fence) and line.strip() == mark[1]
            fence = "" if is_end else fence
            found.append(Line(number, "" if is_end else line, not is_end))
        else:
            is_indented = line.startswith("    ") and (is_indented or not before.strip())
            found.append(Line(number, line.removeprefix("    ") if is_indented else line, is_indented))
            before = line
    return found


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """The number of the first line, and the text: what stands together and is no code."""
    for is_prose, group in groupby(lines(text), key=lambda line: not line.is_code and bool(line.text.strip())):
        if is_prose:
            together = list(group)
            yield together[0].number, "\n".join(line.text for line in together)


def spans(text: str) -> Iterator[tuple[int, str]]:
    """The line and the text of every `span of code`, on one line or over several."""
    for first, paragraph in paragraphs(text):
        for span in re.finditer(r"(?<!`)`([^`]+)`(?!`)", paragraph):
            number = first + paragraph.count("\n", 0, span.start())
            yield number, " ".join(span[1].replace("\\|", "|").split())


def cells(row: str) -> list[str]:
    """Of one row of a table."""
    inner = row.strip().removeprefix("|")
    inner = inner.removesuffix("|") if not inner.endswith("\\|") else inner
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", inner)]


def broken_rows(text: str) -> list[str]:
    """Rows that are shown as plain text, since they belong to no table, or have more or fewer cells than its head."""
    broken = []
    for first, paragraph in paragraphs(text):
        rows = paragraph.split("\n")
        head = next((at - 1 for at, row in enumerate(rows) if at and SEPARATOR.match(row.strip())), None)
        for at, row in enumerate(rows):
            if not row.startswith("|"):
                if head is not None and at > head:
                    broken.append(f"{first + at}: a table goes on without |: {row}")
                continue
            if head is None or at < head:
                broken.append(f"{first + at}: a row without a table: {row}")
            elif len(cells(row)) != len(cells(rows[head])):
                broken.append(f"{first + at}: {len(cells(row))} cells of {len(cells(rows[head]))}: {row}")
    return broken


def anchors(text: str) -> set[str]:
    """What `#...` of a link may name: headings, made small, without marks, spaces as dashes."""
    found: set[str] = set()
    for line in lines(text):
        heading = None if line.is_code else re.match(r"#{1,6} +(.+?) *#*$", line.text)
        if heading:
            shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            found.add(next(one for one in (name, *(f"{name}-{n}" for n in range(1, 99))) if one not in found))
    return found


def links(text: str) -> list[str]:
    """Where its links and pictures lead, within this repository."""
    prose = "\n".join("" if line.is_code else line.text for line in lines(text))
    found = re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"", prose)
    return [link for pair in found for link in pair if link and "://" not in link and not link.startswith("mailto:")]


def filled(text: str, columns: int = 118) -> str:
    """A paragraph in lines of so many columns. A span of code stays on one line."""
    unbroken = re.sub(r"`[^`]*`", lambda span: span[0].replace(" ", "\0"), text)
    return textwrap.fill(unbroken, columns, break_long_words=False, break_on_hyphens=False).replace("\0", " ")
