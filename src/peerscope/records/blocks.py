"""Block lists, which operators publish to the peers that trust them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from peerscope.records.certificates import Certificate
from peerscope.records.texts import Name

BLOCKS_MAX = 64


class Block(Struct, frozen=True, array_like=True, gc=False):
    """One peer, address or prefix that the operator refuses links with."""

    name: Name
    """16 or more hex digits of a peer's id, an address, or an address prefix."""
    reason: Name = ""


class Blocks(Struct, frozen=True, array_like=True, gc=False):
    """This operator's list. A peer applies it only if its settings trust the author."""

    blocks: Annotated[tuple[Block, ...], Meta(max_length=BLOCKS_MAX)] = ()
    certificate: Certificate | None = None
    """As in `Orders`."""
