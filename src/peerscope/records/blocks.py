"""Whom an operator does not want to be linked with, told to those who trust that operator."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from peerscope.records.certificates import Certificate
from peerscope.records.texts import Name

BLOCKS_MAX = 64


class Block(Struct, frozen=True, array_like=True, gc=False):
    """One entry."""

    name: Name
    """16 or more hex digits of a peer's id, an address, or an address prefix."""
    reason: Name = ""


class Blocks(Struct, frozen=True, array_like=True, gc=False):
    """This operator's list. Nobody takes it whose settings do not trust the author."""

    blocks: Annotated[tuple[Block, ...], Meta(max_length=BLOCKS_MAX)] = ()
    certificate: Certificate | None = None
    """The speaker's, where the network asks for one: in other zones nobody holds its profile."""
