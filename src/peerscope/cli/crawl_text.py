"""A crawl, and its changes since earlier ones, as text on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from peerscope.cli.text import age, clock, columns, counted
from peerscope.views.crawl import REFUSED_MAX, CrawlView, short_id
from peerscope.views.crawl_changes import CrawlChanges

SHOWN_MAX = 5


def show_crawl(view: CrawlView) -> None:
    """Peers, links, and the distributions of versions and errors."""
    console = Console()
    table = columns("peer", "depth", "links", "region", "version", "addresses")
    for peer in view.peers:
        table.add_row(
            Text(short_id(peer.peer_id)),
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
    found = f"{counted(len(view.peers), 'peer')}, {counted(len(view.links), 'link')}"
    console.print(f"{found}{one_end}, in {view.seconds:.1f} s")
    if view.versions and [share.value for share in view.versions] != ["unknown"]:
        shown = ", ".join(f"{share.peers} {share.value}" for share in view.versions[:SHOWN_MAX])
        more = f" and {len(view.versions) - SHOWN_MAX} more" if len(view.versions) > SHOWN_MAX else ""
        console.print(Text(f"versions: {shown}{more}"))
    for share in view.errors:
        reason, count = share.value, share.peers
        names = [short_id(one.peer_id) for one in view.unreachable if one.reason == reason]
        more = f" and {count - SHOWN_MAX} more" if count > SHOWN_MAX else ""
        console.print(Text(f"{count} unreachable: {reason}: {', '.join(names[:SHOWN_MAX])}{more}"))
    cost = view.cost
    if cost.sent_packets is not None:
        console.print(
            f"{counted(cost.sent_packets, 'packet')} sent, {cost.received_packets} received, {cost.cpu_s} s of CPU"
        )


def show_changes(found: CrawlChanges) -> None:
    """Churn between the last two crawls, and sessions over all."""
    console = Console()
    table = columns("crawl", "peers", "unreachable", "complete")
    for crawl in found.crawls:
        table.add_row(clock(crawl.at), str(crawl.peers), str(crawl.unreachable), "yes" if crawl.is_complete else "no")
    console.print(table)
    console.print(
        f"the last two: {len(found.joined)} joined, {len(found.left)} left ({found.left_named} still named), "
        f"{found.stayed} stayed, {len(found.versions)} changed their version"
    )
    for word, peers in (("joined", found.joined), ("left", found.left)):
        if peers:
            more = f" and {len(peers) - SHOWN_MAX} more" if len(peers) > SHOWN_MAX else ""
            console.print(Text(f"{word}: {', '.join(map(short_id, peers[:SHOWN_MAX]))}{more}"))
    for change in found.versions[:SHOWN_MAX]:
        console.print(Text(f"{short_id(change.peer_id)}: {change.old or 'unknown'} -> {change.new or 'unknown'}"))
    lengths = found.sessions
    if len(found.crawls) > 2:
        closed = f", half of them at least {age(lengths.closed_s_median)}" if lengths.closed else ""
        console.print(
            f"sessions: {lengths.closed} closed{closed}; {lengths.open} open, up to {age(lengths.open_s_max)}; "
            f"{counted(lengths.returned, 'peer')} came back"
        )
    if not found.stayed and found.crawls[-1].peers and found.crawls[-2].peers:
        console.print("no peer is in both: are they crawls of one network?")


def notes(view: CrawlView, *, stopped: bool) -> list[str]:
    """Limits of the map that the operator should know."""
    found = []
    if stopped:
        found.append(f"stopped by hand; {counted(view.unasked, 'known peer was', 'known peers were')} not asked")
    elif view.stopped:
        found.append(
            f"not complete: {view.stopped}, {counted(view.unasked, 'known peer was', 'known peers were')} not asked"
        )
    if view.left_out:
        missing = counted(view.left_out, "neighbour is", "neighbours are")
        found.append(f"{missing} missing, as answers left them out or had too many")
    if view.forged:
        found.append(f"{counted(view.forged, 'profile was', 'profiles were')} forged and ignored")
    if view.refused:
        least = "at least " if view.refused >= REFUSED_MAX else ""
        refused = least + counted(view.refused, "address was", "addresses were")
        found.append(f"{refused} not dialled, as peers elsewhere may not name such addresses")
    if view.cut:
        found.append(f"{counted(view.cut, 'peer')} may have more neighbours than asked for")
    answers = (view.cost.received_packets or 0) - (view.cost.stray_packets or 0)
    if not view.peers and answers > 0:
        came = counted(answers, "answer")
        why = "see the reasons of the unreachable peers" if view.unreachable else "the time was too short"
        found.append(f"{came} came, but none that shows a peer; {why}")
    elif not view.peers and not stopped:
        right = ", and are --network and the secret right" if view.network == "peerscope" else ""
        found.append(f"no peer answered; do the peers of the tickets run{right}?")
    return found
