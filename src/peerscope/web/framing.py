"""HTTP/1.1 as h11 reads it, with limits that hold in whatever pieces the bytes arrive.

h11 bounds what is not complete yet: a head of any length that comes in one piece passes. Of two equal lengths it
forgets one, and beside `Transfer-Encoding` any: a proxy in front may have counted by the other (RFC 9112, 6.3).
"""

from __future__ import annotations

import re
from typing import Any

import h11

HEAD_BYTES_MAX = 16 * 1024
"""A request line and all headers together; as much for what frames one piece of a body."""
REFUSED_BYTES_MAX = 4 * 2**20
"""Of a body that goes on although it is answered: read past, so that its sender gets to the answer."""
_LENGTH = re.compile(rb"(?im)^(content-length|transfer-encoding)[ \t]*:[ \t]*(.*?)[ \t]*\r?$")
_FOLDED = re.compile(rb"\n[ \t]")
_COUNTED = re.compile(rb"[0-9]{1,18}")


class StrictConnection(h11.Connection):
    """The server's end of one connection."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)
        self._refused = 0

    def next_event(self) -> Any:
        """As h11's. Raises `RemoteProtocolError` too for what is beyond a limit, and for a head with two lengths."""
        is_head = self.their_state is h11.IDLE
        before = self.trailing_data[0] if is_head else b""
        waiting = len(before) if is_head else self._waiting
        event = super().next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return event
        framing = waiting - self._waiting - (len(event.data) if isinstance(event, h11.Data) else 0)
        if framing > HEAD_BYTES_MAX:
            raise h11.RemoteProtocolError("more than 16 kB around what is said", error_status_hint=431)
        if isinstance(event, h11.Request):
            self._refused = 0
            _check_lengths(before[:framing])
        if isinstance(event, h11.Data) and self.our_state in (h11.DONE, h11.MUST_CLOSE):
            self._refused += len(event.data) + framing
            if self._refused > REFUSED_BYTES_MAX:
                raise h11.RemoteProtocolError("a body without end, though it is answered")
        return event

    @property
    def _waiting(self) -> int:
        """Bytes that are not read yet; `trailing_data` would copy them."""
        return len(self._receive_buffer)


def _check_lengths(head: bytes) -> None:
    """Raise `RemoteProtocolError` unless the length of the body is stated once at most, and plainly."""
    if _FOLDED.search(head):
        raise h11.RemoteProtocolError("a folded header")
    stated = _LENGTH.findall(head)
    if len(stated) > 1:
        raise h11.RemoteProtocolError("the length is stated twice")
    for name, value in stated:
        if name.lower() == b"content-length" and not _COUNTED.fullmatch(value):
            raise h11.RemoteProtocolError("the length is no number")
