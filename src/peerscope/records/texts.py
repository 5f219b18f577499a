"""Types of bounded strings and numbers in records."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from peerscope.records.identity import PEER_REF_BYTES

# No control characters: other peers show these strings on terminals and pages.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*\Z"
Name = Annotated[str, Meta(max_length=64, pattern=_PRINTABLE)]
Text = Annotated[str, Meta(max_length=160, pattern=_PRINTABLE)]
Number = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^-?[0-9]+(\.[0-9]+)?\Z")]
"""A decimal number as text: shorter than a float of nine bytes, and equal at all readers."""
Ref = Annotated[bytes, Meta(min_length=PEER_REF_BYTES, max_length=PEER_REF_BYTES)]
HostAndPort = Annotated[str, Meta(max_length=80, pattern=r"^([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}\Z")]
"""Address of an exporter: a host and a port, nothing else."""
OverlayId = Annotated[str, Meta(min_length=1, max_length=80, pattern=_PRINTABLE)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Microseconds = Annotated[int, Meta(ge=0, le=600_000_000)]
