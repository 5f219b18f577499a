"""Why an answer cannot be decoded, in words for people."""

from __future__ import annotations

from peerscope.mesh.detection.checks import printable

FAULT_MAX = 200
_PLACE = " - at `"


def fault(error: Exception) -> str:
    """The reason of an error of msgspec: the place by its field names, and no pattern."""
    text, _, place = str(error).partition(_PLACE)
    if " matching regex " in text:
        text = "not of the expected form"
    where = place.replace("`", "").replace("$.", "").replace("$", "")
    return printable(f"{where}: {text}" if where else text)[:FAULT_MAX]
