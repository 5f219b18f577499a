"""`peerscope node detect`: the P2P programs of this machine, and how to attach each. It needs no agent."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from peerscope.cli.options import JSON

if TYPE_CHECKING:
    from peerscope.sources.detection import LocalNode

STYLES = {"readable": "green", "refused": "red", "closed": "yellow", "unsupported": "dim"}
MEANINGS = {"readable": "can be read", "refused": "cannot be read", "closed": "closed", "unsupported": "no source"}


@click.command()
@JSON
@click.pass_obj
def detect(all_json: bool, as_json: bool) -> None:
    """Find P2P programs on this machine, and print the setting that attaches each. Exits with 1 if none can be read.

    It only reads, asks only loopback, and tries no password. A program's own key goes only to its owner's sockets.
    `peerscope run` does the same at its start, and attaches the first program that can be read, unless node.sources
    names others or node.detect is false.
    """
    from peerscope.sources.detection import choice
    from peerscope.sources.probing import look

    seen = look()
    chosen = choice(seen.found)
    if as_json or all_json:
        found = msgspec.to_builtins(seen.found)
        click.echo(json.dumps({"found": found, "choice": chosen.spec if chosen else None, "notes": seen.notes}))
    else:
        _show(seen.found, chosen, seen.notes)
    sys.exit(chosen is None)


def _show(found: tuple[LocalNode, ...], chosen: LocalNode | None, notes: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not found:
        console.print("no P2P program was found; docs/howto/detect.md lists those that are known")
    for one in found:
        where = f"{one.place} " * bool(one.place) + f"pid {one.pid} " * (one.pid is not None)
        state = Text(MEANINGS[one.state], STYLES[one.state])
        mark = "  (attached at the start of an agent)" if one is chosen else ""
        console.print(Text.assemble((f"{one.program:<13}", "bold"), where, " ", state, mark), soft_wrap=True)
        if one.state == "readable" and one.spec is not None:
            console.print(Text(f"  sources = [{json.dumps(one.spec)}]"), soft_wrap=True)
        for line in filter(None, (one.reason, one.advice)):
            console.print(Text(f"  {line}"), soft_wrap=True)
    for note in notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    if chosen is not None:
        console.print(Text("one node is monitored per peer; to choose another, put its line under [node]"))
