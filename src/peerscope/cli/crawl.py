"""The verb that maps a network without joining it: crawl."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from peerscope.cli.options import FILE, FOLDER, Decimal, Whole
from peerscope.cli.text import SHORT_HEX, columns
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.credentials import CredentialFiles
from peerscope.host.state import StateDirectory
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.records.certificates import Certificate
from peerscope.records.identity import Identity
from peerscope.views.crawl import CrawlView, dot

YGGDRASIL = "yggdrasil:"
YGGDRASIL_NEIGHBOURS_MAX = 1024
"""Public Yggdrasil nodes have hundreds of links; peers of peerscope at most 64."""
YGGDRASIL_ANSWER_S = 9.0
"""A Yggdrasil node gives up on others after six seconds, and our client on the node after eight."""
SHOWN_MAX = 5

Mapping = Callable[[asyncio.Event, Callable[[Walk[Any]], None]], Coroutine[Any, Any, CrawlView]]
"""One crawl. Its arguments: the event that stops it, and the function that shows progress."""


@click.command()
@click.argument("tickets", metavar="TICKET...", nargs=-1, required=True)
@click.option("--limit", type=Whole(1, 100_000), default=10_000, show_default=True, help="Peers to ask.")
@click.option("--timeout", type=Decimal(0.1, 3600), default=60.0, show_default=True, help="Seconds in all.")
@click.option("--concurrency", type=Whole(1, 512), default=64, show_default=True, help="Requests at once.")
@click.option("--network", metavar="NAME", help="Name of the network, if not the default.")
@click.option("--secret-file", type=FILE, help="Holds the network's secret.")
@click.option("--config", type=FILE, help="Settings to take both from.")
@click.option("--state", type=FOLDER, help="Identity of a member, if the network answers members only.")
@click.option("--listen", metavar="HOST:PORT", default="0.0.0.0:0", show_default=True, help="Address to dial from.")
@click.option("--format", "form", type=click.Choice(["table", "json", "dot"]), default="table", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def crawl(
    tickets: tuple[str, ...],
    limit: int,
    timeout: float,
    concurrency: int,
    network: str | None,
    secret_file: Path | None,
    config: Path | None,
    state: Path | None,
    listen: str,
    form: str,
    as_json: bool,
) -> None:
    """Map a network from TICKETs on, without joining it; or, from yggdrasil:SOCKET, a Yggdrasil network.

    Asks each peer once for its neighbours, breadth-first. The secret may also stand in PEERSCOPE_NETWORK__SECRET. Exits
    with 1 if no peer answered; Ctrl-C prints the peers found so far and exits with 130.
    """
    walk = WalkConfig(peers_max=limit, timeout_s=timeout, concurrency=concurrency)
    if any(ticket.startswith(YGGDRASIL) for ticket in tickets):
        mapping = _yggdrasil(tickets, walk)
    else:
        given = {"name": network, "secret": _secret(secret_file)}
        options = {"network": {key: value for key, value in given.items() if value is not None}}
        mapping = _mesh(tickets, Config.load(config, options=options), walk, listen, state)
    view, stopped = uvloop.run(_run(mapping))
    if as_json or form == "json":
        click.echo(msgspec.json.encode(view).decode())
    elif form == "dot":
        click.echo(dot(view), nl=False)
    else:
        _show(view)
    for note in _notes(view, stopped=stopped):
        click.echo(f"peerscope: {note}", err=True)
    sys.exit(130 if stopped else 0 if view.peers else 1)


def _mesh(tickets: tuple[str, ...], config: Config, walk: WalkConfig, listen: str, state: Path | None) -> Mapping:
    from peerscope.crawl.mesh import crawl_mesh  # loads the QUIC stack, which other networks do not need
    from peerscope.transport.joining import parse_joins

    starts = parse_joins(tickets, "TICKETS")
    secret, certificate = _identity(config, state)
    return lambda stopping, progress: crawl_mesh(
        starts,
        config.network,
        walk,
        listen=listen,
        stopping=stopping,
        progress=progress,
        secret=secret,
        certificate=certificate,
    )


def _identity(config: Config, place: Path | None) -> tuple[bytes | None, Certificate | None]:
    """The identity to ask with: by default a new one."""
    if place is None:
        if config.network.allow or config.network.operators:
            raise ConfigError(
                "network.allow or network.operators is set, so the network answers members only: name the state "
                "directory of a member that does not run with --state"
            )
        return None, None
    state = StateDirectory(place)
    state.lock()  # no other agent may use the key until we end
    secret = state.secret()
    files = CredentialFiles(config.network, Identity(secret).peer_id, state.path)
    return secret, files.first(round(time.time() * 1000)).certificate


def _yggdrasil(tickets: tuple[str, ...], walk: WalkConfig) -> Mapping:
    from peerscope.crawl.foreign import crawl_yggdrasil
    from peerscope.sources.yggdrasil import AdminSocket

    if len(tickets) > 1:
        raise ConfigError(
            f"{YGGDRASIL}SOCKET must be the only ticket: one node's admin socket reaches its whole network"
        )
    config = msgspec.structs.replace(walk, neighbours_max=YGGDRASIL_NEIGHBOURS_MAX, answer_timeout_s=YGGDRASIL_ANSWER_S)
    admin = AdminSocket(tickets[0].removeprefix(YGGDRASIL))
    return lambda stopping, progress: crawl_yggdrasil(admin, config, stopping=stopping, progress=progress)


async def _run(mapping: Mapping) -> tuple[CrawlView, bool]:
    """The result, and whether Ctrl-C ended the crawl."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("crawling")

        def progress(walk: Walk[Any]) -> None:
            parts = f"{walk.found} found, {walk.heard} answered, {walk.unreachable} unreachable, depth {walk.depth}"
            shown.update(task, description=parts)

        return await mapping(stopping, progress), stopping.is_set()


def _secret(place: Path | None) -> str | None:
    if place is None:
        return None
    try:
        return place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--secret-file {place}: cannot be read: {getattr(error, 'strerror', error)}") from None


def _show(view: CrawlView) -> None:
    console = Console()
    table = columns("peer", "depth", "links", "region", "version", "addresses")
    for peer in view.peers:
        table.add_row(
            peer.peer_id[:SHORT_HEX],
            str(peer.depth),
            str(peer.neighbours),
            Text(peer.region or "-"),
            Text(peer.version or "-"),
            Text(", ".join(peer.addresses) or "-"),
        )
    if view.peers:
        console.print(table)
    gone = {one.peer_id for one in view.unreachable}
    doubtful = sum(not link.confirmed and link.target not in gone for link in view.links)
    one_end = f", {doubtful} of them reported by one end only" if doubtful else ""
    console.print(f"{len(view.peers)} peers, {len(view.links)} links{one_end}, in {view.seconds:.1f} s")
    for reason, count in Counter(one.reason for one in view.unreachable).most_common():
        names = [one.peer_id[:SHORT_HEX] for one in view.unreachable if one.reason == reason]
        more = f" and {count - SHOWN_MAX} more" if count > SHOWN_MAX else ""
        console.print(Text(f"{count} unreachable: {reason}: {', '.join(names[:SHOWN_MAX])}{more}"))


def _notes(view: CrawlView, *, stopped: bool) -> list[str]:
    """Limits of the map that the operator should know."""
    notes = []
    if stopped:
        notes.append(f"stopped by hand; {view.unasked} known peers were not asked")
    elif view.stopped:
        notes.append(f"not complete: {view.stopped}, {view.unasked} known peers were not asked")
    if view.left_out:
        notes.append(f"{view.left_out} neighbours are missing, as answers left them out or had too many")
    if view.forged:
        notes.append(f"{view.forged} profiles were forged and ignored")
    if not view.peers and not stopped:
        notes.append("no peer answered; do the peers of the tickets run, and are --network and the secret right?")
    return notes
