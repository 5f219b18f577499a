"""Secrets that nobody named in the settings: those which a program keeps in a file of its own, such as a cookie.

Any user may listen at the usual port of a program that does not run. So such a secret goes only to loopback, and there
only to a socket of root or of the user whose file holds it. Both could read the file anyway.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from peerscope.errors import SourceError
from peerscope.host.addresses import is_loopback, join_address
from peerscope.host.listeners import owner_uids

ROOT = 0


def check_listener(
    file: Path, host: str, port: int, advice: str, *, ports: Collection[int] = (), closed: str = ""
) -> None:
    """Raises `SourceError` unless the secret in this file may go to the program at this address.

    `ports`: those that the program's own settings name, where they do. `advice`: the option that names the file.
    `closed`: what to say after "nobody listens there".
    """
    place, refusal = join_address(host, port), f"no secret is used without {advice}"
    if not is_loopback(host):
        raise SourceError(f"{refusal}: {place} is not on this machine")
    if ports and port not in ports:
        known = ", ".join(map(str, sorted(ports)))
        raise SourceError(f"{refusal}: the program's own settings name port {known}, and this is {place}")
    uids = owner_uids(host, port)
    if uids is not None and not uids:
        raise SourceError(f"{place} does not answer: nobody listens there{closed}")
    check_uids(file, uids, place, advice)


def check_uids(file: Path, uids: Collection[int] | None, place: str, advice: str) -> None:
    """Raises `SourceError` unless all these users may read the secret in this file. `uids`: None where unknown."""
    refusal = f"no secret is used without {advice}"  # first, since long messages are cut
    if not uids:
        raise SourceError(f"{refusal}: this system does not say who listens at {place}")
    try:
        owner = file.stat().st_uid
    except OSError as error:
        raise SourceError(f"the file {file} cannot be read: {error.strerror}") from None
    if others := sorted({*uids} - {ROOT, owner}):
        raise SourceError(f"{refusal}: user {others[0]} listens at {place}, and {file} belongs to user {owner}")
