"""Every command line of peerscope that readers are asked to type: by documents, settings and the program's texts."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import click

from manuscript import lines, spans
from peerscope.cli import VERBS, cli

ROOT = Path(__file__).parents[1]
BEGIN = r"(?<![\w.`~-])(?<!from )(?:[\w./-]*/)?peerscope +"
TYPED = re.compile(BEGIN + r"(?=[a-z])(.+)")
TOLD = re.compile(BEGIN + rf"((?:{'|'.join(VERBS)})(?![\w-]).*)")
"""In a sentence only a verb makes it a command: "peerscope has no server" is none."""
SENTENCE_END = re.compile(r"[,;()<]|: |\. |\.$")
SHELL_END = re.compile(r"\s(?:\||>|<|&&|&|#)(?:\s|$)|\s&?>|;(?:\s|$)|\)(?:$|\s)|\\$")
OF_ADMIT = ("keygen", "issue", "revoke", "show")
WITHOUT_NAME = re.compile(rf"(?:{'|'.join((*VERBS, *OF_ADMIT))}) (?:--[a-z]|\[|[A-Z]{{2}}|[A-Z]\b).*")
"""`status --check`, as documents have it where they spoke of peerscope before."""
INSERTED = {
    "matchers": "FIELD=VALUE",
    "me.ticket": "TICKET",
    "made['id']": "ID",
    "me['http']": "URL",
    "name": "ID",
    "options": "",
    "peer.hex()": "ID",
    "scenario.name": "SCENARIO",
    "seed": "N",
    "state": "DIR",
    "f' --state {state}' if state else ''": " --state DIR",
}
"""What the program puts into its texts at run time, as a document would write it."""
PLACEHOLDERS = {
    "A": "ann@host",
    "F": "peerscope.toml",
    "FIELD=VALUE": "rule=cpu-*",
    "HOST:PORT": "127.0.0.1:8090",
    "K": "2",
    "METRIC": "cpu_ratio",
    "N": "7",
    "R": "eu-west",
    "S": "high",
    "SCENARIO": "kill",
    "SPEC": "telemetry",
}
"""What stands for a value that is parsed. Others (ID, FILE, DIR ...) are texts as good as any."""


class CommandLine(NamedTuple):
    """As written, without "peerscope"."""

    place: str
    text: str
    is_mention: bool
    """It stands in a sentence, where arguments may be left out."""


def all_lines() -> list[CommandLine]:
    """From everywhere, each text once for each file."""
    found: dict[tuple[str, str], CommandLine] = {}
    for one in _everywhere():
        file = one.place.partition(":")[0]
        known = found.get((file, one.text))
        if known is None or known.is_mention > one.is_mention:
            found[file, one.text] = one
    return list(found.values())


def _everywhere() -> Iterator[CommandLine]:
    for document in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        if document.name != "CHANGELOG.md":  # tells how it was
            yield from of_markdown(document.read_text(encoding="utf-8"), _named(document))
    around = [place for folder in ("contrib", "examples") for place in (ROOT / folder).rglob("*") if place.is_file()]
    around = [place for place in around if "node_modules" not in place.parts]
    for place in sorted([*around, *(ROOT / "src/peerscope/web/static").glob("*.*"), ROOT / "Dockerfile"]):
        if place.suffix != ".pyc":
            for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), 1):
                yield from of_sentence(re.sub(r"\$?\{+[^{}]*\}+", _filled_in, line), f"{_named(place)}:{number}")
    for place in sorted((ROOT / "src/peerscope").rglob("*.toml")):
        for text in _texts(tomllib.loads(place.read_text(encoding="utf-8"))):
            yield from of_sentence(text, _named(place))
    for place in sorted((ROOT / "src/peerscope").rglob("*.py")):
        yield from of_program(place.read_text(encoding="utf-8"), _named(place))


def of_markdown(text: str, name: str) -> Iterator[CommandLine]:
    """In blocks and in spans of code."""
    for line in lines(text):
        if line.is_code and (found := TYPED.search(line.text)):
            yield CommandLine(f"{name}:{line.number}", _cut(found[1], SHELL_END), False)
    for number, span in spans(text):
        told = re.fullmatch(r"(?:\S*/)?peerscope ([a-z].*)", span) or re.fullmatch(f"({WITHOUT_NAME.pattern})", span)
        if told:
            within = "admit " if told[1].split()[0] in OF_ADMIT else ""
            yield CommandLine(f"{name}:{number}", within + told[1], True)


def of_sentence(text: str, place: str) -> Iterator[CommandLine]:
    """Between backticks; without them, up to the next mark of punctuation."""
    for told in re.finditer(r"`(?:\S*/)?peerscope ([a-z][^`]*)`", text):
        yield CommandLine(place, " ".join(told[1].split()), True)
    for line in re.sub(r"`[^`]*`", "", text).splitlines():
        if told := TOLD.search(line):
            yield CommandLine(place, _cut(_cut(told[1], SENTENCE_END), SHELL_END), True)


def of_program(source: str, name: str) -> Iterator[CommandLine]:
    """In all of its texts. Raises `KeyError` for an insertion that `INSERTED` does not have."""
    tree = ast.parse(source)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant | ast.FormattedValue)]
            if any(isinstance(part, str) and re.search(BEGIN.replace("`", ""), part) for part in parts):
                told = [part if isinstance(part, str) else _inserted(part) for part in parts]
                yield from of_sentence("".join(told), f"{name}:{node.lineno}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield from of_sentence(node.value, f"{name}:{node.lineno}")


def variants(text: str) -> list[list[str]]:
    """The arguments, as a shell splits them; of a synopsis with everything that may be there, once for each choice."""
    if re.search(r"\[[^\]]*\]|[\w]\|[\w]", text):
        text = re.sub(r"[\[\]]", " ", text)
    choices = [word.removesuffix("...").split("|") for word in shlex.split(text) if word != "..."]
    return [list(arguments) for arguments in product(*choices)]


def example(arguments: list[str]) -> list[str]:
    """With a value in place of what stands for one."""
    return [PLACEHOLDERS.get(word, word) if at else word for at, word in enumerate(arguments)]


def command_of(arguments: list[str]) -> click.Context:
    """The command that click would call, with its parameters parsed; nothing runs. Raises `click.ClickException`."""
    context = cli.make_context("peerscope", list(arguments))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and context.command.invoke_without_command:
            break
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


def _filled_in(insertion: re.Match[str]) -> str:
    return "TICKET" if "ticket" in insertion[0] else "ID"


def _inserted(part: Any) -> str:
    told = ast.unparse(part)
    return INSERTED.get(told, "SOMETHING")


def _cut(text: str, end: re.Pattern[str]) -> str:
    found = end.search(text)
    return text[: found.start()].strip() if found else text.strip()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)


def _named(place: Path) -> str:
    return place.relative_to(ROOT).as_posix()
